"""Dense networks, as tutorials have them."""

from dataclasses import dataclass

import jax
from flax import linen as nn

from infogan_jax import registry, rules, types
from infogan_jax.networks import layers


@registry.register
@dataclass(frozen=True)
class Mlp:
    """Dense networks, as in common tutorials; leaky ReLU .2, dropout in D.

    Attributes:
      image_shape: (H, W, C), C 1 or 3.
      g_widths: G's hidden layers; each norm follows its activation, so biases stay.
      d_widths: the trunk's hidden layers.
      dropout: share of the trunk's features dropped in training, in [0, 1).
      output: "tanh" mapped to [0, 1] (and back at D's entrance), or "sigmoid".
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    g_widths: tuple[int, ...] = (256, 512, 1024)
    d_widths: tuple[int, ...] = (1024, 512, 256)
    dropout: float = 0.3
    output: str = "tanh"

    def __post_init__(self):
        layers.check_image_shape(self.image_shape, 1)
        layers.check_output(self.output)
        layers.check_tuples(self, "g_widths", "d_widths", may_be_empty=True)
        rules.check_share("dropout", self.dropout)

    def networks(self, latent_dim: int, n_params: int, axis_name: types.Axis) -> dict:
        """The four modules by name; `axis_name` spans the norms' batch."""
        del latent_dim
        return {
            "trunk": DenseTrunk(self.d_widths, self.dropout, self.output),
            "d": layers.LinearD(),
            "q": LinearQ(n_params),
            "g": DenseG(self.image_shape, self.g_widths, self.output, axis_name),
        }


class DenseTrunk(nn.Module):
    """Images [B, H, W, C] to features [B, widths[-1]]."""

    widths: tuple[int, ...]
    dropout: float
    output: str

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool, keys: jax.Array | None = None
    ) -> jax.Array:
        x = layers.flatten(layers.to_network_range(images, self.output))
        for layer, width in enumerate(self.widths):
            x = nn.leaky_relu(layers.Dense(width)(x), 0.2)
            if train and self.dropout:
                assert keys is not None
                x = layers.dropout(x, self.dropout, keys, layer)
        return x


class LinearQ(nn.Module):
    """Features [B, F] to Q's parameters [B, n_params]: a linear layer for all codes."""

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
        del images, train, keys
        return layers.Dense(self.n_params)(features)


class DenseG(nn.Module):
    """Latents [B, L] to images [B, H, W, C] in [0, 1]."""

    image_shape: tuple[int, int, int]
    widths: tuple[int, ...]
    output: str
    axis_name: types.Axis

    @nn.compact
    def __call__(
        self, latents: jax.Array, *, train: bool, keys: jax.Array | None = None
    ) -> jax.Array:
        del keys
        height, width, channels = self.image_shape
        x = latents
        for features in self.widths:
            x = nn.leaky_relu(layers.Dense(features)(x), 0.2)
            x = layers.norm(self.axis_name, train)(x)
        x = layers.Dense(height * width * channels)(x)
        return layers.to_image(x.reshape(-1, *self.image_shape), self.output)
