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


def matched(gan, params):
    """PyTorch's layers, each with its own of our networks' arrays, by its names."""
    g, trunk, d, q = (params.get(name) for name in ("g", "trunk", "d", "q"))
    if g:
        second = {"kernel": of_images(g["Dense_1"]["kernel"])}
        spread = {name: of_images(x) for name, x in g["BatchNorm_1"].items()}
        yield gan.g[0], dense(g["Dense_0"])
        yield gan.g[1], norm(g["BatchNorm_0"])
        yield gan.g[3], dense(second)
        yield gan.g[4], norm(spread)
        yield gan.g[7], up(g["UpConv_0"])
        yield gan.g[8], norm(g["BatchNorm_2"])
        yield gan.g[10], up(g["UpConv_1"])
    if trunk:
        joined = {"kernel": of_images(trunk["Dense_0"]["kernel"].T).T}
        yield gan.trunk[0], down(trunk["DownConv_0"])
        yield gan.trunk[2], down(trunk["DownConv_1"])
        yield gan.trunk[3], norm(trunk["BatchNorm_0"])
        yield gan.trunk[6], dense(joined)
        yield gan.trunk[7], norm(trunk["BatchNorm_1"])
    if d:
        yield gan.d, dense(d["Dense_0"])
    if q:
        yield gan.q[0], dense(q["Dense_0"])
        yield gan.q[1], norm(q["BatchNorm_0"])
        yield gan.q[3], dense(q["Dense_1"])


def numpy(tree):
    return jax.tree.map(np.asarray, tree)


@pytest.fixture(scope="module")
def both():
    """A state, and PyTorch's networks with its weights."""
    state = infogan_jax.init(CONFIG, jax.random.key(0))
    images = np.zeros((10, 28, 28, 1), np.uint8)
    gan = torch_infogan.InfoGan(
        images, BATCH, WIDTH, DENSE, bfloat16=False, device="cpu", tuned=False
    )
    params = numpy({name: net.params for name, net in state.nets.items()})
    with torch.no_grad():
        for layer, values in matched(gan, params):
            own = dict(layer.named_parameters())
            assert own.keys() == values.keys()
            for name, parameter in own.items():
                parameter.copy_(torch.tensor(np.array(values[name])))
    return state, gan


def test_pytorchs_networks_have_as_many_parameters(both):
    state, gan = both
    for name in ("g", "trunk", "d", "q"):
        ours = sum(x.size for x in jax.tree.leaves(state.nets[name].params))
        assert ours == sum(x.numel() for x in getattr(gan, name).parameters())


def gan_of(batch, width=WIDTH, dense=DENSE):
    images = np.zeros((10, 28, 28, 1), np.uint8)
    how = {"bfloat16": False, "device": "cpu", "tuned": False}
    return torch_infogan.InfoGan(images, batch, width, dense, **how)


def test_pytorchs_operations_are_those_of_the_layers():
    """Multiplications of an image, layer by layer, in each pass and on the way back."""
    up = [74 * DENSE, DENSE * 98 * WIDTH, 49 * 32 * WIDTH**2, 196 * 16 * WIDTH]
    down = [196 * 16 * WIDTH, 49 * 32 * WIDTH**2, 98 * WIDTH * DENSE]
    g, trunk, d, q = sum(up), sum(down), DENSE, DENSE * 128 + 128 * 12
    # A layer's way back costs its forward pass for the weights and as much again for
    # what it was given; images need no gradient.
    of_d = g + 2 * (3 * (trunk + d) - down[0])
    of_g = 3 * g - up[0] + 2 * (trunk + d) + 3 * q
    assert gan_of(BATCH).gflop() == pytest.approx(2e-9 * BATCH * (of_d + of_g))


def test_pytorchs_memory_is_its_weights_and_the_activations():
    wide = gan_of(2, width=16, dense=512)
    weights = 4e-6 * sum(x.numel() for x in (*wide.of_d, *wide.of_g))
    # Theirs, two means, gradients, and less than two of what Adam makes on the way.
    assert 4 * weights < wide.peak_mb() < 6 * weights
    few, many = (gan_of(batch).peak_mb() for batch in (BATCH, 10 * BATCH))
    image = 4e-6 * 14 * 14 * WIDTH  # After the first layer; some twenty are as large.
    assert 10 < (many - few) / (9 * BATCH * image) < 30


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
        gan.adam_d.zero_grad()
        gan.adam_g.zero_grad()
        keys = forward.example_keys(key, BATCH)
        p, _ = forward.run(CONFIG, state.nets, batch, keys, state.step, update.nets)
        after, seen = descent.descend(CONFIG, update, state, batch, key)
        ours = seen[f"{update.name}/NonSaturating"]
        ours = ours - (seen["info/lower_bound"] if constant else 0.0)
        category, continuous = np.split(np.array(p.c), [10], 1)
        latents = torch.tensor(np.concatenate([p.z, p.c], 1))
        given = latents, torch.tensor(category.argmax(1)), torch.tensor(continuous)
        monkeypatch.setattr(gan, "latents", lambda given=given: given)
        for parameter in gan.of_d:
            parameter.requires_grad_(learners is gan.of_d)
        loss = losses()
        loss.backward()
        assert loss.item() - constant == pytest.approx(float(ours), rel=1e-5)
        # Adam's mean after one step of a fresh state is half of the gradient.
        gradients = numpy(jax.tree.map(lambda x: 2 * x, after.opt[update.name].mu))
        for layer, values in matched(gan, gradients):
            for name, expected in values.items():
                found, largest = getattr(layer, name).grad, np.abs(expected).max()
                np.testing.assert_allclose(found, expected, 1e-3, 1e-4 * largest)


def test_steps_that_adam_has_counted_go_to_the_device_of_a_graph():
    gan = gan_of(BATCH)
    gan.gflop()  # By an ordinary step, whose number lies on the CPU.
    gan.device = "meta"
    gan.make_capturable()
    for adam in (gan.adam_d, gan.adam_g):
        assert adam.param_groups[0]["capturable"]
        steps = [state["step"].device.type for state in adam.state.values()]
        assert steps and set(steps) == {"meta"}
