"""Where the steps of a run lie: in `checkpoints/`, or set aside in `damaged/`."""

import errno
import itertools
import os
import shutil
from pathlib import Path

import orbax.checkpoint as ocp

from infogan_jax.host import paths

NAME = "checkpoints"


def steps(directory: str | os.PathLike[str]) -> list[int]:
    """The steps saved in a directory, ascending; [] if there are none."""
    folder = find(directory)
    if not folder.is_dir():
        return []
    known = sorted(ocp.utils.checkpoint_steps(folder))
    known = [step for step in known if (folder / str(step)).is_dir()]  # Of "020" none.
    # Nor runs that are named by numbers.
    return [step for step in known if not (folder / str(step) / NAME).is_dir()]


def set_aside(directory: str | os.PathLike[str], step: int) -> Path:
    """Moves a step that is not to be used out of the way; returns where it now lies.

    Raises:
      FileNotFoundError: no such step.
    """
    folder = find(directory)
    aside = folder.parent / "damaged"
    if not (folder / str(step)).is_dir():
        raise FileNotFoundError(f"{folder} holds no step {step}, only {steps(folder)}.")
    aside.mkdir(exist_ok=True)
    places = (aside / f"{step}-{number}" for number in itertools.count())
    place = next(place for place in places if not place.exists())
    try:
        return (folder / str(step)).rename(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    # Checkpoints may be a link to another file system, out of which nothing is renamed.
    shutil.copytree(folder / str(step), place)
    shutil.rmtree(folder / str(step))
    return place


def find(directory: str | os.PathLike[str]) -> Path:
    """The `checkpoints` folder of a directory, or itself where it has none."""
    path = paths.to_path(directory)
    return path / NAME if (path / NAME).is_dir() else path
