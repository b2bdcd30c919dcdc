"""The step on several devices: the only file that knows of them."""

import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from infogan_jax import checks, training
from infogan_jax import config as config_lib


def pmap_step(
    config: config_lib.Config,
    *,
    devices: Sequence[jax.Device] | None = None,
    donate: bool = False,
) -> Callable:
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
    """
    devices = jax.local_devices() if devices is None else list(devices)
    n = len(devices)
    mesh = jax.sharding.Mesh(np.array(devices), ("batch",))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    shares = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    mapped = jax.pmap(
        functools.partial(training.step, config, axis_name="batch"),
        axis_name="batch",
        in_axes=(None, 0, None),
        out_axes=None,
        devices=devices,
        donate_argnums=(0,) if donate else (),
    )

    def run(state, batch, key):
        checks.check_images(config, batch.get("image"))
        checks.check_range(batch["image"])
        size = len(batch["image"])
        if size % n:
            raise ValueError(
                f"batch of {size} images cannot be split over {n} devices; use a "
                f"multiple of {n}."
            )
        split = {x: a.reshape(n, size // n, *a.shape[1:]) for x, a in batch.items()}
        # Wherever they come from: pmap compiles anew for another placement of the state
        # (a restored one is on one device), and refuses one of the batch.
        state, split = jax.device_put((state, split), (everywhere, shares))
        return mapped(state, split, key)

    return run


def largest_fit(batch_size: int, available: int) -> int:
    """The largest number of devices, up to `available`, that divides the batch."""
    return next(n for n in range(available, 0, -1) if batch_size % n == 0)
