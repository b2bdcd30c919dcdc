"""InfoGAN (Chen et al. 2016, arXiv:1606.03657) as pure functions in JAX.

Images are float32 in [0, 1] (or uint8) [B, H, W, C], information is in nats, keys are
typed (`jax.random.key`). Orbax, TensorFlow Datasets and matplotlib load when used.
"""

import importlib
from typing import TYPE_CHECKING

from infogan_jax import (
    data,
    evaluation,
    latents,
    metrics,
    networks,
    objectives,
    population,
    presets,
    schedules,
    training,
    watch,
)
from infogan_jax.config import Config, Update
from infogan_jax.inference import Sample, generate, infer, sample, traverse
from infogan_jax.parallel import pmap_step, shard_map_step
from infogan_jax.registry import register
from infogan_jax.training import (
    Net,
    TrainState,
    init,
    step,
    train,
    train_step,
    train_steps,
)

if TYPE_CHECKING:
    from infogan_jax import checkpoint
    from infogan_jax.checkpoint import restore, save

    __version__: str

__all__ = [
    "Config",
    "Net",
    "Sample",
    "TrainState",
    "Update",
    "checkpoint",
    "data",
    "evaluation",
    "generate",
    "infer",
    "init",
    "latents",
    "metrics",
    "networks",
    "objectives",
    "pmap_step",
    "population",
    "presets",
    "register",
    "restore",
    "sample",
    "save",
    "schedules",
    "shard_map_step",
    "step",
    "train",
    "train_step",
    "train_steps",
    "training",
    "traverse",
    "watch",
]


if not TYPE_CHECKING:  # To a checker every name would be one, misspelled too.

    def __dir__():
        return sorted({*globals(), *__all__})

    def __getattr__(name):
        # Orbax takes seconds to import: only those who save or restore wait for it.
        if name in ("checkpoint", "restore", "save"):
            module = importlib.import_module("infogan_jax.checkpoint")
            return module if name == "checkpoint" else getattr(module, name)
        if name == "__version__":
            return importlib.import_module("infogan_jax.host.machine").version()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
