"""One saved step, as Orbax keeps it: a state, its Config, and checksums of both."""

import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from infogan_jax import config as config_lib
from infogan_jax import training
from infogan_jax.host import console

_CONFIG = "config.json"  # The name of the Config's checksum, beside the arrays'.


def open_manager(folder: Path, **options: Any) -> ocp.CheckpointManager:
    """A manager that waits for no other process: the caller alone reads or writes."""
    alone = ocp.options.MultiprocessingOptions()
    if jax.process_count() > 1:
        me = jax.process_index()
        alone = ocp.options.MultiprocessingOptions(me, {me}, f"process_{me}")
    handlers = {
        "state": ocp.PyTreeCheckpointHandler(multiprocessing_options=alone),
        "config": ocp.JsonCheckpointHandler(multiprocessing_options=alone),
        "checksums": ocp.JsonCheckpointHandler(multiprocessing_options=alone),
    }
    options = ocp.CheckpointManagerOptions(
        create=False, multiprocessing_options=alone, **options
    )
    return ocp.CheckpointManager(folder, options=options, item_handlers=handlers)


def read_config(manager: ocp.CheckpointManager, step: int) -> tuple[dict, dict]:
    """The stored Config's JSON, which is what was saved, and all checksums.

    Raises:
      OSError: a file cannot be read.
      ValueError: it is damaged, or was not saved by this library.
    """
    try:
        items = ocp.args.Composite(
            config=ocp.args.JsonRestore(), checksums=ocp.args.JsonRestore()
        )
        found = manager.restore(step, args=items)
        stored, checksums = found["config"], dict(found["checksums"])
    except Exception as error:
        path = Path(manager.directory / str(step))
        if not any((path / name).exists() for name in ("config", "checksums")):
            raise ValueError(
                f"{path} was not saved by infogan_jax; give the directory that was "
                "given to its `save`."
            ) from error
        raise unusable(path, error) from error
    if checksums.get(_CONFIG) != checksums_of(stored, {})[_CONFIG]:
        raise damaged(manager.directory / str(step), "its config was changed")
    return stored, checksums


def checksums_of(config: dict, tree: Any) -> dict[str, int]:
    """CRC-32 of the Config's JSON, and of each array by its name."""
    text = json.dumps(config, sort_keys=True)
    return {_CONFIG: zlib.crc32(text.encode())} | {
        _name(keys): _crc(leaf) for keys, leaf in jax.tree.leaves_with_path(tree)
    }


def expected(config: config_lib.Config, nets: Iterable[str] | None = None) -> dict:
    """Shapes and dtypes of a config's state, or of what these networks need of it.

    Raises:
      ValueError: `nets` names none of its networks.
    """
    if nets is not None and not set() < set(nets) <= set(config.networks()):
        raise ValueError(f"nets {nets} must be some of {sorted(config.networks())}.")
    state = jax.eval_shape(lambda: training.init(config, jax.random.key(0)))
    tree = as_dict(state)
    if nets is not None:
        tree = {
            "step": tree["step"],
            "nets": {name: tree["nets"][name] for name in nets},
        } | ({"ema": tree["ema"]} if "g" in nets and tree["ema"] else {})
    return tree


def check(expected: Any, found: Any, path: Path | str) -> None:
    """Orbax casts a wrong dtype without a word, so compare before reading.

    Raises:
      ValueError: an array is missing, or has another shape or dtype.
    """
    stored = {_name(keys): leaf for keys, leaf in jax.tree.leaves_with_path(found)}
    for keys, leaf in jax.tree.leaves_with_path(expected):
        name = _name(keys)
        if name not in stored:
            raise ValueError(f"{path} has no {name}, which its config needs.")
        there = (tuple(stored[name].shape), jnp.dtype(stored[name].dtype))
        if there != (leaf.shape, leaf.dtype):
            raise ValueError(
                f"{path}: {name} is {there[1]}{list(there[0])}, but its config needs "
                f"{leaf.dtype}{list(leaf.shape)}."
            )


def as_dict(state: training.TrainState) -> dict[str, Any]:
    """The tree that is stored: a state as dicts, by the names of its fields."""

    def plain(nets):
        return {
            name: {"params": net.params, "stats": net.stats}
            for name, net in nets.items()
        }

    return {
        "step": state.step,
        "nets": plain(state.nets),
        "opt": state.opt,
        "ema": plain(state.ema),
    }


def unusable(path: Path, error: Exception) -> OSError | ValueError:
    """An OSError if a file cannot be read, which says nothing against the step."""

    def stop(cause):
        raise cause

    try:
        for folder, _, names in os.walk(path, onerror=stop):
            for name in names:
                Path(folder, name).read_bytes()
    except OSError as cause:
        return OSError(
            f"{cause.filename} cannot be read: {cause.strerror}; the step may be whole."
        )
    return damaged(path, console.first_line(error))


def damaged(path: Path, why: str) -> ValueError:
    """What is raised of a step that is not what was saved."""
    return ValueError(
        f"{path} is damaged ({why}); move that folder away to fall back to the step "
        "before it."
    )


def _crc(array):
    return zlib.crc32(np.ascontiguousarray(array))


def _name(keys):
    # A tuple's field is an attribute in the state and a dict key in Orbax's metadata.
    return jax.tree_util.keystr(keys, simple=True, separator="/")
