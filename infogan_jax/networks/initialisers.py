"""Initial weights: all of a network's from one draw of random numbers.

A draw for each array would take most of the compilation of `init`.
"""

import contextlib
import math
import threading
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

Created = TypeVar("Created")


class _Draws:
    """Hands out slices of one draw; before it is made, counts what will be needed."""

    def __init__(self):
        self.numbers, self.used = None, 0

    def take(self, shape):
        size, start = math.prod(shape), self.used
        self.used += size
        if self.numbers is None:
            return jnp.zeros(shape, jnp.float32)
        return self.numbers[start : start + size].reshape(shape)


_open = threading.local()  # `_open.draws`: the draw that is being shared out, if any.


def one_draw(create: Callable[[], Created], key: jax.Array) -> Created:
    """`create()`, in which every `normal` initialiser takes its share of one draw.

    Args:
      create: builds parameters; called twice, the first time for its shapes alone.
      key: of the draw.

    Returns:
      What `create` does.

    Raises:
      RuntimeError: the second call asked for other numbers than the first, as it does
        if `create` jits an initialiser.
    """
    draws = _Draws()
    with _taking_from(draws):
        # A new function each time, for eval_shape caches by it.
        jax.eval_shape(lambda: create())
    total, draws.used = draws.used, 0
    draws.numbers = jax.random.normal(key, (total,), jnp.float32)
    with _taking_from(draws):
        created = create()
    if draws.used != total:
        raise RuntimeError(
            f"initialising asked for {total} random numbers first and for {draws.used} "
            "then; do not jit an initialiser inside a module."
        )
    return created


@contextlib.contextmanager
def _taking_from(draws):
    before = getattr(_open, "draws", None)
    _open.draws = draws
    try:
        yield
    finally:
        _open.draws = before


def normal(mean: float, std: float | None) -> Callable[..., jax.Array]:
    """Initialiser N(mean, std**2) that takes part in `one_draw`.

    Args:
      mean: of every number.
      std: standard deviation; None for 1 / sqrt(inputs of the kernel), which keeps the
        variance in a dense layer and a convolution (LeCun et al. 1998, "Efficient
        BackProp"); a transposed convolution of stride 2 passes on a quarter of it.
    """

    def initialise(key, shape, dtype=jnp.float32):
        scale = math.prod(shape[:-1]) ** -0.5 if std is None else std
        draws = getattr(_open, "draws", None)
        if draws is not None:
            numbers = draws.take(shape).astype(dtype)
        else:
            numbers = jax.random.normal(key, shape, dtype)
        return mean + scale * numbers

    return initialise
