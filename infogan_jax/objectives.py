"""The objective: terms, each a pure function of a `Pass` that says what to minimise.

A term is a registered frozen dataclass. Called on a `Pass` it returns a scalar loss for
each update that it has something to say to, by the update's name; a name that is
missing counts as 0. An optional `check(config)` raises on a setting that cannot work;
an optional `name` is what metrics call it, its class's name by default; an optional
`updates`, or `update`, names those that it has losses for, as far as it says; and
`reads_q = False` of its class says that it teaches Q nothing.
A term may bring networks: `networks(config, axis_name)` gives modules by name, and
`examples(config)` the shapes of each one's inputs, without the batch; an update has to
list them, and the term calls them by `p.apply(name, *inputs)`.

    @register
    @dataclass(frozen=True)
    class R1:
        weight: float = 10.0

        def __call__(self, p):
            gradient = jax.grad(lambda x: p.score(x).sum())(p.real)
            return {"d": self.weight / 2 * (gradient**2).sum((1, 2, 3)).mean()}
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import chex
import jax
import jax.numpy as jnp

from infogan_jax import latents, registry, rules, schedules, types

if TYPE_CHECKING:
    from infogan_jax.config import Config

Weights = schedules.Value | tuple[schedules.Value, ...] | None  # One for each code.


@dataclass(frozen=True, eq=False)
class Pass:
    """One forward pass over all networks: everything that a term may read.

    What no term reads is never computed: XLA removes it.

    Attributes:
      codes: the prior of the codes.
      step: updates done so far, int32.
      keys: [B] one key per example, for the noise of a term.
      real, fake: images [B, H, W, C] in [0, 1].
      label: int32 [B], -1 where unknown; None if the batch brought none.
      z, c: noise [B, noise.dim] and codes [B, codes.dim] of the fakes.
      d_real, d_fake: D's logits [B]. D learns through them.
      d_fooled: d_fake again, through a D that does not learn: what a generator that
        wants to fool D must use, or D learns to be fooled wherever it is listed too.
      q_real, q_fake: Q's parameters [B, codes.n_params].
      generate: (z, c) -> images; with train=False by G's running statistics.
      score: images -> logits [B].
      recognise: images -> Q's parameters.
      apply: (name, *inputs) -> output of a network that a term brought.
      mean: [B, ...] -> the mean over the examples of all devices, for what is not
        itself a mean of examples' losses.
    """

    codes: latents.Product
    step: jax.Array
    keys: jax.Array
    real: jax.Array
    fake: jax.Array
    label: jax.Array | None
    z: jax.Array
    c: jax.Array
    d_real: jax.Array
    d_fake: jax.Array
    d_fooled: jax.Array
    q_real: jax.Array
    q_fake: jax.Array
    generate: Callable[..., jax.Array]
    score: Callable[[jax.Array], jax.Array]
    recognise: Callable[[jax.Array], jax.Array]
    apply: Callable[..., jax.Array]
    mean: Callable[[jax.Array], jax.Array]


class Term(Protocol):
    """What the objective is made of; the module's docstring has what is optional."""

    def __call__(self, p: Pass) -> types.Metrics:
        """A scalar loss for each update by its name; one that is missing is 0."""


@registry.register
@dataclass(frozen=True)
class NonSaturating:
    """The usual GAN game: D maximises V, G maximises E log D(G(z, c)).

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), section 3.
    """

    reads_q: ClassVar[bool] = False

    def __call__(self, p: Pass) -> types.Metrics:
        """Losses of "d" and "g"."""
        return {"d": discrimination(p), "g": jax.nn.softplus(-p.d_fooled).mean()}


@registry.register
@dataclass(frozen=True)
class Minimax:
    """The game as written: G minimises E log(1 - D(G(z, c))), which D maximises.

    Source: Chen et al. 2016 (arXiv:1606.03657), eq. 1.
    """

    reads_q: ClassVar[bool] = False

    def __call__(self, p: Pass) -> types.Metrics:
        """Losses of "d" and "g"."""
        # log(1 - sigmoid(x)) = -softplus(x): finite for every logit.
        return {"d": discrimination(p), "g": -jax.nn.softplus(p.d_fooled).mean()}


@registry.register
@dataclass(frozen=True)
class MutualInformation:
    """-weight * L_I(G, Q): what makes a GAN an InfoGAN.

    Attributes:
      weight: the paper's lambda, at least 0; a number or schedule, or a tuple with one
        for each code. None is 1, but 0.1 for a continuous code whose sigma is learned:
        at sigma 0.1 its gradient is a hundred times that of the released code's sigma
        of 1, and it would take over what a category should carry.
      updates: the updates that minimise it. Which networks then learn from it is for
        the nets of those updates to say: "g" alone is the paper's eq. 6; the released
        code adds it to "d" too, whose update there holds Q's head.
      name: in the metrics, if not the class's; of two in one objective one needs it.

    Source: Chen et al. 2016 (arXiv:1606.03657), eq. 5 and 6.
    """

    weight: Weights = None
    updates: tuple[str, ...] = ("g",)
    name: str | None = None

    def check(self, config: "Config") -> None:
        """Raises unless all codes have a weight, all updates exist, and Q learns."""
        _check_weight(self.weight, config.codes)
        _check_updates(self, config)
        if not _is_q_taught(config):
            raise ValueError(
                "MutualInformation needs a Q that learns, but no term teaches an "
                f"update that lists 'q': {[(u.name, u.nets) for u in config.updates]}; "
                "list 'q' in one of its updates."
            )

    def __call__(self, p: Pass) -> types.Metrics:
        """The same loss for every update in `updates`."""
        information = p.codes.information(p.q_fake, p.c)
        return dict.fromkeys(self.updates, -_weighted(self.weight, information, p))


