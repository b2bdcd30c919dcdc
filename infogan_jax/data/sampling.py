"""Batches drawn on the device."""

import jax
import jax.numpy as jnp

from infogan_jax import rules, sharding, types


def draw(dataset: types.Rows, key: jax.Array, batch_size: int) -> dict[str, jax.Array]:
    """`batch_size` rows of every array, uniformly, with replacement. Pure.

    Args:
      dataset: arrays of one length N by name; what is None is left out. Pass it as an
        argument through `jit`: closed over, it is compiled into the program.
      key: of this batch.
      batch_size: rows to draw, at least 1.

    Returns:
      The rows by name, [batch_size, ...].

    Raises:
      ValueError: no rows, arrays of different lengths, or a batch below 1.
    """
    batch_size = rules.as_count("batch_size", batch_size)
    arrays = {name: jnp.asarray(a) for name, a in dataset.items() if a is not None}
    lengths = {
        name: array.shape[0] if array.ndim else 0 for name, array in arrays.items()
    }
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(
            f"a dataset's arrays need one length, at least 1, not {lengths}."
        )
    n = max(lengths.values())

    def pick(arrays, key):
        rows = jax.random.randint(key, (batch_size,), 0, n, jnp.int32)
        return {name: array[rows] for name, array in arrays.items()}

    return sharding.with_auto_axes(pick, arrays, key, out=sharding.replicated)
