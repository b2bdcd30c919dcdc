"""A tiny experiment, run by the tests in processes of its own."""

import dataclasses
import sys

import jax.numpy as jnp

from infogan_jax import Config, Update, latents, networks, registry
from infogan_jax.host import console
from infogan_jax.runs import program

CONFIG = Config(
    codes=latents.Product(
        (latents.Categorical(3), latents.Uniform(), latents.Uniform())
    ),
    noise=latents.Uniform(size=4),
    architecture=networks.Dcgan(
        image_shape=(8, 8, 1), width=4, dense=16, q_hidden=8, init_std=None
    ),
    ema_decay=0.9,
)


@registry.register
@dataclasses.dataclass(frozen=True)
class Infinite:
    """A rate that no parameter survives."""

    def __call__(self, step):
        """Infinity."""
        return jnp.inf


INFINITE = Update("g", ("g", "q"), lr=Infinite())
SICK = 666  # the seed that trains with it


def defaults(is_quick):
    return program.Options(
        quick=is_quick,
        data="auto",
        data_dir=None,
        steps=4,
        batch_size=16,
        seed=0,
        save_every=2,
        evaluate_every=2,
        devices=1,
    )


def build(options, image_shape):
    architecture = dataclasses.replace(CONFIG.architecture, image_shape=image_shape)
    config = dataclasses.replace(CONFIG, architecture=architecture)
    if options.seed == SICK:
        return dataclasses.replace(config, updates=(CONFIG.updates[0], INFINITE))
    return config


def main(argv=None):
    return program.main(argv, __doc__, defaults, build, out="runs/tiny")


def in_background(arguments, output):
    """As a process's work: prints to a file, draws nothing, exits with the status."""
    program.write_figures = lambda *_: None
    sys.stdout = sys.stderr = open(output, "w")
    sys.exit(main(arguments))


if __name__ == "__main__":
    console.run(main)
