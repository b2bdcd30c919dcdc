"""What functions take and give: names for annotations, and two helpers with types."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray
# A dataset, or a batch: arrays of one length by name. One that is None is not there.
Rows = Mapping[str, Any]
Split = dict[str, np.ndarray]  # A dataset in host memory, as it is loaded.
Metrics = dict[str, jax.Array]  # Scalars by name; with an axis, of several steps.
Axis = str | tuple[str, ...] | None  # Of a mapped axis, or axes, that split a batch.

F = TypeVar("F", bound=Callable[..., Any])


def as_float(x: Array) -> jax.Array:
    """The same numbers as floats; of whole numbers in the default float type."""
    return jnp.asarray(x, jnp.result_type(x, float))


def jit(**options: Any) -> Callable[[F], F]:
    """`jax.jit` as a decorator that keeps a function's type; JAX's makes it Any."""
    jitted: Any = jax.jit
    return functools.partial(jitted, **options)
