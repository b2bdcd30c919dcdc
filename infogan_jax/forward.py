"""One training pass over all networks: the `Pass` that the objective's terms read.

Statistics. A network's new running statistics are those of its last application here:
the trunk's and D's head's from the real images, G's and Q's from the fakes. What a term
makes of networks afterwards counts for those that terms brought, and only for them; and
not inside a `jax.grad` or `jax.vmap` of its own, whose numbers stay there.

Precision. With `Config.compute_dtype` "bfloat16" the networks compute in it; what they
hand on, their statistics, every loss and the optimizers stay float32.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import flax.errors
import flax.struct
import jax
import jax.extend.core
import jax.numpy as jnp

from infogan_jax import config as config_lib
from infogan_jax import objectives, types


class Net(flax.struct.PyTreeNode):
    """One network's arrays: what learns, and its running statistics."""

    params: dict
    stats: dict


def run(
    config: config_lib.Config,
    nets: Mapping[str, Net],
    batch: Mapping[str, jax.Array],
    keys: jax.Array,
    step: jax.Array,
    learners: Sequence[str],
    axis_name: types.Axis = None,
) -> tuple[objectives.Pass, dict[str, dict]]:
    """One training pass over all networks.

    Args:
      config: the configuration.
      nets: a Net for each name.
      batch: {"image": float [B, H, W, C], ...}.
      keys: [B], one for each example.
      step: updates done.
      learners: the networks that learn from this pass.
      axis_name: of the mapped axis that the batch is split over, if any.

    Returns:
      The Pass, and each network's new statistics; those of networks that terms brought
      come to it when the terms are called.
    """
    modules, outside = config.networks(axis_name), _trace()
    key_z, key_c, key_fake, key_real, key_term = jax.vmap(
        lambda key: tuple(jax.random.split(key, 5))
    )(keys)
    stats = {}

    def apply(name, *inputs, keys, params=None, train=True):
        net = nets[name]
        params = net.params if params is None else params
        params, inputs = _cast((params, inputs), config.compute_dtype)
        with fitting(name):
            output, stats[name] = modules[name].apply(
                {"params": params, **net.stats},
                *inputs,
                train=train,
                keys=keys,
                mutable=list(net.stats),
            )
        return _cast(output, "float32")

    def frozen(name, *inputs):
        params = jax.lax.stop_gradient(nets[name].params)
        return apply(name, *inputs, keys=key_fake, params=params)

    def generate(z, c, train=True):
        latent = jnp.concatenate([z, c], -1)
        return apply("g", latent, keys=key_fake, train=train)

    def score(images):
        return apply("d", apply("trunk", images, keys=key_fake), keys=key_fake)

    def recognise(images):
        features = apply("trunk", images, keys=key_fake)
        return apply("q", features, images, keys=key_fake)

    def apply_brought(name, *inputs):
        output = apply(name, *inputs, keys=key_fake)
        if name in learners and _trace() == outside:
            counted[name] = stats[name]
        return output

    def mean(values):
        ours = values.mean(0)
        return ours if axis_name is None else jax.lax.pmean(ours, axis_name)

    real = batch["image"]
    z, c = jax.vmap(config.noise.sample)(key_z), jax.vmap(config.codes.sample)(key_c)
    fake = generate(z, c)
    of_fake = apply("trunk", fake, keys=key_fake)
    # A second pass only where the trunk learns: its gradients of L_I are then kept
    # apart from those of fooling D. The backward pass through D and Q is one otherwise.
    of_fooling = frozen("trunk", fake) if "trunk" in learners else of_fake
    of_real = apply("trunk", real, keys=key_real)
    q_real = apply("q", of_real, real, keys=key_real)
    q_fake = apply("q", of_fake, fake, keys=key_fake)
    d_fake, d_fooled = apply("d", of_fake, keys=key_fake), frozen("d", of_fooling)
    d_real = apply("d", of_real, keys=key_real)
    counted = dict(stats)
    p = objectives.Pass(
        codes=config.codes,
        step=step,
        keys=key_term,
        real=real,
        fake=fake,
        label=batch.get("label"),
        z=z,
        c=c,
        d_real=d_real,
        d_fake=d_fake,
        d_fooled=d_fooled,
        q_real=q_real,
        q_fake=q_fake,
        generate=generate,
        score=score,
        recognise=recognise,
        apply=apply_brought,
        mean=mean,
    )
    return p, counted


@contextlib.contextmanager
def fitting(name: str) -> Iterator[None]:
    """Within it, parameters of another config are a ValueError that says so."""
    try:
        yield
    except (
        flax.errors.ScopeParamShapeError,
        flax.errors.ScopeParamNotFoundError,
        flax.errors.ScopeCollectionNotFound,
        flax.errors.ScopeVariableNotFoundError,
    ) as error:
        reason = str(error).partition(" (http")[0]
        raise ValueError(
            f"the state's network {name!r} is not this config's: {reason} Use the "
            "Config that was restored with the state."
        ) from error


def example_keys(key: jax.Array, n: int, axis_name: types.Axis = None) -> jax.Array:
    """[n] keys, one per example, by its index in the global batch."""
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * n
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(first + jnp.arange(n))


def _trace():
    """What is being transformed just now: equal only outside of any further `grad`."""
    return jax.extend.core.get_opaque_trace_state(convention="flax")


def _cast(tree, dtype):
    """Between float32 and bfloat16; other dtypes, such as a test's float64, stay."""
    between = (jnp.float32, jnp.bfloat16)
    return jax.tree.map(lambda x: x.astype(dtype) if x.dtype in between else x, tree)
