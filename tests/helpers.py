"""What several test files need, and no library has."""

import contextlib
import json
import time

import jax
import numpy as np

import infogan_jax


def read_lines(path):
    """The objects of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@contextlib.contextmanager
def at_once():
    """What an error may take: three seconds after the imports.

    Of processor time, which other work on the machine does not lengthen.
    """
    began = time.process_time()
    yield
    assert time.process_time() - began < 3.0


def idx_bytes(array):
    """An array of bytes as MNIST's files have it."""
    sides = b"".join(side.to_bytes(4, "big") for side in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sides + array.tobytes()


def shapes(config):
    """A fresh state whose arrays are shapes alone."""
    return jax.eval_shape(lambda: infogan_jax.init(config, jax.random.key(0)))


def count(tree):
    """Numbers in all arrays together."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def sizes(config):
    """Number of parameters of each network."""
    return {name: count(net.params) for name, net in shapes(config).nets.items()}


def differs(a, b):
    """Whether any array is another."""
    same = jax.tree.map(np.array_equal, a, b)
    return not all(jax.tree.leaves(same))


def assert_equal(a, b):
    """The same trees of the same arrays, to the last bit."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)
