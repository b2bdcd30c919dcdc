"""Flax modules of G, D and Q, and the architectures that build them.

An `Architecture` is a frozen dataclass with an `image_shape`, (H, W, C), whose
`networks(latent_dim, n_params, axis_name)` returns the modules by name:

    "g"      G(z, c)            latents [B, latent_dim] -> images [B, H, W, C] in [0, 1]
    "trunk"  shared features    images -> features
    "d"      D's head           features -> logits [B]
    "q"      Q                  (features, images) -> Q's parameters [B, n_params]

Every module is called as `module(*inputs, train=bool)`, and in training with `keys=`
too: with `train` it normalises by the batch; `keys` [B] are the examples' own, for
dropout and noise, so that what an example sees does not depend on how many devices
share the batch. Their fields can be hashed: arrays are made when they are called. An
architecture whose Q reads the images and not the features says so, to terms on images,
by `shared = False`. `objectives.ContrastivePairs` also asks for
`pair_network(n_codes, axis_name)`, H.

This package is all that imports flax.linen.
"""

from infogan_jax.networks.architecture import Architecture
from infogan_jax.networks.dcgan import Dcgan
from infogan_jax.networks.mlp import Mlp
from infogan_jax.networks.spectral import Spectral

__all__ = ["Architecture", "Dcgan", "Mlp", "Spectral"]
