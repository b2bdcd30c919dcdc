import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import shapes, sizes

import infogan_jax
from infogan_jax import networks, presets
from infogan_jax.networks import layers


def test_paper_networks_have_the_published_parameters():
    # Those of the released layers, less the biases before norms.
    expected = {"g": 6_645_121, "trunk": 6_556_992, "d": 1_025, "q": 133_134}
    assert sizes(presets.PAPER) == expected


def test_q_head_is_at_most_two_percent_of_d_and_q():
    found = sizes(presets.PAPER)
    assert found["q"] <= 0.02 * (found["trunk"] + found["d"] + found["q"])


def test_tutorial_networks_have_their_parameters():
    found = sizes(presets.TUTORIAL)
    assert found["g"] == 6_645_121
    assert found["trunk"] + found["d"] + found["q"] == 6_690_893
    found = sizes(presets.MLP)
    assert (found["g"], found["trunk"] + found["d"], found["q"]) == (
        1_483_280,
        1_460_225,
        3_598,
    )


def test_no_layer_that_feeds_a_norm_has_a_bias():
    for net in shapes(presets.PAPER).nets.values():
        names = set(net.params)
        with_bias = {n for n, layer in net.params.items() if "bias" in layer}
        free = {n for n in with_bias if not n.startswith("BatchNorm")}
        norms = {n for n in names if n.startswith("BatchNorm")}
        # Layers: one free of norm at the exit, and in the trunk one at the entrance.
        assert len(names - norms) - len(free) == len(norms)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 20, 3), (4, 8, 1)])
@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
def test_images_of_any_shape_lie_in_the_unit_range(tiny, key, shape, output):
    architecture = dataclasses.replace(
        tiny.architecture, image_shape=shape, output=output
    )
    modules = architecture.networks(5, 3, None)
    z = 30 * jax.random.normal(key, (2, 5))
    variables = modules["g"].init(key, z, train=True)
    images, _ = modules["g"].apply(variables, z, train=True, mutable=["batch_stats"])
    assert images.shape == (2, *shape)
    assert images.min() >= 0 and images.max() <= 1


def test_depth_three_halves_three_times(tiny):
    deep = dataclasses.replace(tiny.architecture, image_shape=(16, 16, 1), depth=3)
    found = shapes(dataclasses.replace(tiny, architecture=deep)).nets
    assert found["trunk"].params["DownConv_2"]["kernel"].shape == (4, 4, 8, 16)
    assert found["g"].params["UpConv_2"]["kernel"].shape == (4, 4, 4, 1)


def test_separate_q_has_a_trunk_of_its_own(tiny):
    apart = dataclasses.replace(tiny.architecture, shared=False)
    found = sizes(dataclasses.replace(tiny, architecture=apart))
    assert found["q"] == sizes(tiny)["q"] + found["trunk"]


def test_a_separate_q_may_be_dense(tiny):
    dense = dataclasses.replace(tiny.architecture, shared=False, q_trunk=(7, 5))
    config = dataclasses.replace(tiny, architecture=dense)
    found = shapes(config).nets["q"].params
    pixels = math.prod(config.image_shape)
    widths = [pixels, 7, 5, dense.q_hidden, config.codes.n_params]
    assert len(widths) == len([name for name in found if name.startswith("Dense")]) + 1
    for layer, shape in enumerate(itertools.pairwise(widths)):
        assert found[f"Dense_{layer}"]["kernel"].shape == shape


def test_dropout_mask_belongs_to_the_example(key):
    trunk = networks.Mlp(image_shape=(4, 4, 1)).networks(5, 3, None)["trunk"]
    x, keys = jax.random.uniform(key, (6, 4, 4, 1)), jax.random.split(key, 6)
    variables = trunk.init(key, x, train=False)
    whole = trunk.apply(variables, x, train=True, keys=keys)
    half = trunk.apply(variables, x[3:], train=True, keys=keys[3:])
    np.testing.assert_array_equal(whole[3:] == 0, half == 0)  # What was dropped.
    rounding = 1e-5 * np.abs(half).max()  # Sums of a thousand terms.
    np.testing.assert_allclose(whole[3:], half, rtol=0, atol=rounding)
    assert not np.allclose(whole, trunk.apply(variables, x, train=False))


