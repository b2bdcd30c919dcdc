"""Networks of a user's own: what they may hold, and how a mistake in them is told."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from helpers import assert_equal

import infogan_jax
from infogan_jax import latents


class G(nn.Module):
    makes: tuple = (8, 8, 1)
    dtype: str = "float32"
    counts: bool = False

    @nn.compact
    def __call__(self, x, *, train, keys=None):
        if self.counts:
            seen = self.variable("counts", "seen", lambda: jnp.zeros((), jnp.int32))
            seen.value += int(train)
        hidden = nn.relu(nn.Dense(8, param_dtype=self.dtype)(x)).astype(jnp.float32)
        pixels = nn.sigmoid(nn.Dense(int(np.prod(self.makes)))(hidden))
        return pixels.reshape(-1, *self.makes)


class Trunk(nn.Module):
    offset: np.ndarray | None = None

    @nn.compact
    def __call__(self, images, *, train, keys=None):
        return nn.relu(nn.Dense(8)(images.reshape(len(images), -1)))


class D(nn.Module):
    makes: tuple = ()

    @nn.compact
    def __call__(self, features, *, train, keys=None):
        return nn.Dense(int(np.prod(self.makes)))(features).reshape(-1, *self.makes)


class Mean(nn.Module):
    """A D of which nothing is learned."""

    def __call__(self, features, *, train, keys=None):
        return features.mean(-1)


class Q(nn.Module):
    n_params: int

    @nn.compact
    def __call__(self, features, images, *, train, keys=None):
        return nn.Dense(self.n_params)(features)


@infogan_jax.register
@dataclasses.dataclass(frozen=True)
class Own:
    """Dense networks, one of them changed by `change`."""

    change: str = ""
    image_shape: tuple = (8, 8, 1)

    def networks(self, latent_dim, n_params, axis_name):
        nets = {"g": G(), "trunk": Trunk(), "d": D(), "q": Q(n_params)}
        changed = {
            "counts": {"g": G(counts=True)},
            "half": {"g": G(dtype="bfloat16")},
            "flat": {"g": G((64,))},
            "without channels": {"g": G((8, 8))},
            "a column": {"d": D((1,))},
            "too wide": {"q": Q(n_params + 1)},
            "an array": {"trunk": Trunk(np.zeros(3))},
            "another": {"e": D()},
            "no weights": {"d": Mean()},
        }
        return nets | changed.get(self.change, {})


def config_of(change, **changes):
    codes = latents.Product((latents.Categorical(3), latents.Uniform()))
    own = {"codes": codes, "noise": latents.Uniform(size=4)}
    return infogan_jax.Config(architecture=Own(change), **own, **changes)


def test_parameters_of_two_bytes_are_trained_saved_and_restored(batch, key, tmp_path):
    config = config_of("half")
    state = infogan_jax.init(config, key)
    state, _ = infogan_jax.train_step(config, state, batch, key)
    assert state.nets["g"].params["Dense_0"]["kernel"].dtype == jnp.bfloat16
    infogan_jax.save(tmp_path, config, state)
    assert_equal(infogan_jax.restore(tmp_path)[1], state)


def test_an_update_may_have_nothing_to_learn(batch, key):
    updates = tuple(
        infogan_jax.Update(name, nets, lr=1e-3)
        for name, nets in (("d", ("d",)), ("g", ("g", "q", "trunk")))
    )
    config = config_of("no weights", updates=updates)
    state = infogan_jax.init(config, key)
    state, metrics = infogan_jax.train_step(config, state, batch, key)
    assert state.opt["d"].count == 1 and metrics["d/gradient"] == 0


def test_an_average_of_g_has_its_counters_as_they_are(dataset, key, tmp_path):
    config = config_of("counts", ema_decay=0.5)
    state, _ = infogan_jax.train_steps(
        config, infogan_jax.init(config, key), dataset, key, steps=3, batch_size=4
    )
    [counted] = jax.tree.leaves(state.ema["g"].stats)
    assert counted.dtype == jnp.int32 and counted == 3
    kernel = "Dense_0", "kernel"
    averaged, live = (
        net["g"].params[kernel[0]][kernel[1]] for net in (state.ema, state.nets)
    )
    assert averaged.dtype == live.dtype and not np.array_equal(averaged, live)
    infogan_jax.save(tmp_path, config, state)
    assert_equal(infogan_jax.restore(tmp_path)[1], state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("flat", r"'g' makes \[1, 64\] of one example, where .* be \[1, 8, 8, 1\]"),
        ("without channels", r"'g' makes \[1, 8, 8\]"),
        ("a column", r"'d' makes \[1, 1\] of one example, where it has to be \[1\]"),
        ("too wide", r"'q' makes \[1, 6\] of one example, where it has to be \[1, 5\]"),
        ("an array", "'trunk' has a field that cannot be hashed, such as an array"),
        (
            "another",
            r"Own builds the networks \['d', 'e', .*; bring others by a term's",
        ),
    ],
)
def test_networks_that_do_not_fit_are_told_before_anything_is_trained(
    change, message, key
):
    with pytest.raises(ValueError, match=message):
        infogan_jax.init(config_of(change), key)
