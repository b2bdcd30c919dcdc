"""Flax modules of G, D and Q, and the architectures that build them.

An architecture is a frozen dataclass whose `networks(latent_dim, n_params, axis_name)`
returns the modules by name:

    "g"      G(z, c)            latents [B, latent_dim] -> images [B, H, W, C] in [0, 1]
    "trunk"  shared features    images -> features
    "d"      D's head           features -> logits [B]
    "q"      Q                  (features, images) -> Q's parameters [B, n_params]

Every module is called as `module(*inputs, train=bool, keys=keys)`: with `train` it
normalises by the batch; `keys` [B] are the examples' own, for dropout and noise, so
that what an example sees does not depend on how many devices share the batch.

This is the only file that imports flax.linen.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn

from infogan_jax import ops, registry

_OUTPUTS = ("sigmoid", "tanh")


@registry.register
@dataclass(frozen=True)
class Dcgan:
    """The paper's convolutional networks (appendix C.1), in any size.

    D and Q share `depth` convolutions of stride 2 and a dense layer; G mirrors them.
    The defaults are the MNIST networks, with the paper's leak of 0.1. No layer that
    feeds a norm has a bias: its true gradient is 0, and Adam would amplify the rounding
    noise, differently on every number of devices.

    Attributes:
      image_shape: (H, W, C); H and W divisible by 2**depth, C 1 or 3.
      width: channels of the first convolution; each further one has twice as many.
      depth: number of strided convolutions.
      dense: features of the dense layers.
      q_hidden: features of Q's hidden layer.
      leak: slope of D's and Q's leaky ReLU; 0.1 in the paper, 0.01 in its code.
      init_std: standard deviation of the initial weights, 0.02 in the paper's code;
        None scales it by each layer's inputs instead, which small networks need: at
        0.02 theirs start so weak that D wins before G draws anything.
      output: "sigmoid", or "tanh" mapped to [0, 1] (and back at D's entrance).
      shared: False gives Q a trunk of its own instead of D's features.
    """

    image_shape: tuple = (28, 28, 1)
    width: int = 64
    depth: int = 2
    dense: int = 1024
    q_hidden: int = 128
    leak: float = 0.1
    init_std: float | None = 0.02
    output: str = "sigmoid"
    shared: bool = True

    def __post_init__(self):
        _check_image_shape(self.image_shape, 2**self.depth)
        _check_positive(self, "width", "depth", "dense", "q_hidden")
        _check_output(self.output)

    def networks(self, latent_dim: int, n_params: int, axis_name: str | None) -> dict:
        """The four modules by name; `axis_name` spans the norms' batch."""
        del latent_dim  # Dense layers infer it.
        trunk = ConvTrunk(self, axis_name)
        q = ConvQ(self, n_params, axis_name)
        return {"trunk": trunk, "d": LinearD(), "q": q, "g": ConvG(self, axis_name)}

    def kernel_init(self):
        """Initialiser of dense and convolution kernels."""
        return ops.normal(0.0, self.init_std)


@registry.register
@dataclass(frozen=True)
class Mlp:
    """Dense networks, as in common tutorials; leaky ReLU .2, dropout in D.

    Attributes:
      image_shape: (H, W, C).
      g_widths: G's hidden layers; each norm follows its activation, so biases stay.
      d_widths: the trunk's hidden layers.
      dropout: share of the trunk's features dropped in training, in [0, 1).
      output: "tanh" mapped to [0, 1] (and back at D's entrance), or "sigmoid".
    """

    image_shape: tuple = (28, 28, 1)
    g_widths: tuple = (256, 512, 1024)
    d_widths: tuple = (1024, 512, 256)
    dropout: float = 0.3
    output: str = "tanh"

    def __post_init__(self):
        _check_image_shape(self.image_shape, 1)
        _check_output(self.output)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), not {self.dropout}.")

    def networks(self, latent_dim: int, n_params: int, axis_name: str | None) -> dict:
        """The four modules by name; `axis_name` spans the norms' batch."""
        del latent_dim
        return {
            "trunk": DenseTrunk(self.d_widths, self.dropout, self.output),
            "d": LinearD(),
            "q": LinearQ(n_params),
            "g": DenseG(self.image_shape, self.g_widths, self.output, axis_name),
        }


class ConvTrunk(nn.Module):
    """Images [B, H, W, C] to features [B, dense]."""

    size: Dcgan
    axis_name: str | None

    @nn.compact
    def __call__(self, images, *, train, keys=None):  # noqa: D102
        del keys
        size, init = self.size, self.size.kernel_init()
        x = _enter(images, size.output)
        for level in range(size.depth):
            features, first = size.width << level, level == 0
            x = DownConv(features, use_bias=first, kernel_init=init)(x)
            x = x if first else _norm(self.axis_name, train)(x)
            x = nn.leaky_relu(x, size.leak)
        x = nn.Dense(size.dense, use_bias=False, kernel_init=init)(_flat(x))
        return nn.leaky_relu(_norm(self.axis_name, train)(x), size.leak)


class LinearD(nn.Module):
    """Features [B, F] to logits [B]."""

    @nn.compact
    def __call__(self, features, *, train, keys=None):  # noqa: D102
        del train, keys
        return nn.Dense(1, kernel_init=ops.normal(0.0, 0.02))(features)[:, 0]


