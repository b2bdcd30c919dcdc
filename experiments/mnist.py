"""InfoGAN on MNIST: a categorical code that finds the digits, two that bend them.

Section 7.2 and appendix C.1 of Chen et al. 2016 (arXiv:1606.03657): its networks and
rates; 5,000 updates at batch 128, as in the released code. The weights of L_I are not
the paper's, so that the category finds the digits first: it weighs .1 until the middle
of the run and 1 after it, the continuous codes .001 and then .3. `--quick` is a smaller
network for a laptop's CPU, whose continuous codes end at 1.

    python experiments/mnist.py --quick --out runs/quick
    python -m infogan_jax sample runs/quick --digit 3 --n 16 --out threes.png

Times and results: the README, and `experiments/results`.
"""

import dataclasses

from infogan_jax import Config, Update, networks, objectives, presets, schedules
from infogan_jax.host import console
from infogan_jax.runs import program

QUICK_STEPS, QUICK_RATES = 10_000, (2e-3, 4e-3)


def full(steps: int, late: float = 0.3) -> Config:
    """The paper's setting, but that the category learns first.

    Categories sort sooner while G is pulled less hard towards them: a tenth of the
    weight, until the middle. Continuous codes that weigh something from the start take
    over a part of what tells digits apart, and categories that share two digits then
    keep them. In the second half they come with the weight `late`: at .1 they stay
    dead, and at 1 one of them took digits over in two runs of three at this size.
    """
    category, continuous = (
        schedules.Switch(before, after, at=steps // 2)
        for before, after in ((0.1, 1.0), (0.001, late))
    )
    information = objectives.MutualInformation(
        weight=(category, continuous, continuous)
    )
    return dataclasses.replace(
        presets.PAPER, objective=(objectives.NonSaturating(), information)
    )


def quick(steps: int) -> Config:
    """`full` with a small network at higher rates, which fall in the last quarter.

    Its weights are scaled by fan-in: at 0.02 D wins before G draws anything. The
    categories go on sorting for as long as the rates are high. The continuous codes may
    weigh 1 here: .3 spares no digits, and they carry less.
    """
    of_d, of_g = (
        schedules.Linear(rate, rate / 10, begin=3 * steps // 4, finish=steps)
        for rate in QUICK_RATES
    )
    return dataclasses.replace(
        full(steps, late=1.0),
        architecture=networks.Dcgan(width=16, dense=128, init_std=None),
        updates=(
            Update("d", ("trunk", "d"), lr=of_d),
            Update("g", ("g", "q"), lr=of_g),
        ),
    )


def defaults(is_quick: bool) -> program.Options:
    """The options' defaults."""
    return program.Options(
        quick=is_quick,
        data="auto",
        data_dir=None,
        steps=QUICK_STEPS if is_quick else 5000,
        batch_size=64 if is_quick else 128,
        seed=0,
        save_every=500,
        evaluate_every=500,
        devices=None,
    )


def build(options: program.Options, image_shape: tuple) -> Config:
    """The configuration for images of this shape."""
    config = (quick if options.quick else full)(options.steps)
    architecture = dataclasses.replace(config.architecture, image_shape=image_shape)
    return dataclasses.replace(config, architecture=architecture)


def main(argv=None) -> int:
    """Trains, evaluates, draws; returns the exit status."""
    return program.main(argv, __doc__, defaults, build, out="runs/mnist")


if __name__ == "__main__":
    console.run(main)