def test_dropout_keeps_its_share_at_its_scale_layer_by_layer(key):
    keys, x = jax.random.split(key, 50), jnp.ones((50, 400))
    one, other = (layers.dropout(x, 0.3, keys, layer) for layer in (0, 1))
    np.testing.assert_allclose(np.unique(one), [0, 1 / 0.7], rtol=1e-6)
    # 20,000 draws: .02 is more than four standard errors.
    assert float((one > 0).mean()) == pytest.approx(0.7, abs=0.02)
    assert float((one != other).mean()) == pytest.approx(2 * 0.7 * 0.3, abs=0.02)


def test_tanh_networks_see_images_from_minus_one_to_one():
    assert layers.to_network_range(jnp.array([0.0, 0.5, 1.0]), "tanh").tolist() == [
        -1,
        0,
        1,
    ]


def test_batch_norm_refuses_to_learn_from_one_value():
    norm = layers.norm(None, train=True)
    variables = norm.init(jax.random.key(0), jnp.ones((1, 3)))
    norm.apply(variables, jnp.ones((1, 2, 1, 3)), mutable="batch_stats")
    with pytest.raises(ValueError, match="batch of 1 image; use at least 2"):
        norm.apply(variables, jnp.ones((1, 3)), mutable="batch_stats")
    # One image on each of two devices are two.
    over_two = layers.norm("b", train=True)
    two = jnp.arange(6.0).reshape(2, 1, 3)
    normed, _ = jax.vmap(
        lambda x: over_two.apply(variables, x, mutable="batch_stats"), axis_name="b"
    )(two)
    scale = variables["params"]["scale"][None]
    np.testing.assert_allclose(normed, jnp.stack([-scale, scale]), rtol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: networks.Dcgan(image_shape=(30, 28, 1)),
        lambda: networks.Dcgan(image_shape=(28, 28, 2)),
        lambda: networks.Dcgan(image_shape=(28, 28)),
        lambda: networks.Dcgan(width=0),
        lambda: networks.Dcgan(shared=False, q_trunk=(400, 0)),
        lambda: networks.Dcgan(q_trunk=(400,)),
        lambda: networks.Dcgan(output="relu"),
        lambda: networks.Mlp(dropout=1.0),
        lambda: networks.Spectral(g_dense=[128]),
        lambda: networks.Spectral(g_dense=(0,)),
        lambda: networks.Spectral(d_widths=()),
        lambda: networks.Mlp(image_shape=(0, 4, 1)),
    ],
)
def test_impossible_networks_are_refused(make):
    with pytest.raises(ValueError):
        make()


