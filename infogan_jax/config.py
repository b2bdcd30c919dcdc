"""Config: all that determines what a step computes.

How long a run goes on, and on what, is in `runs.options`.

Frozen and hashable, it is jit's static argument; JSON-able, it travels with every
checkpoint.
"""

import json
from dataclasses import dataclass
from typing import Any

import jax

from infogan_jax import latents, networks, objectives, registry, rules, schedules, types
from infogan_jax.host import machine
from infogan_jax.objectives import terms

_OWN = {"trunk", "d", "q", "g"}  # The networks that an architecture builds.


@registry.register
@dataclass(frozen=True)
class Update:
    """One optimizer and the networks that it owns.

    Attributes:
      name: what the terms call it.
      nets: the networks that learn in it, if a term has a loss for it; nothing else
        moves.
      lr: Adam's rate, a number of at least 0 or a schedule, or a tuple with one for
        each net. Any function of the step will do, but only one of a registered class
        can be saved.
      beta1, beta2: Adam's decay rates, in [0, 1).
      begin: the step from which on it is done, at least 0. Until then its networks stay
        as they are, its metrics are 0, and it costs no time but under `vmap`.
      restart: the step at which its networks and its optimizer start afresh, at least
        1, or None.

    Raises:
      ValueError: a setting out of its range or of another type.
    """

    name: str
    nets: tuple[str, ...]
    lr: schedules.Value | tuple[schedules.Value, ...]
    beta1: float = 0.5
    beta2: float = 0.999
    begin: int = 0
    restart: int | None = None

    def __post_init__(self):
        if not isinstance(self.name, str):
            raise ValueError(f"an update's name is a string, not {self.name!r}.")
        if not self.nets or not isinstance(self.nets, tuple):
            raise ValueError(
                f"update {self.name!r} needs a tuple of nets, not {self.nets!r}."
            )
        if len(set(self.nets)) < len(self.nets):
            raise ValueError(f"update {self.name!r} lists a net twice: {self.nets}.")
        if isinstance(self.lr, list):
            raise ValueError(
                f"update {self.name!r} needs a tuple of rates, not a list."
            )
        if isinstance(self.lr, tuple) and len(self.lr) != len(self.nets):
            raise ValueError(
                f"update {self.name!r} has {len(self.lr)} rates for {len(self.nets)} "
                "nets; give one number, or one for each net."
            )
        for rate in self.lr if isinstance(self.lr, tuple) else (self.lr,):
            schedules.check("lr", rate)
        rules.check_whole("begin", self.begin, 0)
        if self.restart is not None:
            rules.check_whole("restart", self.restart, or_else=", or None")
        for name in ("beta1", "beta2"):
            rules.check_share(name, getattr(self, name))

    def rates(self, step: jax.Array) -> dict[str, jax.Array | float]:
        """Each net's learning rate at `step`."""
        lrs = self.lr if isinstance(self.lr, tuple) else (self.lr,) * len(self.nets)
        rates = zip(self.nets, lrs, strict=True)
        return {net: schedules.at(lr, step) for net, lr in rates}


