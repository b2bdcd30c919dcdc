"""Measures on arrays: no GAN inside, nothing but NumPy in and out.

Clustering: counts of (cluster, label) pairs from `contingency`, then `cluster_accuracy`
(Hungarian), `purity`, `nmi`, `ari`. Disentanglement: a representation `codes` [N, L]
beside the `factors` [N, K] that made the images, then `mig`, `sap`, `dci`,
`modularity`, `explicitness`, `beta_vae`, `factor_vae`. Choosing a run without labels:
`image_information`, `model_centrality`, `udr`. Measured on images: `slant`, `width`,
`stroke_area`.

Two protocols go by the same names in the literature: "infogan-cr" (Lin et al. 2020,
arXiv:1906.06034) and "disentanglement-lib" (Locatello et al. 2019, arXiv:1811.12359).
Where they differ, `protocol` says which; the default is "infogan-cr", which the
published InfoGAN tables use. Never put both in one table.
"""

from infogan_jax.metrics.clustering import (
    accuracy,
    ari,
    cluster_accuracy,
    contingency,
    match,
    nmi,
    purity,
)
from infogan_jax.metrics.disentanglement import (
    Dci,
    dci,
    explicitness,
    mig,
    modularity,
    sap,
)
from infogan_jax.metrics.information import (
    conditional_entropy,
    correlation,
    entropy,
    mutual_information,
)
from infogan_jax.metrics.inputs import PROTOCOLS
from infogan_jax.metrics.selection import image_information, model_centrality, udr
from infogan_jax.metrics.strokes import slant, stroke_area, width
from infogan_jax.metrics.votes import (
    Votes,
    beta_vae,
    beta_vae_score,
    draw_votes,
    factor_vae,
    factor_vae_score,
)

__all__ = [
    "PROTOCOLS",
    "Dci",
    "Votes",
    "accuracy",
    "ari",
    "beta_vae",
    "beta_vae_score",
    "cluster_accuracy",
    "conditional_entropy",
    "contingency",
    "correlation",
    "dci",
    "draw_votes",
    "entropy",
    "explicitness",
    "factor_vae",
    "factor_vae_score",
    "image_information",
    "match",
    "mig",
    "model_centrality",
    "modularity",
    "mutual_information",
    "nmi",
    "purity",
    "sap",
    "slant",
    "stroke_area",
    "udr",
    "width",
]