@pytest.mark.parametrize(
    ("architecture", "leak"),
    [
        (networks.Dcgan((4, 4, 1), width=2, dense=8), 1.0),  # Its norms come first.
        (networks.Mlp((4, 4, 1), g_widths=(8,)), 0.2),
        (networks.Spectral((16, 16, 1), (2,) * 4, g_dense=(8,), g_widths=(2,)), 0.0),
    ],
)
def test_norms_of_g_follow_or_lead_its_activations(architecture, leak, key):
    g, z = architecture.networks(5, 3, None)["g"], jax.random.normal(key, (16, 5))
    variables = g.init(key, z, train=False)
    _, after = g.apply(variables, z, train=True, mutable=["batch_stats"])
    dense = variables["params"]["Dense_0"]
    x = np.asarray(z @ dense["kernel"] + dense.get("bias", jnp.zeros(8))[None])
    mean = np.where(x > 0, x, leak * x).mean(0)
    found = after["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(found, 0.1 * mean, rtol=1e-4, atol=1e-7)


def built(architecture, key):
    """The modules of an architecture, and their variables."""
    config = infogan_jax.Config(architecture=architecture)
    nets = infogan_jax.init(config, key).nets
    variables = {n: {"params": net.params, **net.stats} for n, net in nets.items()}
    return config.networks(), variables


def down(x, weights):
    """Stride 2, with one pixel of zeros around: the window's sum by loops."""
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    side = x.shape[1] // 2 - 1
    found = np.zeros((len(x), side, side, weights.shape[-1]))
    for row, column in itertools.product(range(side), repeat=2):
        window = x[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4]
        found[:, row, column] = np.einsum("bhwc,hwcf->bf", window, weights)
    return found


def up(x, weights):
    """Each pixel lays a window down at twice its place; the border is cut off.

    Turned round, as Flax keeps these kernels.
    """
    weights = weights[::-1, ::-1]
    side = 2 * x.shape[1] + 2
    found = np.zeros((len(x), side, side, weights.shape[-1]))
    for row, column in itertools.product(range(x.shape[1]), repeat=2):
        laid = np.einsum("bc,hwcf->bhwf", x[:, row, column], weights)
        found[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += laid
    return found[:, 1:-1, 1:-1]


def drawn(variables, rng):
    """The same variables with numbers of both signs, variances apart."""
    variables = jax.tree.map(
        lambda x: rng.normal(0, 0.5, x.shape).astype(np.float32), variables
    )
    return jax.tree_util.tree_map_with_path(
        lambda path, x: x**2 + 1 if path[-1].key == "var" else x, variables
    )


def normalised(variables, number, x):
    """By the running statistics of a network's norm of this number."""
    params = variables["params"][f"BatchNorm_{number}"]
    stats = variables["batch_stats"][f"BatchNorm_{number}"]
    x = (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
    return x * params["scale"] + params["bias"]


def layer(variables, name, x):
    """A dense layer."""
    return x @ variables["params"][name]["kernel"] + variables["params"][name]["bias"]


def test_the_networks_are_the_papers_written_out(key):
    """With running statistics; each convolution a loop over its windows."""
    sizes = {"width": 2, "dense": 6, "q_hidden": 5, "leak": 0.3, "init_std": None}
    modules, variables = built(networks.Dcgan(image_shape=(8, 8, 1), **sizes), key)
    rng = np.random.default_rng(0)
    variables = drawn(variables, rng)

    def normed(name, number, x):
        return normalised(variables[name], number, x)

    def kernel(name, layer):
        return variables[name]["params"][layer]["kernel"]

    def leaky(x):
        return np.where(x > 0, x, 0.3 * x)

    images = rng.random((3, 8, 8, 1), np.float32)
    bias = variables["trunk"]["params"]["DownConv_0"]["bias"]
    x = leaky(down(images, kernel("trunk", "DownConv_0")) + bias)
    x = leaky(normed("trunk", 0, down(x, kernel("trunk", "DownConv_1"))))
    x = x.reshape(3, -1) @ kernel("trunk", "Dense_0")
    features = leaky(normed("trunk", 1, x))
    found = modules["trunk"].apply(variables["trunk"], images, train=False)
    np.testing.assert_allclose(found, features, rtol=1e-4, atol=1e-5)
    features = features.astype(np.float32)

    x = leaky(normed("q", 0, features @ kernel("q", "Dense_0")))
    x = x @ kernel("q", "Dense_1") + variables["q"]["params"]["Dense_1"]["bias"]
    found = modules["q"].apply(variables["q"], features, images, train=False)
    np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-4)

    latent = rng.normal(size=(3, 74)).astype(np.float32)
    x = np.maximum(normed("g", 0, latent @ kernel("g", "Dense_0")), 0)
    x = np.maximum(normed("g", 1, x @ kernel("g", "Dense_1")), 0)
    x = up(x.reshape(3, 2, 2, -1), kernel("g", "UpConv_0"))
    x = np.maximum(normed("g", 2, x), 0)
    x = up(x, kernel("g", "UpConv_1")) + variables["g"]["params"]["UpConv_1"]["bias"]
    found = modules["g"].apply(variables["g"], latent, train=False)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-x)), rtol=1e-4, atol=1e-5)


