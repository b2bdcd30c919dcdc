"""`step` on several devices and processes; the only module that splits its batch.

`pmap_step` splits the batch over the devices of one process, `shard_map_step` over
those of all processes; both are `train_step` without the config, and give its numbers.
"""

import functools
from collections.abc import Sequence

import jax
import numpy as np

from infogan_jax import checks, sharding, training
from infogan_jax import config as config_lib

_SPEC = jax.sharding.PartitionSpec


def pmap_step(
    config: config_lib.Config,
    *,
    devices: Sequence[jax.Device] | None = None,
    donate: bool = False,
) -> training.Step:
    """`train_step` with its batch split over devices; the state is not stacked.

    Norms, gradients and metrics are averaged over all devices, and latents are drawn
    for the global batch, so the result is that of one device up to rounding.

    Args:
      config: what to compute.
      devices: this process's devices to use; all of them by default.
      donate: reuse the memory of the state that is passed in, which is then gone.

    Returns:
      (state, batch, key) -> (state, metrics), as `train_step` without the config. It
      raises a ValueError for a batch that does not divide.

    Raises:
      ValueError: `devices` is empty.
    """
    devices = _given(devices, jax.local_devices())
    n, (everywhere, shares) = len(devices), shardings(devices)
    mapped = jax.pmap(
        functools.partial(training.step, config, axis_name="batch"),
        axis_name="batch",
        in_axes=(None, 0, None),
        out_axes=None,
        devices=devices,
        donate_argnums=(0,) if donate else (),
    )

    def run(state, batch, key):
        batch, size = _prepare(config, batch, n)
        split = {x: a.reshape(n, size // n, *a.shape[1:]) for x, a in batch.items()}
        # Placed every time: pmap compiles anew for a state that lies elsewhere (a
        # restored one is on one device), and refuses a batch that does.
        state, split = jax.device_put((state, split), (everywhere, shares))
        with _without_mesh():
            return mapped(state, split, key)

    return run


def shard_map_step(
    config: config_lib.Config,
    *,
    devices: Sequence[jax.Device] | None = None,
    donate: bool = False,
) -> training.Step:
    """`pmap_step` by `jax.shard_map`, over the devices of all processes.

    Args:
      config: what to compute.
      devices: those to use, some of every process; all of them by default.
      donate: reuse the memory of the state that is passed in, which is then gone.

    Returns:
      (state, batch, key) -> (state, metrics), as `pmap_step`. Every process passes the
      whole batch, of which its devices take their share, and gets a ValueError for one
      that does not divide; the state that comes back lies on all devices:
      `infogan_jax.host.processes.local`, to be imported, gives this process's copy.

    Raises:
      ValueError: `devices` is empty.
    """
    devices = _given(devices, jax.devices())
    everywhere, shares = shardings(devices)

    def on_one_device(state, batch, key):
        return training.step(config, state, batch, key, axis_name="batch")

    mapped = jax.jit(
        jax.shard_map(
            on_one_device,
            mesh=everywhere.mesh,
            in_specs=(_SPEC(), _SPEC("batch"), _SPEC()),
            out_specs=_SPEC(),
            check_vma=False,  # `step` takes the means itself.
        ),
        donate_argnums=(0,) if donate else (),
    )

    def run(state, batch, key):
        batch, _ = _prepare(config, batch, len(devices))
        state, key = _place((state, key), everywhere)
        with _without_mesh():
            return mapped(state, _place(batch, shares), key)

    return run


def shardings(
    devices: Sequence[jax.Device],
) -> tuple[jax.sharding.NamedSharding, jax.sharding.NamedSharding]:
    """(Replicated, split along the first axis) over these devices."""
    mesh = jax.sharding.Mesh(np.array(devices), ("batch",))
    rows = jax.sharding.NamedSharding(mesh, _SPEC("batch"))
    return sharding.replicated(mesh), rows


def largest_fit(size: int, available: int) -> int:
    """The largest number of devices, up to `available`, that share `size` evenly."""
    return next(n for n in range(available, 0, -1) if size % n == 0)


def _given(devices, all_of_them):
    devices = all_of_them if devices is None else list(devices)
    if not devices:
        raise ValueError("devices names none; give at least one, or None for all.")
    return devices


def _without_mesh():
    """Within it no `jax.set_mesh` of the caller's counts: a step brings its own."""
    return jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ()))


def _prepare(config, batch, n):
    """A batch that can be split, without what is None, and its size; or raises."""
    batch = checks.prepare_batch(config, batch)
    size = len(batch["image"])
    if size % n:
        raise ValueError(
            f"batch of {size} images cannot be split over {n} devices; use a "
            f"multiple of {n}."
        )
    return batch, size


def _place(tree, where):
    """Arrays that every process has whole, on the devices of all processes."""

    def one(x):
        if isinstance(x, jax.core.Tracer):  # In a jit of the user's own.
            return jax.lax.with_sharding_constraint(x, where)
        if isinstance(x, jax.Array) and x.sharding == where:
            return x
        if where.is_fully_addressable:
            return jax.device_put(x, where)
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            data = one(jax.random.key_data(x))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
        x = np.asarray(x)
        return jax.make_array_from_callback(x.shape, where, x.__getitem__)

    return jax.tree.map(one, tree)
