"""InfoGAN on MNIST: a categorical code that finds the digits, two that bend them.

Section 7.2 and appendix C.1 of Chen et al. 2016 (arXiv:1606.03657): 5,000 updates at
batch 128. `--quick` is a smaller network for a laptop's CPU.

    python experiments/mnist.py --quick --out runs/quick
    python -m infogan_jax sample runs/quick --digit 3 --n 16 --out threes.png

Times and results on named hardware stand in the README.
"""

import dataclasses
import sys

from infogan_jax import (
    Config,
    Update,
    latents,
    networks,
    objectives,
    presets,
    runs,
    schedules,
)

CONFIG = presets.PAPER

QUICK_STEPS, QUICK_RATES = 10_000, (2e-3, 4e-3)


def quick(steps: int) -> Config:
    """A small network that sorts digits fast; less noise and lower weights than usual.

    Its weights are scaled by fan-in: at 0.02 D wins before G draws anything. The
    categories go on sorting for as long as the rates are high; those fall in the last
    quarter. Once they can be read, L_I weighs a tenth: at weight 1 two categories that
    share two digits keep them. With 8 noise variables instead of 62 the codes are not
    drowned by the noise, and the continuous ones live at a weight of 0.03; at a higher
    one they take over a part of what tells digits apart.
    """
    of_d, of_g = (
        schedules.Linear(rate, rate / 10, begin=3 * steps // 4, finish=steps)
        for rate in QUICK_RATES
    )
    category = schedules.Switch(before=1.0, after=0.1, at=1000)
    return dataclasses.replace(
        CONFIG,
        noise=latents.Uniform(size=8),
        architecture=networks.Dcgan(width=16, dense=128, init_std=None),
        objective=(
            objectives.NonSaturating(),
            objectives.MutualInformation(weight=(category, 0.03, 0.03)),
        ),
        updates=(
            Update("d", ("trunk", "d"), lr=of_d),
            Update("g", ("g", "q"), lr=of_g),
        ),
    )


def defaults(is_quick: bool) -> runs.Options:
    """The options' defaults."""
    return runs.Options(
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


def build(options: runs.Options, image_shape: tuple) -> Config:
    """The configuration for images of this shape."""
    config = quick(options.steps) if options.quick else CONFIG
    architecture = dataclasses.replace(config.architecture, image_shape=image_shape)
    return dataclasses.replace(config, architecture=architecture)


def main(argv=None) -> int:
    """Trains, evaluates, draws; returns the exit status."""
    return runs.main(argv, __doc__, defaults, build, out="runs/mnist")


if __name__ == "__main__":
    sys.exit(main())