@registry.register
@dataclass(frozen=True)
class Recognition:
    """-weight * L_I as a lesson for Q alone: G does not learn from it.

    Beside an adversarial term it gives the paper's control (Fig. 1): a plain GAN whose
    codes are read by a Q on the side, on D's features, without touching them.

    Attributes:
      weight: as in MutualInformation.
      update: the update that trains Q.
    """

    weight: Weights = None
    update: str = "g"

    def check(self, config: "Config") -> None:
        """Raises unless there is a weight for every code and Q is all that learns."""
        _check_weight(self.weight, config.codes)
        for update in config.updates:
            if update.name == self.update and "trunk" in update.nets:
                raise ValueError(
                    f"Recognition in update {self.update!r} would teach the trunk too; "
                    "put Q into an update without it."
                )
        if not any(u.name == self.update and "q" in u.nets for u in config.updates):
            raise ValueError(
                f"Recognition teaches Q in update {self.update!r}, but no update of "
                "that name lists 'q'."
            )

    def __call__(self, p: Pass) -> types.Metrics:
        """The loss of `update`."""
        q = p.recognise(jax.lax.stop_gradient(p.fake))
        information = p.codes.information(q, p.c)
        return {self.update: -_weighted(self.weight, information, p)}


@registry.register
@dataclass(frozen=True)
class ImageInformation:
    """-weight * I(c; x) of Q on real images: H of its mean category - mean H(Q(c|x)).

    Of each categorical code, in nats, over the batch: highest if Q is sure of every
    image and finds all categories alike. No label is read; G learns of it through L_I
    alone. Beside it belongs `VirtualAdversarial`, which keeps a sure Q from cutting
    where it likes. With a small weight the two find the categories by themselves; with
    a large one they stay as they are, at the end of a training.
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
        _check_reader(self, config)
        schedules.check("balance", self.balance)

    def __call__(self, p: Pass) -> types.Metrics:
        """The same loss for every update in `updates`."""
        weight, balance = now(p, self.weight, self.balance)
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
    not the same on both sides. L_I is as high if a border of two categories runs
    through a digit as if it runs between two; here it costs least where there are few
    real images. No label is read, and G learns of it through L_I alone. Which networks
    learn is for the nets of the updates to say: with the architecture's `shared=False`
    all of Q does, and D's features are spared.

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
        _check_reader(self, config)
        schedules.check("radius", self.radius)
        if self.radius == 0:
            raise ValueError("radius must be above 0: nothing is compared at 0.")
        rules.check_positive("probe", self.probe)

    def __call__(self, p: Pass) -> types.Metrics:
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
        radius, weight = now(p, self.radius, self.weight)
        worst = radius * unit(jax.lax.stop_gradient(steepest))
        return dict.fromkeys(self.updates, weight * divergence(worst).mean())


def discrimination(p: Pass) -> jax.Array:
    """-V(D, G) = -E log D(x) - E log(1 - D(G(z, c))), from logits."""
    chex.assert_equal_shape((p.d_real, p.d_fake))
    return (jax.nn.softplus(-p.d_real) + jax.nn.softplus(p.d_fake)).mean()


def now(p: Pass, *values: schedules.Value) -> list[jax.Array]:
    """Each of the values, numbers or schedules, at the step of the pass."""
    return [jnp.asarray(schedules.at(value, p.step), p.real.dtype) for value in values]


def weight_of_each(
    weight: Weights, codes: latents.Product
) -> tuple[schedules.Value, ...]:
    """A weight for each code, a number or schedule, of what MutualInformation takes."""
    if weight is None:
        learned = [getattr(part, "sigma", 1.0) is None for part in codes.parts]
        return tuple(0.1 if is_learned else 1.0 for is_learned in learned)
    return weight if isinstance(weight, tuple) else (weight,) * len(codes.parts)


def _weighted(weight, information, p):
    return jnp.stack(now(p, *weight_of_each(weight, p.codes))) @ information


def _check_weight(weight, codes):
    weights = weight_of_each(weight, codes)
    if len(weights) != len(codes.parts):
        raise ValueError(
            f"{len(weights)} weights for {len(codes.parts)} codes; give one number, or "
            "one for each code."
        )
    for weight in weights:
        schedules.check("weight", weight, "; give a tuple for one weight for each code")


def _check_updates(term, config):
    known = {update.name for update in config.updates}
    if not isinstance(term.updates, tuple) or not term.updates:
        raise ValueError(
            f"{type(term).__name__} updates must be a tuple of one or more, such as "
            f"('g',), not {term.updates!r}."
        )
    if not set(term.updates) <= known:
        raise ValueError(
            f"{type(term).__name__} is told to teach {term.updates}, but the updates "
            f"are {sorted(known)}."
        )


def _is_q_taught(config):
    """Whether an update that lists Q has a term that teaches it, as far as they say."""
    with_q = {update.name for update in config.updates if "q" in update.nets}
    for term in config.objective:
        if not getattr(term, "reads_q", True):
            continue
        taught = getattr(term, "updates", getattr(term, "update", None))
        if taught is None:  # A term of a user's own, which may.
            taught = with_q
        if with_q & set((taught,) if isinstance(taught, str) else taught):
            return True
    return False


def _check_reader(term, config):
    """For terms on what Q says of real images."""
    if not any(isinstance(part, latents.Categorical) for part in config.codes.parts):
        raise ValueError(
            f"{type(term).__name__} needs a categorical code; the codes are "
            f"{config.codes.parts}."
        )
    schedules.check("weight", term.weight)
    _check_updates(term, config)
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
