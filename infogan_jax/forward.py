"""One training pass over all networks: the `Pass` that the objective's terms read.

Statistics. A network's new running statistics are those of its last application here:
the trunk's and D's head's from the real images, G's and Q's from the fakes. When a term
applies networks later, only those that terms brought keep new statistics, and only
outside the term's own `jax.grad` or `jax.vmap`, whose tracers may not escape.

Precision. With `Config.compute_dtype` "bfloat16" the networks compute in it; what they
hand on, their statistics, every loss and the optimizers stay float32.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import flax.errors
import jax
import jax.extend.core
import jax.numpy as jnp

from infogan_jax import config as config_lib
from infogan_jax import objectives, types
from infogan_jax import state as state_lib


def run(
    config: config_lib.Config,
    nets: Mapping[str, state_lib.Net],
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
      The Pass, and each network's new statistics by name. Calling a term adds those of
      the networks that it brought to this very dict: read it after all terms.
    """
    key_z, key_c, key_fake, key_real, key_term = jax.vmap(
        lambda key: tuple(jax.random.split(key, 5))
    )(keys)
    use = _Networks(config, nets, key_fake, learners, axis_name)
    real = batch["image"]
    z, c = jax.vmap(config.noise.sample)(key_z), jax.vmap(config.codes.sample)(key_c)
    fake = use.generate(z, c)
    of_fake = use.apply("trunk", fake)
    # A second pass only where the trunk learns: its gradients of L_I are then kept
    # apart from those of fooling D. The backward pass through D and Q is one otherwise.
    of_fooling = use.frozen("trunk", fake) if "trunk" in learners else of_fake
    of_real = use.apply("trunk", real, keys=key_real)
    q_real = use.apply("q", of_real, real, keys=key_real)
    q_fake = use.apply("q", of_fake, fake)
    d_fake, d_fooled = use.apply("d", of_fake), use.frozen("d", of_fooling)
    d_real = use.apply("d", of_real, keys=key_real)
    use.kept = dict(use.stats)
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
        generate=use.generate,
        score=use.score,
        recognise=use.recognise,
        apply=use.apply_brought,
        mean=use.mean,
    )
    return p, use.kept


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


class _Networks:
    """The networks of one pass, as functions of their inputs.

    Attributes:
      stats: the statistics of each network's last application.
      kept: those that the update may write.
    """

    def __init__(self, config, nets, keys, learners, axis_name):
        self._modules, self._nets = config.networks(axis_name), nets
        self._keys, self._learners, self._axis_name = keys, learners, axis_name
        self._dtype, self._outside = config.compute_dtype, _trace_state()
        self.stats, self.kept = {}, {}

    def apply(self, name, *inputs, keys=None, params=None, train=True):
        net = self._nets[name]
        params = net.params if params is None else params
        params, inputs = _cast((params, inputs), self._dtype)
        with fitting(name):
            output, self.stats[name] = self._modules[name].apply(
                {"params": params, **net.stats},
                *inputs,
                train=train,
                keys=self._keys if keys is None else keys,
                mutable=list(net.stats),
            )
        return _cast(output, "float32")

    def frozen(self, name, *inputs):
        """`apply`, from which the network learns nothing."""
        params = jax.lax.stop_gradient(self._nets[name].params)
        return self.apply(name, *inputs, params=params)

    def generate(self, z, c, train=True):
        return self.apply("g", jnp.concatenate([z, c], -1), train=train)

    def score(self, images):
        return self.apply("d", self.apply("trunk", images))

    def recognise(self, images):
        return self.apply("q", self.apply("trunk", images), images)

    def apply_brought(self, name, *inputs):
        """`apply` of a network that a term brought, which the term calls."""
        output = self.apply(name, *inputs)
        if name in self._learners and _trace_state() == self._outside:
            self.kept[name] = self.stats[name]
        return output

    def mean(self, values):
        """Over the examples of all devices."""
        ours = values.mean(0)
        if self._axis_name is None:
            return ours
        return jax.lax.pmean(ours, self._axis_name)


def _trace_state():
    """What is being transformed just now: equal only outside of any further `grad`."""
    return jax.extend.core.get_opaque_trace_state(convention="flax")


def _cast(tree, dtype):
    """Between float32 and bfloat16; other dtypes, such as a test's float64, stay."""
    between = (jnp.float32, jnp.bfloat16)
    return jax.tree.map(lambda x: x.astype(dtype) if x.dtype in between else x, tree)