class ConvQ(nn.Module):
    """Features, or images through a trunk of its own, to Q's parameters."""

    size: Dcgan
    n_params: int
    axis_name: str | None

    @nn.compact
    def __call__(self, features, images, *, train, keys=None):  # noqa: D102
        size, init = self.size, self.size.kernel_init()
        if not size.shared:
            features = ConvTrunk(size, self.axis_name)(images, train=train)
        x = nn.Dense(size.q_hidden, use_bias=False, kernel_init=init)(features)
        x = nn.leaky_relu(_norm(self.axis_name, train)(x), size.leak)
        return nn.Dense(self.n_params, kernel_init=init)(x)


class ConvG(nn.Module):
    """Latents [B, L] to images [B, H, W, C] in [0, 1]."""

    size: Dcgan
    axis_name: str | None

    @nn.compact
    def __call__(self, latents, *, train, keys=None):  # noqa: D102
        del keys
        size, init = self.size, self.size.kernel_init()
        height, width, channels = size.image_shape
        start = (
            height >> size.depth,
            width >> size.depth,
            size.width << size.depth - 1,
        )

        x = nn.Dense(size.dense, use_bias=False, kernel_init=init)(latents)
        x = nn.relu(_norm(self.axis_name, train)(x))
        x = nn.Dense(math.prod(start), use_bias=False, kernel_init=init)(x)
        x = nn.relu(_norm(self.axis_name, train)(x))
        x = x.reshape(-1, *start)
        for level in reversed(range(size.depth - 1)):
            x = UpConv(size.width << level, use_bias=False, kernel_init=init)(x)
            x = nn.relu(_norm(self.axis_name, train)(x))
        return _leave(UpConv(channels, kernel_init=init)(x), size.output)


class DenseTrunk(nn.Module):
    """Images [B, H, W, C] to features [B, widths[-1]]."""

    widths: tuple
    dropout: float
    output: str

    @nn.compact
    def __call__(self, images, *, train, keys=None):  # noqa: D102
        x = _flat(_enter(images, self.output))
        for layer, width in enumerate(self.widths):
            x = nn.leaky_relu(nn.Dense(width)(x), 0.2)
            if train and self.dropout:
                x = _drop(x, self.dropout, keys, layer)
        return x


class LinearQ(nn.Module):
    """Features [B, F] to Q's parameters [B, n_params]: one linear layer per code."""

    n_params: int

    @nn.compact
    def __call__(self, features, images, *, train, keys=None):  # noqa: D102
        del images, train, keys
        return nn.Dense(self.n_params)(features)


class DenseG(nn.Module):
    """Latents [B, L] to images [B, H, W, C] in [0, 1]."""

    image_shape: tuple
    widths: tuple
    output: str
    axis_name: str | None

    @nn.compact
    def __call__(self, latents, *, train, keys=None):  # noqa: D102
        del keys
        height, width, channels = self.image_shape
        x = latents
        for features in self.widths:
            x = nn.leaky_relu(nn.Dense(features)(x), 0.2)
            x = _norm(self.axis_name, train)(x)
        x = nn.Dense(height * width * channels)(x)
        return _leave(x.reshape(-1, *self.image_shape), self.output)


class _StridedConv(nn.Module):
    """A 4x4 kernel and a bias around the `operation` of a subclass."""

    features: int
    kernel_init: Callable
    use_bias: bool = True

    @nn.compact
    def __call__(self, x):  # noqa: D102
        shape = (4, 4, x.shape[-1], self.features)
        x = self.operation(x, self.param("kernel", self.kernel_init, shape))
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            x = x + bias.reshape(1, 1, 1, -1)
        return x


class DownConv(_StridedConv):
    """Convolution of stride 2: [B, H, W, C] to [B, H/2, W/2, features]."""

    operation = staticmethod(ops.strided_conv)


class UpConv(_StridedConv):
    """Transposed convolution of stride 2: [B, H, W, C] to [B, 2H, 2W, features]."""

    operation = staticmethod(ops.conv_transpose)


def _norm(axis_name, train):
    """Batch norm over all devices; Flax's momentum is the share that is kept.

    The variance takes two passes: E[x^2] - E[x]^2 loses the digits of the first fakes,
    which hardly differ from one another, and devices would then disagree.
    """
    return nn.BatchNorm(
        use_fast_variance=False,
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        scale_init=ops.normal(1.0, 0.02),
        axis_name=axis_name,
    )


def _drop(x, rate, keys, layer):
    def mask(key):
        return jax.random.bernoulli(
            jax.random.fold_in(key, layer), 1 - rate, x.shape[1:]
        )

    return jnp.where(jax.vmap(mask)(keys), x / (1 - rate), 0.0)


def _flat(x):
    return x.reshape(x.shape[0], -1)


def _enter(images, output):
    return images if output == "sigmoid" else 2 * images - 1


def _leave(x, output):
    return nn.sigmoid(x) if output == "sigmoid" else (nn.tanh(x) + 1) / 2


def _check_image_shape(shape, multiple):
    if not isinstance(shape, tuple) or len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"image_shape must be a tuple (H, W, C), not {shape!r}.")
    height, width, channels = shape
    if height % multiple or width % multiple:
        raise ValueError(
            f"images of {height}x{width} cannot be halved down to whole pixels; "
            f"use sides divisible by {multiple}."
        )
    if channels not in (1, 3):
        raise ValueError(f"images have 1 or 3 channels, not {channels}.")


def _check_positive(architecture, *names):
    for name in names:
        if getattr(architecture, name) < 1:
            value = getattr(architecture, name)
            raise ValueError(f"{name} must be at least 1, not {value}.")


def _check_output(output):
    if output not in _OUTPUTS:
        raise ValueError(f"output must be one of {_OUTPUTS}, not {output!r}.")
