"""The arms of `tries.py`: each the quick config with one thing changed.

A change takes a config and gives another; an arm joins several by "+", in order.
"""

import argparse
import dataclasses

import jax
import mnist
import mnist_vat
from flax import linen as nn

from infogan_jax import Update, latents, networks, objectives, presets, registry
from infogan_jax.schedules import Exponential, Linear, Switch


@registry.register
@dataclasses.dataclass(frozen=True)
class Noisy(networks.Dcgan):
    """`Dcgan` with instance noise: normal, at the entrance of every trunk.

    Attributes:
      instance_noise: its standard deviation, where images lie in [0, 1].
    """

    instance_noise: float = 0.1

    def trunk(self, axis_name) -> nn.Module:
        """The shared features, in training of images with noise."""
        return NoisyEntrance(super().trunk(axis_name), self.instance_noise)


class NoisyEntrance(nn.Module):
    """A trunk that is given images with noise while it trains."""

    inner: nn.Module
    size: float

    @nn.compact
    def __call__(self, images, *, train, keys=None):
        """Features of images [B, H, W, C]; `keys` [B] are the examples' own."""
        if train:
            noise = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:]))
            images = images + self.size * noise(keys)
        return self.inner(images, train=train)


def teach(config, g_nets: tuple, taught=("g",), d_nets=("trunk", "d")):
    """The config in which L_I reaches other networks, in other updates."""
    d, g = config.updates
    game, information = config.objective
    return dataclasses.replace(
        config,
        updates=(
            dataclasses.replace(d, nets=d_nets),
            dataclasses.replace(g, nets=g_nets),
        ),
        objective=(game, dataclasses.replace(information, updates=taught)),
    )


def late(config, nets=("trunk", "d", "q")):
    """The config in which, from the middle on, L_I teaches D's networks too."""
    middle = config.objective[1].weight[0].at
    of_d = objectives.MutualInformation(
        weight=Switch(0.0, 1.0, middle), updates=("d",), name="LateInformation"
    )
    d, g = config.updates
    return dataclasses.replace(
        config,
        updates=(dataclasses.replace(d, nets=nets), g),
        objective=(*config.objective, of_d),
    )


def smooth(config, weight, radius: float):
    """The config with a Q that is held smooth around real images."""
    term = objectives.VirtualAdversarial(weight=weight, radius=radius)
    return dataclasses.replace(config, objective=(*config.objective, term))


def with_images(config):
    """The config of `mnist_vat.py`; its batch is 256, its --steps 8000."""
    return mnist_vat.with_images(config, config.updates[0].lr.finish)


def retuned(config, kind, **fields):
    """The config with other fields in its terms of a kind."""
    objective = tuple(
        dataclasses.replace(term, **fields) if isinstance(term, kind) else term
        for term in config.objective
    )
    return dataclasses.replace(config, objective=objective)


def smoothed(config, **fields):
    """The config of `mnist_vat.py` with another `VirtualAdversarial`."""
    return retuned(with_images(config), objectives.VirtualAdversarial, **fields)


def balanced(config, balance):
    """The config of `mnist_vat.py` with another balance of Q's categories."""
    return retuned(with_images(config), objectives.ImageInformation, balance=balance)


def rates(config, d: float, g: float):
    """The config with the rates of its two updates multiplied."""

    def scaled(update: Update, factor: float) -> Update:
        start, end = factor * update.lr.start, factor * update.lr.end
        return dataclasses.replace(
            update, lr=dataclasses.replace(update.lr, start=start, end=end)
        )

    old_d, old_g = config.updates
    return dataclasses.replace(config, updates=(scaled(old_d, d), scaled(old_g, g)))


def weigh(config, category, continuous):
    """The config with other weights on its codes, numbers or schedules."""
    game, information = config.objective
    weight = (category, continuous, continuous)
    information = dataclasses.replace(information, weight=weight)
    return dataclasses.replace(config, objective=(game, information))


def category(config, weight):
    """The config with another weight on its category alone."""
    return weigh(config, weight, config.objective[1].weight[1])


def continuous_weight(config, weight: float):
    """The config with another weight on its continuous codes from the middle on."""
    of_category, of_code, _ = config.objective[1].weight
    return weigh(config, of_category, dataclasses.replace(of_code, after=weight))


def sigma(config, code: latents.Uniform):
    """The config with its two continuous codes replaced."""
    codes = latents.Product((latents.Categorical(10), code, code))
    return dataclasses.replace(config, codes=codes)


