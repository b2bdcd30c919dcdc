"""Batches drawn on the device."""

import jax
import jax.numpy as jnp


def draw(dataset: dict, key: jax.Array, batch_size: int) -> dict:
    """`batch_size` rows of every array, uniformly, with replacement. Pure.

    Args:
      dataset: arrays of one length N by name. Pass it as an argument through `jit`:
        closed over, it would be compiled into the program.
      key: of this batch.
      batch_size: rows to draw.

    Raises:
      ValueError: arrays of different lengths.
    """
    lengths = {name: len(array) for name, array in dataset.items()}
    n = lengths["image"]
    if set(lengths.values()) != {n}:
        raise ValueError(f"a dataset's arrays need one length, not {lengths}.")
    rows = jax.random.randint(key, (batch_size,), 0, n, jnp.int32)
    return {name: array[rows] for name, array in dataset.items()}
