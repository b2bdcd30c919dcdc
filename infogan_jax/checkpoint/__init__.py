"""Checkpoints: the state and its Config, by Orbax, which only this package imports.

A directory (a run's) holds `checkpoints/STEP/`, each complete by itself: restoring
needs nothing but the path of the run or of its `checkpoints`. A step that was being
written when the process died is ignored, and cleared by the next save. The checksum of
every array is stored beside them and compared when they are loaded.
"""

from infogan_jax.checkpoint.folders import set_aside, steps
from infogan_jax.checkpoint.reading import restore
from infogan_jax.checkpoint.saving import Writer, save

__all__ = ["Writer", "restore", "save", "set_aside", "steps"]
