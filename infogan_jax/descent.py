"""One update of a step: losses, their gradients, and Adam's move against them."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from infogan_jax import config as config_lib
from infogan_jax import forward, objectives, types
from infogan_jax import state as state_lib
from infogan_jax.ops import adam


def descend(
    config: config_lib.Config,
    update: config_lib.Update,
    state: state_lib.TrainState,
    batch: Mapping[str, jax.Array],
    key: jax.Array,
    axis_name: types.Axis = None,
) -> tuple[state_lib.TrainState, types.Metrics]:
    """The state after one of the config's updates, and what was seen.

    Args:
      config: what to compute.
      update: which of its updates.
      state: the state before; of it the update's networks and optimizer change.
      batch: {"image": float [B, H, W, C], ...}; with `axis_name` this device's share.
      key: of this update in this step.
      axis_name: of the mapped axis, or axes, that the batch is split over.

    Raises:
      ValueError: a term has a loss for an update that there is not, or one whose name
        in the metrics is another's.
    """
    keys = forward.example_keys(key, len(batch["image"]), axis_name)

    def loss(live):
        nets = state.nets | {
            name: state.nets[name].replace(params=live[name]) for name in update.nets
        }
        p, stats = forward.run(
            config, nets, batch, keys, state.step, update.nets, axis_name
        )
        losses = _losses(config, update, p)
        others = _diagnostics(config, update, p, axis_name)
        if taken := losses.keys() & (others.keys() | {f"{update.name}/gradient"}):
            raise ValueError(
                f"a loss has the name of another metric, {', '.join(sorted(taken))}; "
                "give its term another `name`."
            )
        total = sum(losses.values(), jnp.zeros((), jnp.float32))
        return total, (stats, losses | others)

    live = state_lib.params_of(state.nets, update.nets)
    grads, (stats, seen) = jax.grad(loss, has_aux=True)(live)
    if axis_name is not None:
        grads, seen = jax.lax.pmean((grads, seen), axis_name)
    norm = seen[f"{update.name}/gradient"] = optax.tree.norm(grads)
    rates, betas = update.rates(state.step), (update.beta1, update.beta2)
    opt = state.opt[update.name]
    params, opt = adam.step(live, grads, norm, opt, rates, *betas)

    nets = dict(state.nets)
    for name in update.nets:
        old = nets[name].stats
        # None of a network that a term brought, if no term has called it.
        new = stats.get(name, old) if _owns_statistics(config, update, name) else old
        nets[name] = state_lib.Net(params[name], new)
    return state.replace(nets=nets, opt=state.opt | {update.name: opt}), seen


def _diagnostics(config, update, p, axis_name):
    """The metrics of an update that are no losses: D's accuracy, spread and L_I."""
    seen = {}
    if "d" in update.nets:
        right = (p.d_real > 0).mean() + (p.d_fake < 0).mean()
        seen[f"{update.name}/accuracy"] = right / 2
    if "g" in update.nets:
        of_fakes, of_reals = (_spread(x, axis_name) for x in (p.fake, p.real))
        seen[f"{update.name}/spread"] = of_fakes / of_reals
        information = config.codes.information(p.q_fake, p.c)
        seen |= {f"info/{i}": bound for i, bound in enumerate(information)}
        seen["info/lower_bound"] = information.sum()
    return seen


def _spread(images, axis_name):
    """How much the images of the global batch differ: RMS of a pixel's deviations."""
    # The squares by one number: XLA:CPU sums each pixel's over the batch far slower.
    moments = images.mean(0), (images**2).mean()
    if axis_name is not None:
        moments = jax.lax.pmean(moments, axis_name)
    mean, square = moments
    return jnp.sqrt(jnp.maximum(square - (mean**2).mean(), 1e-12))


def _losses(config, update, p):
    names, seen = {u.name for u in config.updates}, {}
    for term in config.objective:
        losses, title = term(p), objectives.name_of(term)
        if not isinstance(losses, Mapping):
            raise ValueError(
                f"{title} gives a {type(losses).__name__}, not a dict of a loss for "
                f"each update, such as {{{update.name!r}: loss}}."
            )
        if not losses.keys() <= names:
            raise ValueError(
                f"{title} has a loss for {sorted(losses)}, but the updates are "
                f"{sorted(names)}."
            )
        if update.name in losses:
            loss = losses[update.name]
            if jnp.shape(loss):
                raise ValueError(
                    f"{title} has a loss of shape {jnp.shape(loss)} for update "
                    f"{update.name!r}; give a scalar, such as its mean."
                )
            seen[f"{update.name}/{title}"] = loss
    return seen


def _owns_statistics(config, update, name):
    """Whether an update writes a network's statistics: the first to begin of its own.

    Of several that begin together it is the first in order.
    """
    of_network = [u for u in config.updates if name in u.nets]
    return min(of_network, key=lambda u: u.begin).name == update.name
