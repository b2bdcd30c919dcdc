"""`mnist.py` with a Q of its own that is smooth around real images.

Virtual adversarial training (Miyato et al. 2018, arXiv:1704.03976) of Q: no labels, no
augmentation, and G, D and L_I as they were. It is not the paper's InfoGAN. Partitions
that come right come closer to the digits; many seeds still keep 4s with 9s.

    python experiments/mnist_vat.py --quick --data mnist --out runs/vat
    python experiments/mnist_seeds.py --vat --quick --data mnist --out runs/vat-seeds

Times and results on named hardware stand in the README.
"""

import dataclasses
import sys

import mnist

from infogan_jax import Config, objectives, runs, schedules


def smooth(config: Config, steps: int) -> Config:
    """The config with a Q of its own, which is held smooth, less so until the middle.

    Where it must be smooth, Q tells apart only what lies apart. At first that is a few
    groups of digits; as the weight falls they divide, and where they divide is decided
    by where images are few, not by what the first fakes happened to be. When the codes
    come with their full weight, in the second half, it has as much.
    """
    falling = schedules.Exponential(5.0, 0.3, begin=0, finish=steps // 2)
    term = objectives.VirtualAdversarial(
        weight=schedules.Switch(falling, 1.0, at=steps // 2)
    )
    return dataclasses.replace(
        config,
        architecture=dataclasses.replace(config.architecture, shared=False),
        objective=(*config.objective, term),
    )


def build(options: runs.Options, image_shape: tuple) -> Config:
    """The configuration for images of this shape."""
    return smooth(mnist.build(options, image_shape), options.steps)


def main(argv=None) -> int:
    """Trains, evaluates, draws; returns the exit status."""
    return runs.main(argv, __doc__, mnist.defaults, build, out="runs/mnist-vat")


if __name__ == "__main__":
    sys.exit(main())
