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

from infogan_jax.objectives.adversarial import Minimax, NonSaturating, discrimination
from infogan_jax.objectives.images import ImageInformation, VirtualAdversarial
from infogan_jax.objectives.information import (
    MutualInformation,
    Recognition,
    weight_of_each,
)
from infogan_jax.objectives.terms import Pass, Term, now

__all__ = [
    "ImageInformation",
    "Minimax",
    "MutualInformation",
    "NonSaturating",
    "Pass",
    "Recognition",
    "Term",
    "VirtualAdversarial",
    "discrimination",
    "now",
    "weight_of_each",
]