def test_the_spectral_networks_written_out(key):
    """Of D and Q, each kernel by its largest singular value after one iteration."""
    sizes = {"d_widths": (2, 3), "d_dense": 6, "q_hidden": 5, "g_widths": (2,)}
    architecture = networks.Spectral((8, 8, 1), **sizes, leak=0.3, init_std=None)
    modules, variables = built(architecture, key)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda x: rng.normal(size=x.shape).astype(np.float32), variables
    )

    def layer(name, layer):
        """A layer's kernel, divided, and its bias."""
        params = variables[name]["params"][layer]
        stats = variables[name]["batch_stats"]
        (u,) = (
            x for y in stats.values() for n, x in y.items() if n == f"{layer}/kernel/u"
        )
        matrix = params["kernel"].reshape(-1, params["kernel"].shape[-1])
        left = u @ matrix.T
        left /= np.linalg.norm(left)
        largest = np.linalg.norm(left @ matrix)
        return params["kernel"] / largest, params["bias"]

    def leaky(x):
        return np.where(x > 0, x, 0.3 * x)

    images = rng.random((3, 8, 8, 1), np.float32)
    x = images
    for name in ("DownConv_0", "DownConv_1"):
        kernel, bias = layer("trunk", name)
        x = leaky(down(x, kernel) + bias)
    kernel, bias = layer("trunk", "Dense_0")
    features = leaky(x.reshape(3, -1) @ kernel + bias)
    found = modules["trunk"].apply(variables["trunk"], images, train=False)
    np.testing.assert_allclose(found, features, rtol=1e-4, atol=1e-5)
    features = features.astype(np.float32)

    kernel, bias = layer("d", "Dense_0")
    found = modules["d"].apply(variables["d"], features, train=False)
    np.testing.assert_allclose(found, (features @ kernel + bias)[:, 0], rtol=1e-4)

    kernel, bias = layer("q", "Dense_0")
    x = leaky(features @ kernel + bias)
    kernel, bias = layer("q", "Dense_1")
    found = modules["q"].apply(variables["q"], features, images, train=False)
    np.testing.assert_allclose(found, x @ kernel + bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "architecture",
    [
        networks.Dcgan(image_shape=(8, 8, 1), width=2, dense=6, init_std=None),
        networks.Mlp(image_shape=(8, 8, 1), g_widths=(6,), d_widths=(6,)),
    ],
)
def test_tanh_is_mapped_to_the_images_range_and_back(architecture, key):
    modules, variables = {}, {}
    for output in ("tanh", "sigmoid"):
        one = dataclasses.replace(architecture, output=output)
        modules[output], variables = built(one, key)
    images = jax.random.uniform(key, (3, 8, 8, 1))
    seen = [
        modules[output]["trunk"].apply(variables["trunk"], x, train=False)
        for output, x in (("tanh", images), ("sigmoid", 2 * images - 1))
    ]
    np.testing.assert_allclose(*seen, rtol=1e-6)
    latent = jax.random.normal(key, (3, 74))
    tanh, sigmoid = (
        modules[output]["g"].apply(variables["g"], latent, train=False)
        for output in ("tanh", "sigmoid")
    )
    before = jnp.log(sigmoid / (1 - sigmoid))
    np.testing.assert_allclose(tanh, (jnp.tanh(before) + 1) / 2, rtol=1e-4)


def test_weights_begin_with_the_papers_deviation(key):
    """.02 everywhere; with weights by fan-in in D's last layer alone."""
    _, paper = built(networks.Dcgan(width=16, dense=256), key)
    for name, layer in (
        ("trunk", "DownConv_1"),
        ("trunk", "Dense_0"),
        ("g", "Dense_1"),
    ):
        kernel = paper[name]["params"][layer]["kernel"]
        assert kernel.std() == pytest.approx(0.02, rel=0.1), (name, layer)
    _, wide = built(networks.Dcgan(width=2, dense=4096, init_std=None), key)
    kernel = wide["d"]["params"]["Dense_0"]["kernel"]
    assert kernel.std() == pytest.approx(0.02, rel=0.1)


