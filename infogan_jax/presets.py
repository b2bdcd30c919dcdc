"""Configs by name. Each is a value: change it with `dataclasses.replace`."""

import dataclasses

from infogan_jax import config, latents, networks, objectives, schedules

# The paper's MNIST experiment (appendix C.1): leak 0.1, sigma learned, L_I to G and Q.
# Lambda is 1, and .1 for the continuous codes (see MutualInformation).
PAPER = config.Config()

# What the released code computes instead: leak 0.01, sigma fixed at 1, L_I in D's
# update too, and Q's head trained there, by D's optimizer. (Its convolutions' kernels
# begin as a truncated normal; these are a whole one, as are all the others.)
RELEASED = config.Config(
    codes=latents.Product(
        (
            latents.Categorical(10),
            latents.Uniform(sigma=1.0),
            latents.Uniform(sigma=1.0),
        )
    ),
    architecture=networks.Dcgan(leak=0.01),
    objective=(
        objectives.NonSaturating(),
        objectives.MutualInformation(weight=1.0, updates=("d", "g")),
    ),
    updates=(
        config.Update("d", ("trunk", "d", "q"), lr=2e-4),
        config.Update("g", ("g",), lr=1e-3),
    ),
)

# Two networks often seen in tutorials: dense; convolutions with tanh, means only.
MLP = config.Config(architecture=networks.Mlp())
TUTORIAL = config.Config(
    codes=RELEASED.codes, architecture=networks.Dcgan(output="tanh")
)

# The paper's control (Fig. 1): a plain GAN whose codes are read by a Q on the side.
PLAIN_GAN = config.Config(
    objective=(objectives.NonSaturating(), objectives.Recognition())
)

# InfoGAN (modified) for dSprites: spectral norm, two rates, two updates of G for one of
# D. An iteration in InfoGAN-CR's count is a step here; 28 epochs are 322,560.
MODIFIED = config.Config(
    codes=latents.Product((latents.Uniform(sigma=1.0),) * 5),
    noise=latents.Uniform(size=5),
    architecture=networks.Spectral(),
    objective=(
        objectives.NonSaturating(),
        objectives.MutualInformation(weight=0.05, updates=("d", "g")),
    ),
    updates=(
        config.Update("d", ("trunk", "d", "q"), lr=2e-3),
        config.Update("g", ("g",), lr=1e-3),
        config.Update("g", ("g",), lr=1e-3),
    ),
)


def infogan_cr(switch: int = 288_000) -> config.Config:
    """InfoGAN-CR for dSprites: MODIFIED, and from step `switch` on the pairs count.

    H learns from the first step on, starts afresh at the switch, and G begins to learn
    from it there, with weight 2.
    """
    pairs = objectives.ContrastivePairs(schedules.Switch(0.0, 2.0, switch))
    h = config.Update("h", ("h",), lr=2e-3, restart=switch)
    return dataclasses.replace(
        MODIFIED,
        objective=(*MODIFIED.objective, pairs),
        updates=(h, *MODIFIED.updates),
    )
