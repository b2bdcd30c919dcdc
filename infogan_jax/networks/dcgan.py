"""The paper's convolutional networks, in any size."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
from flax import linen as nn

from infogan_jax import registry, types
from infogan_jax.networks import initialisers, layers


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
        0.02 theirs start so weak that D wins before G draws anything. D's last layer
        has 0.02 with both.
      output: "sigmoid", or "tanh" mapped to [0, 1] (and back at D's entrance).
      shared: False gives Q a trunk of its own instead of D's features.
      q_trunk: features of this trunk's layers, dense ones on the pixels; if empty, it
        is convolutions as D's. `objectives.VirtualAdversarial` wants dense ones.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    width: int = 64
    depth: int = 2
    dense: int = 1024
    q_hidden: int = 128
    leak: float = 0.1
    init_std: float | None = 0.02
    output: str = "sigmoid"
    shared: bool = True
    q_trunk: tuple[int, ...] = ()

    def __post_init__(self):
        layers.check_sizes(self, "width", "depth", "dense", "q_hidden")
        layers.check_tuples(self, "q_trunk", may_be_empty=True)
        layers.check_image_shape(self.image_shape, 2**self.depth)
        if self.q_trunk and self.shared:
            raise ValueError(
                f"q_trunk {self.q_trunk} is for a Q that does not read D's features; "
                "set shared=False with it."
            )
        layers.check_output(self.output)
        layers.check_scales(self)

    def networks(self, latent_dim: int, n_params: int, axis_name: types.Axis) -> dict:
        """The four modules by name; `axis_name` spans the norms' batch."""
        del latent_dim  # Dense layers infer it.
        return {
            "trunk": self.trunk(axis_name),
            "d": layers.LinearD(),
            "q": ConvQ(self, n_params, axis_name),
            "g": ConvG(self, axis_name),
        }

    def pair_network(self, n_codes: int, axis_name: types.Axis) -> nn.Module:
        """H: two images on the channel axis -> logits [B, n_codes] of what they share.

        As the trunk, with a head of its own.
        """
        return layers.Pair(self, n_codes, axis_name)

    def trunk(self, axis_name: types.Axis) -> nn.Module:
        """The shared features of D and Q."""
        return ConvTrunk(self, axis_name)

    def kernel_init(self) -> Callable:
        """Initialiser of dense and convolution kernels."""
        return initialisers.normal(0.0, self.init_std)


class ConvTrunk(nn.Module):
    """Images [B, H, W, C] to features [B, dense]."""

    architecture: Dcgan
    axis_name: types.Axis

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool, keys: jax.Array | None = None
    ) -> jax.Array:
        del keys
        arch, init = self.architecture, self.architecture.kernel_init()
        x = layers.to_network_range(images, arch.output)
        for level in range(arch.depth):
            features, first = arch.width * 2**level, level == 0
            x = layers.DownConv(features, use_bias=first, kernel_init=init)(x)
            x = x if first else layers.norm(self.axis_name, train)(x)
            x = nn.leaky_relu(x, arch.leak)
        x = layers.flatten(x)
        x = layers.Dense(arch.dense, use_bias=False, kernel_init=init)(x)
        return nn.leaky_relu(layers.norm(self.axis_name, train)(x), arch.leak)


class ConvQ(nn.Module):
    """Features, or images through a trunk of its own, to Q's parameters."""

    architecture: Dcgan
    n_params: int
    axis_name: types.Axis

    @nn.compact
    def __call__(
        self,
        features: jax.Array,
        images: jax.Array,
        *,
        train: bool,
        keys: jax.Array | None = None,
    ) -> jax.Array:
        arch, init = self.architecture, self.architecture.kernel_init()
        if arch.q_trunk:
            features = layers.flatten(layers.to_network_range(images, arch.output))
        elif not arch.shared:
            trunk = arch.trunk(self.axis_name)
            features = trunk(images, train=train, keys=keys)
        for width in (*arch.q_trunk, arch.q_hidden):
            features = layers.Dense(width, use_bias=False, kernel_init=init)(features)
            features = layers.norm(self.axis_name, train)(features)
            features = nn.leaky_relu(features, arch.leak)
        return layers.Dense(self.n_params, kernel_init=init)(features)


class ConvG(nn.Module):
    """Latents [B, L] to images [B, H, W, C] in [0, 1]."""

    architecture: Dcgan
    axis_name: types.Axis

    @nn.compact
    def __call__(
        self, latents: jax.Array, *, train: bool, keys: jax.Array | None = None
    ) -> jax.Array:
        del keys
        arch, init = self.architecture, self.architecture.kernel_init()
        height, width, channels = arch.image_shape
        start = (
            height // 2**arch.depth,
            width // 2**arch.depth,
            arch.width * 2 ** (arch.depth - 1),
        )

        x = layers.Dense(arch.dense, use_bias=False, kernel_init=init)(latents)
        x = nn.relu(layers.norm(self.axis_name, train)(x))
        x = layers.Dense(math.prod(start), use_bias=False, kernel_init=init)(x)
        x = nn.relu(layers.norm(self.axis_name, train)(x))
        x = x.reshape(-1, *start)
        for level in reversed(range(arch.depth - 1)):
            features = arch.width * 2**level
            x = layers.UpConv(features, use_bias=False, kernel_init=init)(x)
            x = nn.relu(layers.norm(self.axis_name, train)(x))
        x = layers.UpConv(channels, kernel_init=init)(x)
        return layers.to_image(x, arch.output)
