"""What it means that two states took the same steps, up to rounding."""

import jax
import numpy as np


def assert_same_arrays(ours, theirs):
    """Step, parameters, statistics and averages, to 1e-5."""
    for part in ("step", "nets", "ema"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5),
            getattr(ours, part),
            getattr(theirs, part),
        )


def assert_same_moments(ours, theirs):
    """Adam's, to 1e-4 of their largest: it forgives gradients N times too large.

    Rounding alone, the same batch in another order on one device, moves them by up to
    2.2e-5; norms over each device's own images, a fault, by .8 and more.
    """
    for name in ours.opt:
        for moment in ("mu", "nu"):
            a = jax.tree.leaves(getattr(ours.opt[name], moment))
            b = jax.tree.leaves(getattr(theirs.opt[name], moment))
            largest = max(float(np.abs(leaf).max()) for leaf in a)
            for x, y in zip(a, b, strict=True):
                assert np.abs(np.asarray(x) - np.asarray(y)).max() <= 1e-4 * largest
