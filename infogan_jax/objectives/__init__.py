"""The objective: terms, each a pure function of a `Pass` that says what to minimise.

A term is a registered frozen dataclass. Called on a `Pass` it returns a scalar loss for
each update that it has something to say to, by the update's name; a name that is
missing counts as 0. Optional members: `check(config)` raises on a setting that cannot
work; `name` is what metrics call it, by default its class's name; `updates`, or
`update`, names those updates in which a Q that they list learns from it, by default
all; `teaches_q = False` says that Q learns nothing from it.
A term may bring networks: `networks(config, axis_name)` gives modules by name, and
`input_shapes(config)` a tuple of shapes for each one's inputs, without the batch; the
term calls them by `p.apply(name, *inputs)`, and they learn in the updates that list
them.

    @register
    @dataclass(frozen=True)
    class R1:
        weight: float = 10.0

        def __call__(self, p):
            gradient = jax.grad(lambda x: p.score(x).sum())(p.real)
            return {"d": self.weight / 2 * (gradient**2).sum((1, 2, 3)).mean()}
"""

from infogan_jax.objectives.adversarial import Minimax, NonSaturating
from infogan_jax.objectives.contrastive import ContrastivePairs, draw_pair
from infogan_jax.objectives.images import ImageInformation, VirtualAdversarial
from infogan_jax.objectives.information import (
    MutualInformation,
    Recognition,
    weight_of_each,
)
from infogan_jax.objectives.terms import Pass, Term, name_of, now

__all__ = [
    "ContrastivePairs",
    "ImageInformation",
    "Minimax",
    "MutualInformation",
    "NonSaturating",
    "Pass",
    "Recognition",
    "Term",
    "VirtualAdversarial",
    "draw_pair",
    "name_of",
    "now",
    "weight_of_each",
]
