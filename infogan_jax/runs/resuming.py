"""Where a run begins: what lies in its directory, and what of it can be used."""

import json
from pathlib import Path

from infogan_jax import config as config_lib
from infogan_jax import data, evaluation, training
from infogan_jax.host import console, processes
from infogan_jax.runs import loop, records

Stop = console.Stop


def check_new(directory: Path) -> None:
    """Raises Stop where another run's files may be."""
    if not records.is_new(directory):
        if (directory / "run.json").is_file():
            fix = "Go on with it by --resume, or name another by --out."
        else:
            fix = "It is no run; name another by --out."
        raise Stop(f"{directory} exists. {fix}")


def saved_config(directory: Path, dataset: data.Dataset) -> config_lib.Config:
    """The Config of the run that is resumed.

    Raises:
      Stop: the run began with other data or another kind of keys, or its files are
        damaged.
    """
    environment = records.read(directory / "environment.json", json.loads)
    records.check_data(directory, environment, dataset)
    kind = records.kind_of_keys()
    if (before := environment.get("keys", kind)) != kind:
        raise Stop(
            f"{directory} began with keys of {before!r}, not {kind!r}; set "
            "JAX_DEFAULT_PRNG_IMPL and JAX_THREEFRY_PARTITIONABLE as they were then."
        )
    return records.read(directory / "config.json", config_lib.Config.from_json)


def saved_state(run: loop.Run) -> training.TrainState | None:
    """The newest state that can be used; None where none was saved.

    Newer ones, which are damaged or whose logs are, are moved aside.

    Raises:
      Stop: none of those that were saved can be used, or they are gone.
    """
    directory = run.directory
    if not (directory / "checkpoints").is_dir():
        return _none_saved(directory)
    from infogan_jax import checkpoint  # Importing Orbax takes a second.

    known = checkpoint.steps(directory)
    if not known:
        return _none_saved(directory)
    has_accuracy = evaluation.can_cluster(run.config, run.dataset.test)
    every = run.options.evaluate_every if has_accuracy else None
    logged = records.last_logged(directory, every)
    step, config, state = _newest(directory, known, logged)
    if config != run.config:
        raise Stop(
            f"{directory}/config.json is not the config that its checkpoints were "
            "saved with; put it back, or start another run by --out."
        )
    for passed in (other for other in reversed(known) if other > step):
        aside = checkpoint.set_aside(directory, passed)
        processes.say(
            f"going on from update {step}; that of {passed} now lies in {aside}"
        )
    return state


def _none_saved(directory):
    """None; raises where what a run had saved is gone, or not there just now."""
    folder = directory / "checkpoints"
    if folder.is_symlink() and not folder.is_dir():
        raise Stop(
            f"{folder} leads to {folder.readlink()}, which is not there; mount it, or "
            "start another run by --out."
        )
    if (directory / "evaluation.json").exists():
        raise Stop(
            f"{directory} holds a finished run whose checkpoints are gone: put "
            "them back, or start another run by --out."
        )
    processes.say(f"{directory} holds no checkpoint: from the first update on")


def _newest(directory, known, logged):
    """The step, Config and state of the newest checkpoint that can be used."""
    from infogan_jax import checkpoint

    for step in reversed(known):
        try:
            if step > logged:
                raise ValueError(
                    f"{directory}'s logs are whole only up to update {logged}"
                )
            return step, *checkpoint.restore(directory, step=step)
        except ValueError as error:
            processes.say(f"the checkpoint of update {step} cannot be used: {error}")
    raise Stop(
        f"{directory} has no checkpoint from which its run could go on (tried "
        f"{', '.join(map(str, reversed(known)))}): put the damaged files back, or "
        "start another run by --out."
    )
