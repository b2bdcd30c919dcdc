"""The contrastive regulariser of InfoGAN-CR: which code do two images share?

A network H of its own sees two images side by side. They were made from the same noise
and from codes that agree in one place and were drawn apart in all others; H names the
place, and G makes it easy for H. Not to be confused with the InfoNCE loss between an
image and its code that goes by the same name elsewhere.

Source: Lin et al. 2020 (arXiv:1906.06034), section 3.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from infogan_jax import latents, registry, schedules, types
from infogan_jax.objectives import terms

if TYPE_CHECKING:
    from infogan_jax.config import Config


@registry.register
@dataclass(frozen=True)
class ContrastivePairs:
    """Cross-entropy of H on pairs: H learns it in `update`, G with `weight` in "g".

    It brings the network "h", which an update has to list. While the weight is 0, H
    learns from what G draws with its running statistics, and G does not learn from H.

    Attributes:
      weight: of G's share; a number, or a schedule such as `Switch(0.0, 2.0, at)`.
      gap: least distance of the codes that a pair does not share, in [0, 2); a number
        or a schedule, whose values are clipped to [0, 2]. More than 0 needs uniform
        codes of one dimension.
      update: the update that trains H; any but "g".
    """

    weight: schedules.Value = 1.0
    gap: schedules.Value = 0.0
    update: str = "h"
    teaches_q: ClassVar[bool] = False

    def check(self, config: "Config") -> None:
        """Raises unless H can be built, is trained, and the pairs can be drawn."""
        if len(config.codes.parts) < 2:
            raise ValueError("ContrastivePairs needs at least two codes to tell apart.")
        if not hasattr(config.architecture, "pair_network"):
            raise ValueError(
                f"{type(config.architecture).__name__} has no pair_network for "
                "ContrastivePairs; use Dcgan or Spectral."
            )
        if self.update == "g":
            raise ValueError(
                "ContrastivePairs trains H in an update of its own, not in 'g'; name "
                "another."
            )
        owners = {u.name for u in config.updates if "h" in u.nets}
        if owners != {self.update}:
            raise ValueError(
                f"ContrastivePairs trains its network 'h' in update {self.update!r}, "
                f"but 'h' is listed in {sorted(owners)}; list it in that one alone: "
                f"Update({self.update!r}, ('h',), lr=...)."
            )
        schedules.check("weight", self.weight)
        schedules.check("gap", self.gap)
        apart = callable(self.gap) or self.gap > 0
        if apart and not all(_can_be_apart(part) for part in config.codes.parts):
            raise ValueError(
                f"a gap of {self.gap} needs uniform codes of one dimension, not "
                f"{config.codes.parts}."
            )
        if not callable(self.gap) and not self.gap < 2:
            raise ValueError(f"gap must be below 2, the prior's width: {self.gap}.")

    def networks(
        self, config: "Config", axis_name: types.Axis = None
    ) -> dict[str, Any]:
        """H, on the architecture's sizes."""
        n_codes = len(config.codes.parts)
        architecture: Any = config.architecture  # One of those that have it.
        return {"h": architecture.pair_network(n_codes, axis_name)}

    def input_shapes(self, config: "Config") -> dict[str, tuple]:
        """The shapes that H is given, without the batch."""
        height, width, channels = config.image_shape
        return {"h": ((height, width, 2 * channels),)}

    def __call__(self, p: terms.Pass) -> types.Metrics:
        """Losses of `update` and "g", in nats."""
        weight, gap = terms.now(p, self.weight, self.gap)
        first, second, shared = jax.vmap(lambda key: draw_pair(p.codes, key, gap))(
            p.keys
        )

        def pairs(train):
            images = [p.generate(p.z, c, train=train) for c in (first, second)]
            return jnp.concatenate(images, -1)

        def mean_loss(seen):
            losses = optax.softmax_cross_entropy_with_integer_labels(
                p.apply("h", seen), shared
            )
            return losses.mean()

        def on(yes, no):
            return jax.lax.cond(weight > 0, yes, no)

        # Nothing is computed for G as long as it does not count. H's own loss comes
        # last: its statistics are those of its last application.
        of_g = weight * on(
            lambda: mean_loss(pairs(True)), lambda: jnp.zeros_like(weight)
        )
        of_h = mean_loss(on(lambda: pairs(True), lambda: pairs(False)))
        return {self.update: of_h, "g": of_g}


def draw_pair(
    codes: latents.Product, key: jax.Array, gap: jax.Array | float = 0.0
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Two codes that agree in one part and were drawn apart in the others.

    Args:
      codes: the prior.
      key: of the pair; `vmap` over keys for more.
      gap: least distance in the other parts, where these are uniform and of one
        dimension; parts of another kind are two draws, which may be equal. May be
        traced, and is clipped to [0, 2].

    Returns:
      The two codes, each [dim], and the part that they share, int32. The shared part
      follows the prior whatever the gap, the others only at gap 0.
    """
    gap = jnp.clip(gap, 0.0, 2.0)
    key_shared, *keys = jax.random.split(key, 1 + len(codes.parts))
    shared = jax.random.randint(key_shared, (), 0, len(codes.parts), jnp.int32)
    first, second = [], []
    for i, (part, key_part) in enumerate(zip(codes.parts, keys, strict=True)):
        draw = _apart if _can_be_apart(part) else _independent
        key_same, key_pair = jax.random.split(key_part)
        same = part.sample(key_same)
        one, other = draw(part, key_pair, gap)
        first.append(jnp.where(shared == i, same, one))
        second.append(jnp.where(shared == i, same, other))
    return jnp.concatenate(first), jnp.concatenate(second), shared


def _can_be_apart(part):
    return isinstance(part, latents.Uniform) and part.dim == 1


def _independent(part, key, gap):
    del gap
    one, other = jax.random.split(key)
    return part.sample(one), part.sample(other)


def _apart(part, key, gap):
    """Uniform on the pairs of [-1, 1]^2 that are at least `gap` apart."""
    key_swap, *keys = jax.random.split(key, 3)
    # Draw from a square that is smaller by the gap, then put the gap between the two.
    a, b = ((1 - gap / 2) * part.sample(k) for k in keys)
    low, high = jnp.minimum(a, b) - gap / 2, jnp.maximum(a, b) + gap / 2
    swap = jax.random.uniform(key_swap, (), jnp.float32) < 0.5
    return jnp.where(swap, low, high), jnp.where(swap, high, low)