@registry.register
@dataclass(frozen=True)
class Config:
    """A GAN with codes: latents, networks, objective, and who learns in which update.

    The defaults are the paper's MNIST experiment. L_I reaches G and Q's head; D alone
    teaches the trunk. `Update("g", ("g", "q", "trunk"), ...)` lets the trunk learn L_I
    too (and never to be fooled): it costs a second way back through the trunk, and over
    the few seeds that were compared it gained nothing.

    Attributes:
      codes: what G is told and Q recovers.
      noise: the rest of G's input.
      architecture: builds the networks.
      objective: the terms.
      updates: one step is these in order; a name may come more than once, and then
        shares one optimizer state.
      ema_decay: share that G's running average keeps per step, in [0, 1); 0 for none.
        `generate`, `sample` and `traverse` use the average where there is one.
      compute_dtype: "float32" or "bfloat16", what the networks compute in while they
        train; parameters, statistics, losses and optimizers are float32 with both. Of
        CPUs it makes those faster that have units for it, such as Intel's AMX.
        A GPU or TPU may still multiply float32 at less than its precision; JAX's option
        `jax_default_matmul_precision` = "highest" forbids it.

    Raises:
      ValueError: a setting out of its range or of another type, one that a term's own
        `check` refuses, or settings that do not go together.
    """

    codes: latents.Product = latents.Product(
        (latents.Categorical(10), latents.Uniform(), latents.Uniform())
    )
    noise: latents.Prior = latents.Uniform(size=62)
    architecture: networks.Architecture = networks.Dcgan()
    objective: tuple[objectives.Term, ...] = (
        objectives.NonSaturating(),
        objectives.MutualInformation(),
    )
    updates: tuple[Update, ...] = (
        Update("d", ("trunk", "d"), lr=2e-4),
        Update("g", ("g", "q"), lr=1e-3),
    )
    ema_decay: float = 0.0
    compute_dtype: str = "float32"

    def __post_init__(self):
        self._check_types()
        self._check_terms()
        self._check_updates(known=self._checked_networks())

    def _check_types(self):
        if not isinstance(self.codes, latents.Product):
            raise ValueError(f"codes must be a Product of latents, not {self.codes!r}.")
        if isinstance(self.noise, type) or not hasattr(self.noise, "sample"):
            raise ValueError(
                f"noise must be a latent, such as Uniform(size=62), not {self.noise!r}."
            )
        architecture = self.architecture
        if isinstance(architecture, type) or not hasattr(architecture, "networks"):
            raise ValueError(
                "architecture must be an instance, such as Dcgan(), not "
                f"{architecture!r}."
            )
        rules.check_share("ema_decay", self.ema_decay)
        if self.compute_dtype not in ("float32", "bfloat16"):
            raise ValueError(
                "compute_dtype must be 'float32' or 'bfloat16', not "
                f"{self.compute_dtype!r}."
            )
        for name in ("objective", "updates"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not value:
                raise ValueError(f"{name} must be a tuple, not empty, not {value!r}.")
        for term in self.objective:
            if isinstance(term, type) or not callable(term):
                raise ValueError(
                    "a term must be an instance, such as NonSaturating(), not "
                    f"{term!r}."
                )
        for update in self.updates:
            if not isinstance(update, Update):
                raise ValueError(f"updates must hold Updates, not {update!r}.")

    def _check_terms(self):
        names = [terms.name_of(term) for term in self.objective]
        for name in names:
            if not isinstance(name, str):
                raise ValueError(f"a term's name is a string, not {name!r}.")
        if len(set(names)) < len(names):
            raise ValueError(
                f"terms need different names, not {names}; add a `name`, or make one "
                "term of two."
            )
        for term in self.objective:
            terms.check(term, self)
        try:
            hash(self)
        except TypeError as error:
            raise ValueError(
                f"a config must be hashable, of numbers, strings and tuples: {error}."
            ) from None

    def _checked_networks(self):
        """The names of all networks; raises where they do not go together."""
        latent_dim = self.noise.dim + self.codes.dim
        known = set(self.architecture.networks(latent_dim, self.codes.n_params, None))
        if known != _OWN:
            raise ValueError(
                f"{type(self.architecture).__name__} builds the networks "
                f"{sorted(known)}, where it has to be {sorted(_OWN)}; bring others "
                "by a term's `networks`."
            )
        shapes = self.input_shapes()
        for term in self.objective:
            brought = set(terms.networks_of(term, self, None))
            if taken := sorted(known & brought):
                raise ValueError(
                    f"{terms.name_of(term)} brings networks {taken}, but there "
                    "are others of these names; rename its own."
                )
            if missing := sorted(brought - shapes.keys()):
                raise ValueError(
                    f"{terms.name_of(term)} brings networks {missing} without the "
                    "shapes of their inputs; give them by `input_shapes(config)`."
                )
            known |= brought
        if unknown := sorted(shapes.keys() - known):
            raise ValueError(f"`input_shapes` names {unknown}, which no term brings.")
        for name, of_inputs in shapes.items():
            if not _are_shapes(of_inputs):
                raise ValueError(
                    f"the input shapes of {name!r} are {of_inputs}; give a tuple with "
                    "a shape for each input, such as ((8, 8, 1),)."
                )
        return known

    def _check_updates(self, known):
        by_name = {}
        for update in self.updates:
            if by_name.setdefault(update.name, update) != update:
                raise ValueError(
                    f"two different updates are named {update.name!r}; a name that "
                    "comes again must be the same update."
                )
            if not set(update.nets) <= known:
                raise ValueError(
                    f"update {update.name!r} lists {update.nets}, but the networks are "
                    f"{sorted(known)}."
                )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.architecture.image_shape

    def networks(self, axis_name: types.Axis = None) -> dict[str, Any]:
        """The modules by name: the architecture's, and those that terms bring."""
        latent_dim = self.noise.dim + self.codes.dim
        n_params = self.codes.n_params
        modules = dict(self.architecture.networks(latent_dim, n_params, axis_name))
        for term in self.objective:
            modules |= terms.networks_of(term, self, axis_name)
        return modules

    def input_shapes(self) -> dict[str, tuple]:
        """Input shapes, without the batch, of each network that a term brings."""
        found: dict[str, tuple] = {}
        for term in self.objective:
            found |= terms.input_shapes_of(term, self)
        return found

    def to_json(self) -> str:
        """The configuration as JSON text, with the library's version."""
        return json.dumps(
            {"version": machine.version(), **registry.encode(self)}, indent=2
        )

    @staticmethod
    def from_json(text: str) -> "Config":
        """The configuration that `to_json` wrote.

        Raises:
          ValueError: no JSON, not a Config, an unknown kind or field; says which
            version wrote it.
        """
        try:
            data = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"a configuration must be JSON: {error}.") from None
        written = (
            data.pop("version", "unknown") if isinstance(data, dict) else "unknown"
        )
        try:
            config = registry.decode(data)
        except ValueError as error:
            raise ValueError(
                f"{error} It was written by version {written}; this is "
                f"{machine.version()}."
            ) from None
        if not isinstance(config, Config):
            raise ValueError(f"the JSON holds {type(config).__name__}, not a Config.")
        return config


def _are_shapes(found):
    """Whether these are tuples of whole numbers."""
    return isinstance(found, tuple) and all(
        isinstance(shape, tuple) and all(map(rules.is_whole, shape)) for shape in found
    )
