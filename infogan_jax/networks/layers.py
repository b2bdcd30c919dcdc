"""Layers that the architectures share, and the checks of their settings."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from infogan_jax import rules, types
from infogan_jax.networks import initialisers
from infogan_jax.ops import convolutions, products

_OUTPUTS = ("sigmoid", "tanh")


class _Linear(nn.Module):
    """A kernel and a bias around the `operation` of a subclass.

    It computes in the dtype of what it is given. Its bias is added in float32 at least,
    and so learns from a sum in float32: of many numbers bfloat16 would lose most.
    """

    features: int
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.lecun_normal()

    window: ClassVar[tuple[int, ...]] = ()
    operation: ClassVar[Callable]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (*self.window, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        y = self.operation(x, kernel.astype(x.dtype))
        if self.use_bias:
            zeros = nn.initializers.zeros
            bias = self.param("bias", zeros, (self.features,), jnp.float32)
            wide = jnp.promote_types(x.dtype, jnp.float32)
            bias = bias.astype(wide).reshape((1,) * (y.ndim - 1) + (-1,))
            y = (y.astype(wide) + bias).astype(x.dtype)
        return y


class Dense(_Linear):
    """[..., F] to [..., features], as `flax.linen.Dense`, but in the input's dtype."""

    operation = staticmethod(products.matmul)


class DownConv(_Linear):
    """Convolution of stride 2, 4x4: [B, H, W, C] to [B, H/2, W/2, features]."""

    window: ClassVar = (4, 4)
    operation = staticmethod(convolutions.strided_conv)


class UpConv(_Linear):
    """Its transpose, of stride 2, 4x4: [B, H, W, C] to [B, 2H, 2W, features]."""

    window: ClassVar = (4, 4)
    operation = staticmethod(convolutions.conv_transpose)


class LinearD(nn.Module):
    """Features [B, F] to logits [B]."""

    @nn.compact
    def __call__(
        self, features: jax.Array, *, train: bool, keys: jax.Array | None = None
    ) -> jax.Array:
        del train, keys
        return Dense(1, kernel_init=initialisers.normal(0.0, 0.02))(features)[:, 0]


class Pair(nn.Module):
    """H: an architecture's trunk on pairs [B, H, W, 2C], to logits [B, n_codes]."""

    architecture: Any
    n_codes: int
    axis_name: types.Axis

    @nn.compact
    def __call__(
        self, pairs: jax.Array, *, train: bool, keys: jax.Array | None = None
    ) -> jax.Array:
        trunk = self.architecture.trunk(self.axis_name)
        features = trunk(pairs, train=train, keys=keys)
        init = self.architecture.kernel_init()
        return Dense(self.n_codes, kernel_init=init)(features)


class BatchNorm(nn.BatchNorm):
    """Flax's, which refuses to learn from a single value."""

    def __call__(self, x):
        learns = not (self.use_running_average or self.is_initializing())
        devices = jax.lax.axis_size(self.axis_name) if learns and self.axis_name else 1
        # One value less its own mean is 0: no gradient would reach earlier layers.
        if learns and devices * x.size == x.shape[-1]:
            raise ValueError(
                "batch norm cannot learn from a batch of 1 image; use at least 2."
            )
        return super().__call__(x)


def norm(axis_name: types.Axis, train: bool) -> nn.Module:
    """Batch norm over all devices; Flax's momentum is the share that is kept.

    The variance takes two passes: E[x^2] - E[x]^2 loses the digits of the first fakes,
    which hardly differ from one another, and devices would then disagree.
    """
    return BatchNorm(
        use_fast_variance=False,
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        scale_init=initialisers.normal(1.0, 0.02),
        axis_name=axis_name,  # type: ignore[arg-type]  # Flax takes several too.
    )


def dropout(x: jax.Array, rate: float, keys: jax.Array, layer: int) -> jax.Array:
    """Dropout by the examples' own keys [B], each layer with a stream of its own."""

    def mask(key):
        key = jax.random.fold_in(key, layer)
        return jax.random.uniform(key, x.shape[1:], jnp.float32) < 1 - rate

    return jnp.where(jax.vmap(mask)(keys), x / (1 - rate), 0.0)


def flatten(x: jax.Array) -> jax.Array:
    """[B, ...] to [B, features]."""
    return x.reshape(x.shape[0], -1)


def to_network_range(images: jax.Array, output: str) -> jax.Array:
    """Images in [0, 1] to the range of `output`."""
    return images if output == "sigmoid" else 2 * images - 1


def to_image(x: jax.Array, output: str) -> jax.Array:
    """What G's last layer gives, to images in [0, 1]."""
    return nn.sigmoid(x) if output == "sigmoid" else (nn.tanh(x) + 1) / 2


def check_output(output: Any) -> None:
    """Raises unless it is a known range of G's last layer."""
    if output not in _OUTPUTS:
        raise ValueError(f"output must be one of {_OUTPUTS}, not {output!r}.")


def check_image_shape(shape: Any, multiple: int) -> None:
    """Raises unless it is (H, W, C) with sides that are multiples, C 1 or 3."""
    fits = isinstance(shape, tuple) and len(shape) == 3
    if not fits or not all(map(rules.is_whole, shape)):
        raise ValueError(
            f"image_shape must be a tuple (H, W, C) of whole numbers, not {shape!r}."
        )
    height, width, channels = shape
    if height % multiple or width % multiple:
        raise ValueError(
            f"images of {height}x{width} cannot be halved down to whole pixels; "
            f"use sides divisible by {multiple}."
        )
    if channels not in (1, 3):
        raise ValueError(f"images have 1 or 3 channels, not {channels}.")


def check_sizes(architecture: Any, *names: str) -> None:
    """Raises unless these fields are whole numbers from 1 on."""
    for name in names:
        rules.check_whole(name, getattr(architecture, name))


def check_scales(architecture: Any) -> None:
    """Raises unless `leak` is finite, and `init_std` above 0 too, or None."""
    rules.check_finite("leak", architecture.leak)
    if architecture.init_std is not None:
        rules.check_positive("init_std", architecture.init_std, ", or None")


def check_tuples(architecture: Any, *names: str, may_be_empty: bool = False) -> None:
    """Raises unless these fields are tuples of whole numbers from 1 on."""
    for name in names:
        value = getattr(architecture, name)
        fits = isinstance(value, tuple) and (value or may_be_empty)
        if not fits or not all(map(rules.is_whole, value)):
            raise ValueError(
                f"{name} must be a tuple of whole numbers of at least 1, such as "
                f"(256, 128), not {value!r}."
            )
