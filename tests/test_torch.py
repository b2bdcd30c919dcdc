"""The PyTorch that the benchmark races is the same network, with the same losses."""

import math

import contenders
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import infogan_jax
from infogan_jax import descent, forward

torch = pytest.importorskip("torch", reason="the benchmark's PyTorch needs PyTorch")
import torch_infogan  # noqa: E402

WIDTH, DENSE, BATCH = 4, 8, 6
CONFIG = contenders.tutorial(width=WIDTH, dense=DENSE)


def of_images(array):
    """The last axis from [7 x 7 x channels] to PyTorch's [channels x 7 x 7]."""
    *rest, _ = array.shape
    return np.moveaxis(array.reshape(*rest, 7, 7, 2 * WIDTH), -1, -3).reshape(
        array.shape
    )


def dense(layer):
    found = {"weight": layer["kernel"].T}
    return found | ({"bias": layer["bias"]} if "bias" in layer else {})


def norm(layer):
    return {"weight": layer["scale"], "bias": layer["bias"]}


def down(layer):
    found = {"weight": layer["kernel"].transpose(3, 2, 0, 1)}
    return found | ({"bias": layer["bias"]} if "bias" in layer else {})


def up(layer):
    # PyTorch's transposed kernel is the one of the convolution that it is the gradient
    # of, and so turned round.
    found = {"weight": layer["kernel"][::-1, ::-1].transpose(2, 3, 0, 1)}
    return found | ({"bias": layer["bias"]} if "bias" in layer else {})


@pytest.fixture(scope="module")
def both():
    """A state, and PyTorch's networks with its weights."""
    state = infogan_jax.init(CONFIG, jax.random.key(0))
    images = np.zeros((10, 28, 28, 1), np.uint8)
    gan = torch_infogan.InfoGan(
        images, BATCH, WIDTH, DENSE, bfloat16=False, device="cpu", tuned=False
    )
    g, trunk, d, q = (
        jax.tree.map(np.asarray, state.nets[name].params)
        for name in ("g", "trunk", "d", "q")
    )
    second = {"kernel": of_images(g["Dense_1"]["kernel"])}
    spread = {name: of_images(x) for name, x in g["BatchNorm_1"].items()}
    joined = {"kernel": of_images(trunk["Dense_0"]["kernel"].T).T}
    put(gan.g, 0, dense(g["Dense_0"]), 1, norm(g["BatchNorm_0"]))
    put(gan.g, 3, dense(second), 4, norm(spread))
    put(gan.g, 7, up(g["UpConv_0"]), 8, norm(g["BatchNorm_2"]), 10, up(g["UpConv_1"]))
    put(gan.trunk, 0, down(trunk["DownConv_0"]), 2, down(trunk["DownConv_1"]))
    put(gan.trunk, 3, norm(trunk["BatchNorm_0"]))
    put(gan.trunk, 6, dense(joined), 7, norm(trunk["BatchNorm_1"]))
    put([gan.d], 0, dense(d["Dense_0"]))
    put(gan.q, 0, dense(q["Dense_0"]), 1, norm(q["BatchNorm_0"]))
    put(gan.q, 3, dense(q["Dense_1"]))
    return state, gan


def put(layers, *pairs):
    for index, values in zip(pairs[::2], pairs[1::2], strict=True):
        own = layers[index].state_dict()
        assert {
            name for name in own if "running" not in name and "num" not in name
        } == (values.keys())
        values = {name: torch.tensor(np.array(value)) for name, value in values.items()}
        layers[index].load_state_dict(own | values)


def test_pytorchs_networks_have_as_many_parameters(both):
    state, gan = both
    for name in ("g", "trunk", "d", "q"):
        ours = sum(x.size for x in jax.tree.leaves(state.nets[name].params))
        assert ours == sum(x.numel() for x in getattr(gan, name).parameters())


def test_pytorchs_losses_and_gradients_are_those_of_a_step(both, monkeypatch):
    """Of one update each, on the same images, noise and codes."""
    state, gan = both
    rng, key = np.random.default_rng(0), jax.random.key(3)
    real = rng.integers(0, 256, (BATCH, 28, 28, 1), dtype=np.uint8)
    batch = {"image": jnp.float32(real) / 255}
    gan.images = torch.from_numpy(real)
    monkeypatch.setattr(torch_infogan.torch, "randint", lambda *_, **__: range(BATCH))
    entropy = math.log(10) + 2 * math.log(2)  # In our L_I, and not in PyTorch's loss.
    updates = zip(
        CONFIG.updates,
        ((gan.losses_of_d, gan.of_d, 0.0), (gan.losses_of_g, gan.of_g, entropy)),
        strict=True,
    )
    for update, (losses, learners, constant) in updates:
        keys = forward.example_keys(key, BATCH)
        p, _ = forward.run(CONFIG, state.nets, batch, keys, state.step, update.nets)
        _, seen = descent.descend(CONFIG, update, state, batch, key)
        terms = [x for name, x in seen.items() if name.startswith(f"{update.name}/N")]
        ours = sum(terms) - (seen.get("info/lower_bound", 0.0) if constant else 0.0)
        category, continuous = np.split(np.array(p.c), [10], 1)
        latents = torch.tensor(np.concatenate([p.z, p.c], 1))
        given = latents, torch.tensor(category.argmax(1)), torch.tensor(continuous)
        monkeypatch.setattr(gan, "latents", lambda given=given: given)
        for parameter in gan.of_d:
            parameter.requires_grad_(learners is gan.of_d)
        loss = losses()
        loss.backward()
        assert loss.item() - constant == pytest.approx(float(ours), rel=1e-5)
        norm = math.sqrt(sum(float((x.grad**2).sum()) for x in learners))
        assert norm == pytest.approx(float(seen[f"{update.name}/gradient"]), rel=1e-3)
