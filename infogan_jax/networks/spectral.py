"""The networks of InfoGAN-CR: spectral norm in D and Q, no batch norm there."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn

from infogan_jax import registry, types
from infogan_jax.networks import initialisers, layers


@registry.register
@dataclass(frozen=True)
class Spectral:
    """Convolutions with spectral norm in D and Q, batch norm after activations in G.

    The defaults are InfoGAN-CR's networks for dSprites (appendix D), which "InfoGAN
    (modified)" uses too. Every layer of the trunk and of both heads is divided by its
    largest singular value, by one power iteration in each update that teaches it (of
    two in a step, as of all statistics, the first one's is kept): as published, and
    exact once the weights move slowly.

    Attributes:
      image_shape: (H, W, C); H and W divisible by 2**len(d_widths) and by
        2**(len(g_widths) + 1), C 1 or 3.
      d_widths: channels of the trunk's convolutions of stride 2.
      d_dense: features of the trunk.
      q_hidden: features of Q's hidden layer.
      g_dense: features of G's hidden dense layers; one more makes the first feature
        map, of `d_widths[-1]` channels.
      g_widths: channels of G's transposed convolutions but the last, which has C.
      leak: slope of the leaky ReLUs.
      init_std: standard deviation of the initial weights; None scales it by fan-in.

    Source: Lin et al. 2020 (arXiv:1906.06034); spectral norm: Miyato et al. 2018
    (arXiv:1802.05957).
    """

    image_shape: tuple[int, int, int] = (64, 64, 1)
    d_widths: tuple[int, ...] = (32, 32, 64, 64)
    d_dense: int = 128
    q_hidden: int = 128
    g_dense: tuple[int, ...] = (128,)
    g_widths: tuple[int, ...] = (64, 32, 32)
    leak: float = 0.2
    init_std: float | None = 0.02

    def __post_init__(self):
        layers.check_tuples(self, "d_widths", "g_dense", "g_widths")
        halvings = max(len(self.d_widths), len(self.g_widths) + 1)
        layers.check_image_shape(self.image_shape, 2**halvings)
        layers.check_sizes(self, "d_dense", "q_hidden")
        layers.check_scales(self)

    def networks(self, latent_dim: int, n_params: int, axis_name: types.Axis) -> dict:
        """The four modules by name; `axis_name` spans G's norms' batch."""
        del latent_dim
        return {
            "trunk": self.trunk(axis_name),
            "d": SpectralD(self),
            "q": SpectralQ(self, n_params),
            "g": ActivationFirstG(self, axis_name),
        }

    def pair_network(self, n_codes: int, axis_name: types.Axis) -> nn.Module:
        """H: two images on the channel axis -> logits [B, n_codes] of what they share.

        As the trunk, with a head without spectral norm.
        """
        return layers.Pair(self, n_codes, axis_name)

    def trunk(self, axis_name: types.Axis) -> nn.Module:
        """The shared features of D and Q."""
        del axis_name  # There are no batch norms.
        return SpectralTrunk(self)

    def kernel_init(self) -> Callable:
        """Initialiser of every kernel."""
        return initialisers.normal(0.0, self.init_std)


class SpectralTrunk(nn.Module):
    """Images [B, H, W, C] to features [B, d_dense]."""

    architecture: Spectral

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool, keys: jax.Array | None = None
    ) -> jax.Array:
        del keys
        arch, init = self.architecture, self.architecture.kernel_init()
        x = images
        for features in arch.d_widths:
            conv = layers.DownConv(features, kernel_init=init)
            x = nn.leaky_relu(_spectral_norm(conv, train)(x), arch.leak)
        dense = layers.Dense(arch.d_dense, kernel_init=init)
        return nn.leaky_relu(_spectral_norm(dense, train)(layers.flatten(x)), arch.leak)


class SpectralD(nn.Module):
    """Features [B, F] to logits [B]."""

    architecture: Spectral

    @nn.compact
    def __call__(
        self, features: jax.Array, *, train: bool, keys: jax.Array | None = None
    ) -> jax.Array:
        del keys
        dense = layers.Dense(1, kernel_init=self.architecture.kernel_init())
        return _spectral_norm(dense, train)(features)[:, 0]


class SpectralQ(nn.Module):
    """Features [B, F] to Q's parameters [B, n_params]."""

    architecture: Spectral
    n_params: int

    @nn.compact
    def __call__(
        self,
        features: jax.Array,
        images: jax.Array,
        *,
        train: bool,
        keys: jax.Array | None = None,
    ) -> jax.Array:
        del images, keys
        init = self.architecture.kernel_init()
        hidden = layers.Dense(self.architecture.q_hidden, kernel_init=init)
        x = _spectral_norm(hidden, train)(features)
        x = nn.leaky_relu(x, self.architecture.leak)
        return _spectral_norm(layers.Dense(self.n_params, kernel_init=init), train)(x)


class ActivationFirstG(nn.Module):
    """Latents [B, L] to images [B, H, W, C] in [0, 1]; biases stay before the norms."""

    architecture: Spectral
    axis_name: types.Axis

    @nn.compact
    def __call__(
        self, latents: jax.Array, *, train: bool, keys: jax.Array | None = None
    ) -> jax.Array:
        del keys
        arch, init = self.architecture, self.architecture.kernel_init()
        height, width, channels = arch.image_shape
        levels = len(arch.g_widths) + 1
        start = (height // 2**levels, width // 2**levels, arch.d_widths[-1])

        x = latents
        for features in (*arch.g_dense, math.prod(start)):
            x = nn.relu(layers.Dense(features, kernel_init=init)(x))
            x = layers.norm(self.axis_name, train)(x)
        x = jnp.reshape(x, (-1, *start))
        for features in arch.g_widths:
            x = layers.UpConv(features, kernel_init=init)(x)
            x = layers.norm(self.axis_name, train)(nn.leaky_relu(x, arch.leak))
        return nn.sigmoid(layers.UpConv(channels, kernel_init=init)(x))


class SpectralNorm(nn.SpectralNorm):
    """Flax's, but for `init`: Flax's would store kernels that it has divided.

    They would be up to eight times as large as their initialiser says, and Adam's steps
    as much smaller beside them.
    """

    def _spectral_normalize(self, path, vs, update_stats):
        divided = super()._spectral_normalize(path, vs, update_stats)
        return vs if self.is_initializing() else divided


def _spectral_norm(layer, train):
    """The layer with its kernel divided by its largest singular value.

    That makes float32 of the kernel; the layer computes in its input's dtype.
    """
    norm = SpectralNorm(layer)
    return lambda x: norm(x, update_stats=train)