def test_the_spectral_g_written_out(key):
    """Its convolution's norm comes after the activation, and a sigmoid last."""
    sizes = {"d_widths": (2, 3), "d_dense": 6, "q_hidden": 5, "g_widths": (2,)}
    architecture = networks.Spectral((8, 8, 1), **sizes, leak=0.3, init_std=None)
    modules, variables = built(architecture, key)
    rng = np.random.default_rng(0)
    g = drawn(variables, rng)["g"]
    x = latent = rng.normal(size=(3, 74)).astype(np.float32)
    for i in (0, 1):
        x = normalised(g, i, np.maximum(layer(g, f"Dense_{i}", x), 0))
    first, last = (g["params"][f"UpConv_{i}"] for i in (0, 1))
    x = up(x.reshape(3, 2, 2, 3), first["kernel"]) + first["bias"]
    x = normalised(g, 2, np.where(x > 0, x, 0.3 * x))
    x = up(x, last["kernel"]) + last["bias"]
    found = modules["g"].apply(g, latent, train=False)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-x)), rtol=1e-3, atol=1e-5)


def test_the_dense_networks_written_out(key):
    architecture = networks.Mlp((4, 4, 1), g_widths=(6, 5), d_widths=(7, 6))
    modules, variables = built(architecture, key)
    rng = np.random.default_rng(0)
    variables = drawn(variables, rng)

    def leaky(x):
        return np.where(x > 0, x, 0.2 * x)

    images = rng.random((3, 4, 4, 1), np.float32)
    x = 2 * images.reshape(3, 16) - 1
    for i in (0, 1):
        x = leaky(layer(variables["trunk"], f"Dense_{i}", x))
    found = modules["trunk"].apply(variables["trunk"], images, train=False)
    np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-5)

    g = variables["g"]
    x = latent = rng.normal(size=(3, 74)).astype(np.float32)
    for i in (0, 1):
        x = normalised(g, i, leaky(layer(g, f"Dense_{i}", x)))
    x = (np.tanh(layer(g, "Dense_2", x)) + 1) / 2
    found = modules["g"].apply(g, latent, train=False)
    np.testing.assert_allclose(found.reshape(3, 16), x, rtol=1e-3, atol=1e-5)


def test_dense_layers_drop_their_share_each_by_itself(key):
    """Of ones through two layers of .3 each, .49 are left, and made larger."""
    architecture = networks.Mlp((20, 20, 1), d_widths=(400, 400), dropout=0.3)
    trunk, images = (
        architecture.networks(5, 3, None)["trunk"],
        jnp.ones((50, 20, 20, 1)),
    )
    same = {"kernel": jnp.eye(400), "bias": jnp.zeros(400)}
    params, keys = {"Dense_0": same, "Dense_1": same}, jax.random.split(key, 50)
    found = trunk.apply({"params": params}, images, train=True, keys=keys)
    np.testing.assert_allclose(np.unique(found), [0, 1 / 0.49], rtol=1e-6)
    assert float((found > 0).mean()) == pytest.approx(0.49, abs=0.02)


def test_a_dense_q_reads_what_g_would_make_of_the_images(key):
    sizes = {"width": 2, "dense": 6, "init_std": None, "q_trunk": (5,)}
    images, features = jax.random.uniform(key, (3, 8, 8, 1)), jnp.zeros((3, 6))
    read = []
    for output, seen in (("tanh", images), ("sigmoid", 2 * images - 1)):
        dcgan = networks.Dcgan((8, 8, 1), **sizes, shared=False, output=output)
        modules, variables = built(dcgan, key)
        read.append(modules["q"].apply(variables["q"], features, seen, train=False))
    np.testing.assert_allclose(*read, rtol=1e-5, atol=1e-6)


def test_a_norms_variance_is_of_what_is_left_of_the_mean():
    """In float32 the squares of numbers near 1,000 would hide a variance of 1."""
    x = (1000 + np.random.default_rng(0).normal(size=(64, 3))).astype(np.float32)
    norm = layers.norm(None, train=True)
    variables = norm.init(jax.random.key(0), x)
    found, _ = norm.apply(variables, x, mutable="batch_stats")
    wide, scale = x.astype(np.float64), np.asarray(variables["params"]["scale"])
    expected = (wide - wide.mean(0)) / wide.std(0) * scale
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_the_scales_of_norms_begin_at_the_published_deviation(key):
    scale = layers.norm(None, train=True).init(key, jnp.ones((2, 10_000)))
    scale = scale["params"]["scale"]
    assert float(scale.mean()) == pytest.approx(1, abs=0.001)
    assert float(scale.std()) == pytest.approx(0.02, rel=0.05)