def continuous(config, n: int):
    """The config with n continuous codes, all like its first, with its weights."""
    category, code = config.codes.parts[:2]

    def widened(term):
        if not isinstance(term, objectives.MutualInformation):
            return term
        of_category, of_code = term.weight[:2]
        return dataclasses.replace(term, weight=(of_category, *(of_code,) * n))

    return dataclasses.replace(
        config,
        codes=latents.Product((category, *(code,) * n)),
        objective=tuple(map(widened, config.objective)),
    )


def size(config, **fields):
    """The config with another network."""
    architecture = dataclasses.replace(config.architecture, **fields)
    return dataclasses.replace(config, architecture=architecture)


def spectral(config):
    """The config with networks of its own sizes, but with spectral norm in D and Q."""
    old = config.architecture
    return dataclasses.replace(
        config,
        architecture=networks.Spectral(
            image_shape=old.image_shape,
            d_widths=(old.width, 2 * old.width),
            d_dense=old.dense,
            q_hidden=old.q_hidden,
            g_dense=(old.dense,),
            g_widths=(old.width,),
            leak=old.leak,
        ),
    )


def noisy(config, instance_noise: float):
    """The config with instance noise."""
    architecture = Noisy(**vars(config.architecture), instance_noise=instance_noise)
    return dataclasses.replace(config, architecture=architecture)


def noise(config, size: int):
    """The config with another number of noise variables."""
    return dataclasses.replace(config, noise=latents.Uniform(size=size))


