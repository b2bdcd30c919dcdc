"""`mnist.py` with a dense Q of its own that learns from real images too, unlabelled.

Q is sure of every real image and finds all categories alike (`ImageInformation`), and
it is smooth around them (`VirtualAdversarial`): information maximising self-augmented
training, IMSAT (Hu et al. 2017, arXiv:1702.08720), inside InfoGAN. G learns from Q by
L_I, as ever, what the categories are. No labels and no augmentation; it is not the
paper's InfoGAN, whose Q learns from fakes alone.

    python experiments/mnist_vat.py --quick --data mnist --out runs/vat
    python experiments/mnist_seeds.py --vat --quick --data mnist --out runs/vat-seeds

Until G begins, five eighths of the way, the accuracy shown is low: Q's running
statistics come from fakes. Times and results: the README, and `experiments/results`.
"""

import dataclasses

import mnist

from infogan_jax import Config, objectives, schedules
from infogan_jax.host import console
from infogan_jax.runs import program


def with_images(config: Config, steps: int) -> Config:
    """The config with a dense Q that begins alone, in an update of its own.

    First Q finds coarse groups of digits, smooth far around every image and held to ten
    of one size, lest two share the 1s. Then it is smooth near by, and more so: what is
    alike from afar, such as 4s and 9s, parts where images are few.
    Then D and G begin, and L_I teaches G what the categories are. Q learns the
    continuous codes by it at once and the category last, for fakes would hold it to
    what they happen to be.
    """
    alone = 5 * steps // 8

    def between(form, start, end, begin, finish):
        first = int(begin * steps)
        return form(start, end, first, max(first + 1, int(finish * steps)))

    continuous = schedules.Switch(0.001, 0.3, at=alone)
    last = between(schedules.Exponential, 0.001, 0.1, 0.8, 0.9)
    of_g, of_q = (
        objectives.MutualInformation(
            weight=(category, continuous, continuous), updates=(update,), name=name
        )
        for category, update, name in ((0.1, "g", None), (last, "q", "OfQ"))
    )
    game, _ = config.objective
    d, g = config.updates
    rate = between(schedules.Linear, 2e-3, 2e-4, 0.75, 1.0)
    return dataclasses.replace(
        config,
        architecture=dataclasses.replace(
            config.architecture, shared=False, q_trunk=(400,), q_hidden=400
        ),
        objective=(
            game,
            of_g,
            of_q,
            objectives.VirtualAdversarial(
                weight=between(schedules.Linear, 1.0, 3.0, 0.15, 0.3),
                radius=between(schedules.Linear, 2.5, 0.5, 0.0, 0.3),
                probe=10.0,
                updates=("q",),
            ),
            objectives.ImageInformation(
                weight=0.1,
                balance=between(schedules.Linear, 8.0, 4.0, 0.15, 0.3),
                updates=("q",),
            ),
        ),
        updates=(
            dataclasses.replace(d, begin=alone),
            dataclasses.replace(g, nets=("g",), begin=alone),
            dataclasses.replace(g, name="q", nets=("q",), lr=rate),
        ),
    )


def defaults(is_quick: bool) -> program.Options:
    """The options' defaults: larger batches."""
    return dataclasses.replace(mnist.defaults(is_quick), batch_size=256, steps=8000)


def build(options: program.Options, image_shape: tuple) -> Config:
    """The configuration for images of this shape."""
    return with_images(mnist.build(options, image_shape), options.steps)


def main(argv=None) -> int:
    """Trains, evaluates, draws; returns the exit status."""
    return program.main(argv, __doc__, defaults, build, out="runs/mnist-vat")


if __name__ == "__main__":
    console.run(main)
