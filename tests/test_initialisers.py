"""All of a network's weights from one draw of random numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infogan_jax.networks.initialisers import normal, one_draw


def test_one_draw_is_shared_out_without_overlap():
    shapes = [(30, 20), (50,), (4, 4, 3, 2)]

    def create():
        return [normal(5.0, 2.0)(jax.random.key(1), shape) for shape in shapes]

    created = jax.jit(lambda key: one_draw(create, key))(jax.random.key(0))
    assert [array.shape for array in created] == shapes
    numbers = jax.random.normal(jax.random.key(0), (600 + 50 + 96,), jnp.float32)
    drawn = 5.0 + 2.0 * numbers
    np.testing.assert_allclose(
        np.concatenate([array.ravel() for array in created]), drawn, atol=1e-5
    )


def test_a_seed_has_the_weights_that_it_always_had(state):
    """Or none of the committed results could be made again. As of 2026-11-30."""
    firsts = {
        name: float(jax.tree.leaves(net.params)[-1].ravel()[0])
        for name, net in state.nets.items()
    }
    expected = {
        "d": -0.00534186,
        "g": 0.1442496,
        "q": -0.34687805,
        "trunk": -0.00036387,
    }
    assert firsts == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_a_draw_that_cannot_be_shared_out_is_refused():
    jitted = jax.jit(lambda: normal(0.0, 1.0)(jax.random.key(1), (3,)))
    with pytest.raises(
        RuntimeError, match="asked for 3 random numbers first and for 0"
    ):
        one_draw(jitted, jax.random.key(0))


def test_scale_by_fan_in_keeps_the_variance():
    kernel = normal(0.0, None)(jax.random.key(0), (4, 4, 50, 100))
    assert kernel.std() == pytest.approx((4 * 4 * 50) ** -0.5, rel=0.02)
