"""Adam, without the copies that XLA:CPU would make.

Its time is that of reading and writing arrays as large as the parameters, and three
things here spare XLA:CPU a third of that. Of the numbers they change the rounding
alone.

Source: Kingma and Ba 2015 (arXiv:1412.6980).
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from infogan_jax import sharding


def init(params: dict[str, Any]) -> Any:
    """The optimizer's state before the first step of an update, whatever its rates."""
    if not all(map(sharding.is_readable, jax.tree.leaves(params))):
        return optax.scale_by_adam().init(params)

    def zeros(x):
        # Made by JAX, each shape would be a program to compile.
        where = x.sharding if x.committed else None
        return jax.device_put(np.zeros(x.shape, x.dtype), where, may_alias=False)

    mean, square = (jax.tree.map(zeros, params) for _ in range(2))
    return optax.ScaleByAdamState(sharding.zero(params), mean, square)


def step(
    params: dict[str, Any],
    grads: dict[str, Any],
    norm: jax.Array,
    opt: Any,
    rates: Mapping[str, jax.Array | float],
    beta1: float,
    beta2: float,
) -> tuple[dict[str, Any], Any]:
    """The parameters after Adam's step, and the optimizer's state.

    Args:
      params: what learns, by the name of the network.
      grads: of the loss, like `params`.
      norm: of all gradients.
      opt: the optimizer's state.
      rates: a learning rate for each network.
      beta1: decay rate of the means.
      beta2: decay rate of the squares.
    """
    # Or XLA stores the squares that the norm and Adam share, and reads them back twice.
    grads = lax.optimization_barrier(grads)
    # XLA would take a beta1 of .5 out of the sum, and then make the sum anew for each
    # that reads the mean; so the old means would be copied before they are written
    # over.
    moves, opt = optax.scale_by_adam(_hidden(beta1), beta2).update(grads, opt)
    # Every write waits for the norm, and so for all gradients, of which some need the
    # parameters: XLA would copy these first, not knowing that they are written later.
    wait = _zero_depending_on(norm)

    def moved(rate, param, move):
        return param - jnp.asarray(rate + wait, param.dtype) * move

    return {
        net: jax.tree.map(functools.partial(moved, rate), params[net], moves[net])
        for net, rate in rates.items()
    }, opt


def _hidden(number):
    """The number as a scalar that XLA:CPU cannot fold into other constants."""
    hide, number = lax.optimization_barrier, jnp.asarray(number)
    return lax.platform_dependent(number, cpu=hide, default=lambda x: x)


def _zero_depending_on(x):
    """0, for x of at least 0, that XLA:CPU cannot know before it has x."""

    def ours(x):
        return jnp.where(x < 0, x, 0.0)

    x = lax.stop_gradient(x)
    return lax.platform_dependent(x, cpu=ours, default=jnp.zeros_like)
