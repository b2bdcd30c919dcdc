"""What runs on sprites are worth: scores by InfoGAN-CR's protocols, and the choice.

Source: Lin et al. 2020 (arXiv:1906.06034), sections 5 and 6, and their code.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import infogan_jax
from infogan_jax import evaluation, metrics
from infogan_jax.data import sprites

SPACE = sprites.Space()
DEPTHS = (4, 5, 2, 5, 5)  # Of the trees of InfoGAN-CR's DCI, by factor.
SCORES = (
    "factor_vae",
    "dci",
    "dci_forest",
    "sap",
    "explicitness",
    "modularity",
    "mig",
    "beta_vae",
)


def represent(config, state, indices) -> np.ndarray:
    """Q's means for images of these factors, [N, L]."""
    chunks = np.array_split(np.asarray(indices), max(1, len(indices) // 2000))
    images = (sprites.render(SPACE.values(jnp.asarray(chunk))) for chunk in chunks)
    return np.concatenate([evaluation.represent(config, state, x) for x in images])


def score(config, state, votes: int) -> dict:
    """Every metric by InfoGAN-CR's protocol: 500 votes of 100 images at full size.

    The codes' spread, and all that is no vote, come from 20 images a vote: 10,000 then,
    not 73,728.
    """
    keys = jax.random.split(jax.random.key(99), votes + 1)
    indices = SPACE.sample(keys[0], 20 * votes)
    codes = represent(config, state, indices)
    fixed = np.arange(votes) % 5
    groups = jax.vmap(lambda key, factor: SPACE.sample_fixed(key, 100, factor))(
        keys[1:], jnp.asarray(fixed)
    )
    of_groups = represent(config, state, groups.reshape(-1, 5))
    drawn = metrics.Votes(of_groups.reshape(votes, 100, -1), fixed)
    factors = np.asarray(indices)
    with np.errstate(all="ignore"):
        lasso = metrics.dci(codes, factors, regressor="lasso")
        forest = metrics.dci(codes, factors, regressor="forest", depth=DEPTHS)
    return {
        "factor_vae": metrics.factor_vae_score(drawn, spread(codes)),
        "dci": lasso.disentanglement,
        "dci_forest": forest.disentanglement,
        "sap": metrics.sap(codes, factors, discrete=(0,)),
        "explicitness": metrics.explicitness(codes, factors),
        "modularity": metrics.modularity(codes, factors),
        "mig": metrics.mig(codes, factors),
        "beta_vae": metrics.beta_vae_score(drawn),
    }


def spread(codes: np.ndarray) -> np.ndarray:
    """Each code's standard deviation, [L]; in float32 a dead code's is rounding."""
    return codes.std(0, dtype=np.float64)


def centrality(runs: list[Path], seeds: list[int], votes: int):
    """ModelCentrality and UDR of every run: how well the others agree with it.

    A run's votes fix each of its codes in turn, and are drawn by its own of `seeds`,
    whichever other runs there are. (InfoGAN-CR's code takes the spread of the codes
    from other fakes than the votes'.)
    """
    states = [infogan_jax.restore(run) for run in runs]
    agreement = np.zeros((len(runs), len(runs)))
    for i, (config, state) in enumerate(states):
        fixed = np.arange(votes) % len(config.codes.parts)
        key, images = jax.random.key(seeds[i]), []
        for number, code in enumerate(fixed):
            of_c, of_z, of_shared = jax.random.split(jax.random.fold_in(key, number), 3)
            c = jax.vmap(config.codes.sample)(jax.random.split(of_c, 100))
            shared = config.codes.sample(of_shared)[code]
            z = jax.vmap(config.noise.sample)(jax.random.split(of_z, 100))
            c = c.at[:, code].set(shared)
            images.append(infogan_jax.generate(config, state, z, c))
        images = np.concatenate(images)
        for j, (other, judge) in enumerate(states):
            codes = evaluation.represent(other, judge, images)
            drawn = metrics.Votes(codes.reshape(votes, 100, -1), fixed)
            agreement[i, j] = metrics.factor_vae_score(drawn, spread(codes))
    indices = SPACE.sample(jax.random.key(7), 2000)
    codes = [represent(config, state, indices) for config, state in states]
    return metrics.model_centrality(agreement), metrics.udr(codes)