CHANGES = {
    "quick": lambda config: config,
    # Weights of the category and of the continuous codes: constant; the latter late
    # (the middle of 9,000 or 24,000 updates) or only early; the former less in time.
    "weights-1-.1": lambda config: weigh(config, 1.0, 0.1),
    "weights-1-.03": lambda config: weigh(config, 1.0, 0.03),
    "weights-.1-.03": lambda config: weigh(config, 0.1, 0.03),
    "late-.1": lambda config: weigh(config, 1.0, Switch(0.001, 0.1, 4500)),
    "late-.1-12000": lambda config: weigh(config, 1.0, Switch(0.001, 0.1, 12_000)),
    "early": lambda config: weigh(config, 1.0, Switch(0.1, 0.01, 1000)),
    "fade-500": lambda config: weigh(config, Switch(1.0, 0.1, 500), 0.03),
    "fade-1000": lambda config: weigh(config, Switch(1.0, 0.1, 1000), 0.03),
    "fade-1500": lambda config: weigh(config, Switch(1.0, 0.1, 1500), 0.03),
    "fade-1500-.03": lambda config: weigh(config, Switch(1.0, 0.03, 1500), 0.03),
    "fade-1000-.02": lambda config: weigh(config, Switch(1.0, 0.02, 1000), 0.03),
    "fade-1000-.005": lambda config: weigh(config, Switch(1.0, 0.005, 1000), 0.03),
    # The weight of the category alone, constant; or both codes' a tenth, late.
    "category-3": lambda config: category(config, 3.0),
    "category-1": lambda config: category(config, 1.0),
    "category-.3": lambda config: category(config, 0.3),
    "category-.1": lambda config: category(config, 0.1),
    "category-.03": lambda config: category(config, 0.03),
    # The continuous codes' weight from the middle on.
    "continuous-.3": lambda config: continuous_weight(config, 0.3),
    "both-.1": lambda config: weigh(config, 0.1, Switch(0.001, 0.1, 5000)),
    # Who learns L_I beside Q's head: the trunk, in D's update or in the other.
    "trunk-in-d": lambda config: teach(config, ("g", "q"), taught=("d", "g")),
    "trunk-in-g": lambda config: teach(config, ("g", "q", "trunk")),
    # Q's head in D's update, which L_I teaches too.
    "as-released": lambda config: teach(
        config, ("g",), taught=("d", "g"), d_nets=("trunk", "d", "q")
    ),
    # The same from the middle on, with Q's head in both updates, or the trunk alone.
    "late-released": late,
    "late-trunk-in-d": lambda config: late(config, nets=("trunk", "d")),
    "g-half": lambda config: rates(config, d=1.0, g=0.5),
    "g-2": lambda config: rates(config, d=1.0, g=2.0),
    "d-half": lambda config: rates(config, d=0.5, g=1.0),
    "d-1.5": lambda config: rates(config, d=1.5, g=1.0),
    "width-24": lambda config: size(config, width=24, dense=192),
    "width-32": lambda config: size(config, width=32, dense=256),
    # Spectral norm in D and Q, as in InfoGAN-CR, instead of batch norm.
    "spectral": spectral,
    # The paper's network, its weights' start and its rates; batch 128 by --batch-size.
    "paper": lambda config: dataclasses.replace(
        presets.PAPER, objective=config.objective
    ),
    "q-own": lambda config: size(config, shared=False),
    "q-32": lambda config: size(config, q_hidden=32),
    # Virtual adversarial training of Q: its weight, or how it falls until the middle of
    # 10,000 updates, and its radius. Joined to q-own it teaches all of Q.
    "vat-.3-2": lambda config: smooth(config, 0.3, 2.0),
    "vat-1-2": lambda config: smooth(config, 1.0, 2.0),
    "vat-3-2": lambda config: smooth(config, 3.0, 2.0),
    "vat-1-4": lambda config: smooth(config, 1.0, 4.0),
    "vat-3-to-.3-4": lambda config: smooth(config, Linear(3.0, 0.3, 0, 5000), 4.0),
    "vat-5-to-.3-2": lambda config: smooth(config, Linear(5.0, 0.3, 0, 5000), 2.0),
    "vat-5-to-1-2": lambda config: smooth(config, Linear(5.0, 1.0, 0, 5000), 2.0),
    "vat-10-to-.3-2": lambda config: smooth(config, Linear(10.0, 0.3, 0, 5000), 2.0),
    # As mnist_vat.py was before its Q became dense: by equal factors, then 1.
    "vat-5-by-factors-2": lambda config: smooth(
        config, Switch(Exponential(5.0, 0.3, 0, 5000), 1.0, 5000), 2.0
    ),
    # As it is; with convolutions; with a near probe; with a radius that stays; with a
    # balance that stays (4 was its own until it began at 8); and with G and D that draw
    # as a GAN does, so that what Q reads it has from images alone.
    "images": with_images,
    "images-convolutions": lambda config: size(with_images(config), q_trunk=()),
    "images-probe-1": lambda config: smoothed(config, probe=1.0),
    "images-radius-2.5": lambda config: smoothed(config, radius=2.5),
    "images-balance-4": lambda config: balanced(config, 4.0),
    "images-balance-8": lambda config: balanced(config, 8.0),
    "images-alone": lambda config: retuned(
        with_images(config), objectives.MutualInformation, weight=0.0
    ),
    # What the continuous codes are worth: sigma fixed at 1, or its bound.
    "sigma-1": lambda config: sigma(config, latents.Uniform(sigma=1.0)),
    "sigma-min-.03": lambda config: sigma(config, latents.Uniform(sigma_min=0.03)),
    "sigma-min-.3": lambda config: sigma(config, latents.Uniform(sigma_min=0.3)),
    # Noise on the images that D and Q are given.
    "instance-.1": lambda config: noisy(config, 0.1),
    "instance-.3": lambda config: noisy(config, 0.3),
    # A third continuous code, with the weight of the two.
    "codes-3": lambda config: continuous(config, 3),
    "bfloat16": lambda config: dataclasses.replace(config, compute_dtype="bfloat16"),
    "noise-128": lambda config: noise(config, 128),
    "noise-16": lambda config: noise(config, 16),
    "noise-8": lambda config: noise(config, 8),
    "noise-4": lambda config: noise(config, 4),
}


def arm(text: str):
    """The text, if it names changes, such as "weights-1-.1+noise-8"; for argparse."""
    unknown = [name for name in text.split("+") if name not in CHANGES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no change is called {unknown[0]!r}; join some of {', '.join(CHANGES)} "
            'by "+".'
        )
    return text


def configuration(text: str, steps: int, image_shape: tuple):
    """The config of an arm, for images of this shape.

    Raises:
      ValueError: its changes do not go together, or one undoes another.
    """
    names = text.split("+")

    def joined(names):
        config = mnist.quick(steps)
        for name in names:
            config = CHANGES[name](config)
        return size(config, image_shape=image_shape)

    try:
        config = joined(names)
        lost = [
            name
            for i, name in enumerate(names)
            if name != "quick" and joined(names[:i] + names[i + 1 :]) == config
        ]
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"the changes of {text} do not join in this order: {error}."
        ) from error
    if lost:
        raise ValueError(
            f"{lost[0]} makes no difference in {text}: another change undoes it, or "
            "has it already; change their order, or leave it out."
        )
    return config
