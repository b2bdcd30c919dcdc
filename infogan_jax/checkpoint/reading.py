"""Restoring: a step's Config first, then its arrays, compared with what was saved."""

import json
import os
from collections.abc import Iterable

import jax
import numpy as np
import orbax.checkpoint as ocp

from infogan_jax import config as config_lib
from infogan_jax import training
from infogan_jax.checkpoint import folders, silence, storage


def restore(
    directory: str | os.PathLike[str],
    *,
    step: int | None = None,
    nets: Iterable[str] | None = None,
) -> tuple[config_lib.Config, training.TrainState]:
    """The Config and state that were saved; nothing else is needed, on any device.

    Args:
      directory: a run, or its `checkpoints` folder.
      step: which step; the newest by default, also of a run that goes on.
      nets: load only these networks, such as ("g",) for sampling. The state then has no
        optimizer, and the average only if it has "g".

    Raises:
      FileNotFoundError: no checkpoint there, or not of that step.
      OSError: its files cannot be read.
      ValueError: the files do not fit the stored Config (names, shapes or dtypes), are
        damaged, or name a class that is not registered; or `nets` names no network.
    """
    folder, known = folders.find(directory), folders.steps(directory)
    nets = (nets,) if isinstance(nets, str) else nets
    nets = None if nets is None else tuple(nets)
    if not known or (step is not None and step not in known):
        what = "no checkpoint" if not known else f"no step {step!r}, only {known}"
        raise FileNotFoundError(
            f"{folder} holds {what}; give a run's directory or its {folders.NAME} "
            "folder."
        )
    chosen = known[-1 if step is None else known.index(step)]
    try:
        return _read(folder, chosen, nets)
    except (OSError, ValueError):
        # A Writer beside us may have removed it, for it keeps the newest alone.
        if step is not None or (folder / str(chosen)).exists():
            raise
    return restore(directory, nets=nets)


def _read(folder, step, nets):
    """The Config and state of a step."""
    with silence.of_orbax(), storage.open_manager(folder) as manager:
        stored, checksums = storage.read_config(manager, step)
        config = config_lib.Config.from_json(json.dumps(stored))
        target = storage.expected(config, nets)
        try:
            found = manager.item_metadata(step)["state"].tree
        except Exception as error:  # Orbax raises many types for a damaged file.
            raise storage.unusable(folder / str(step), error) from error
        storage.check(target, found, folder / str(step))
        arguments = ocp.args.PyTreeRestore(
            target,
            restore_args=jax.tree.map(lambda _: ocp.RestoreArgs(np.ndarray), target),
            partial_restore=nets is not None,
        )
        try:
            items = ocp.args.Composite(state=arguments)
            tree = manager.restore(step, args=items)["state"]
        except Exception as error:
            raise storage.unusable(folder / str(step), error) from error
        for name, found in storage.checksums_of(stored, tree).items():
            if checksums.get(name) != found:
                raise storage.damaged(
                    folder / str(step), f"{name} is not what was saved"
                )
    # Uncommitted, as `init`'s are: any device or mesh may take them, and the programs
    # that were compiled for those serve these.
    tree = jax.device_put(tree, may_alias=False)
    loaded = {name: training.Net(**net) for name, net in tree["nets"].items()}
    ema = {name: training.Net(**net) for name, net in tree.get("ema", {}).items()}
    return config, training.TrainState(tree["step"], loaded, tree.get("opt", {}), ema)
