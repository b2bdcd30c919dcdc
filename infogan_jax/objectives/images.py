"""What Q may learn on real images, without their labels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from infogan_jax import latents, registry, rules, schedules, types
from infogan_jax.objectives import terms

if TYPE_CHECKING:
    from infogan_jax.config import Config


@registry.register
@dataclass(frozen=True)
class ImageInformation:
    """-weight * I(c; x) of Q on real images: H of its mean category - mean H(Q(c|x)).

    Of each categorical code, in nats, over the batch: highest if Q is sure of every
    image and finds all categories alike. No label is read; G learns of it through L_I
    alone. Beside it belongs `VirtualAdversarial`, which keeps a sure Q from cutting
    where it likes. With a small weight the two find the categories by themselves; a
    large one, at the end of a training, holds those that are found.
    What was trained for it is not to be compared by `metrics.image_information`.

    Attributes:
      weight: a number of at least 0, or a schedule.
      balance: factor of H of the mean category, at least 0, or a schedule. 1 is the
        information; more holds Q harder to finding all categories alike, as G's codes
        are drawn.
      updates: the updates that minimise it.

    Source: Krause et al. 2010 (Discriminative clustering by regularized information
    maximization, NIPS); with a balance of 4: Hu et al. 2017 (arXiv:1702.08720).
    """

    weight: schedules.Value = 1.0
    balance: schedules.Value = 1.0
    updates: tuple[str, ...] = ("g",)

    def check(self, config: "Config") -> None:
        """Raises unless there is a categorical code, and the rest can work."""
        _check_reads_categories(self, config)
        schedules.check("balance", self.balance)

    def __call__(self, p: terms.Pass) -> types.Metrics:
        """The same loss for every update in `updates`."""
        weight, balance = terms.now(p, self.weight, self.balance)
        information = 0.0
        for log_q in _categories(p.codes, p.q_real):
            q = jnp.exp(log_q)
            mean = p.mean(q)
            information += (q * log_q).sum(-1).mean()
            information -= balance * (mean @ jnp.log(mean + 1e-12))
        return dict.fromkeys(self.updates, -weight * information)


@registry.register
@dataclass(frozen=True)
class VirtualAdversarial:
    """weight * KL(Q(c|x) || Q(c|x + r)) of the categorical codes: x real, r the worst.

    Virtual adversarial training of Q. r is as long as `radius` and points, after one
    power iteration, to where Q's categories change most; where they hardly change, and
    the gradient is shorter than about 1e-6, r is shorter too. Dropout, if Q has any, is
    not the same on both sides. L_I does not mind where the border of two categories
    runs; this term draws it to where there are few real images. No label is read, and G
    learns of it through L_I alone. Which networks learn is for the nets of the updates
    to say: with the architecture's `shared=False` all of Q does, and D's features are
    spared.

    Attributes:
      weight: a number of at least 0, or a schedule.
      radius: length of r over all of an image's values, which lie in [0, 1]; above 0,
        or a schedule, where nothing is compared while it is 0. A large one finds coarse
        groups of images; a small one finds where within such a group images are few.
      probe: length of the random step at whose end the power iteration takes its
        gradient, above 0. A step as long as the images finds a direction where Q is
        so sure that near by nothing changes.
      updates: the updates that minimise it.

    Source: Miyato et al. 2018 (arXiv:1704.03976), section 3; on a clustering by mutual
    information: Hu et al. 2017 (arXiv:1702.08720).
    """

    weight: schedules.Value = 1.0
    radius: schedules.Value = 2.0
    probe: float = 1.0
    updates: tuple[str, ...] = ("g",)

    def check(self, config: "Config") -> None:
        """Raises unless there is a categorical code, and the rest can work."""
        _check_reads_categories(self, config)
        schedules.check("radius", self.radius)
        if self.radius == 0:
            raise ValueError("radius must be above 0: nothing is compared at 0.")
        rules.check_positive("probe", self.probe)

    def __call__(self, p: terms.Pass) -> types.Metrics:
        """The same loss, in nats, for every update in `updates`."""
        clean = jax.lax.stop_gradient(_categories(p.codes, p.q_real))

        def divergence(shift):
            moved = _categories(p.codes, p.recognise(p.real + shift))
            pairs = zip(clean, moved, strict=True)
            return sum((jnp.exp(a) * (a - b)).sum(-1) for a, b in pairs)

        def unit(images):
            squares = (images**2).sum((1, 2, 3), keepdims=True)
            return images * jax.lax.rsqrt(squares + 1e-12)

        shape, dtype = p.real.shape[1:], p.real.dtype
        noise = jax.vmap(lambda key: jax.random.normal(key, shape, dtype))(p.keys)
        probe = self.probe * unit(noise)
        steepest = jax.grad(lambda shift: divergence(shift).sum())(probe)
        radius, weight = terms.now(p, self.radius, self.weight)
        worst = radius * unit(jax.lax.stop_gradient(steepest))
        return dict.fromkeys(self.updates, weight * divergence(worst).mean())


def _check_reads_categories(term, config):
    """What terms on Q(c|x) of real images have in common."""
    if not any(isinstance(part, latents.Categorical) for part in config.codes.parts):
        raise ValueError(
            f"{type(term).__name__} needs a categorical code; the codes are "
            f"{config.codes.parts}."
        )
    schedules.check("weight", term.weight)
    terms.check_updates(term, config)
    shares = getattr(config.architecture, "shared", True)
    readers = {"q", "trunk"} if shares else {"q"}
    for update in config.updates:
        if update.name in term.updates and not readers & set(update.nets):
            raise ValueError(
                f"{type(term).__name__} would teach nobody in update {update.name!r}, "
                f"which lists {update.nets}; name one with 'q' by its `updates`."
            )


def _categories(codes, q):
    """Log-probabilities of the values of each categorical code, [B, n] each."""
    pairs = zip(codes.parts, codes.split_params(q), strict=True)
    return [
        jax.nn.log_softmax(logits)
        for part, logits in pairs
        if isinstance(part, latents.Categorical)
    ]
