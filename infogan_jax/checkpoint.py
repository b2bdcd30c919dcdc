"""Checkpoints: the state and its Config, by Orbax, which only this file imports.

A directory (a run's) holds `checkpoints/STEP/`, each complete by itself: restoring
needs nothing but the path of the one or the other. A step that was being written when
the process died is ignored, and cleared by the next save.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from infogan_jax import config as config_lib
from infogan_jax import forward, training

Config, TrainState = config_lib.Config, training.TrainState

_FOLDER = "checkpoints"


class Writer:
    """Saves in the background while training goes on; use it in a `with`.

    Leaving the `with` waits for the last save: without it that save would be lost.

    Args:
      directory: gets `checkpoints/`.
      config: is saved with every step.
      keep: how many of the newest steps to keep; None for all.
    """

    def __init__(
        self, directory: str | os.PathLike, config: Config, keep: int | None = None
    ):
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, cleanup_tmp_directories=True
        )
        self._config = config
        self._manager = _open(Path(directory).resolve() / _FOLDER, options)

    def save(self, state: TrainState) -> None:
        """Starts saving `state` as its step; a step that is there is left alone."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        # The copy is ours alone: the caller may donate the state while we write.
        tree = _as_dict(training.copy(state))
        items = ocp.args.Composite(
            state=ocp.args.PyTreeSave(tree),
            config=ocp.args.JsonSave(json.loads(self._config.to_json())),
        )
        self._manager.save(step, args=items, force=True)

    def __enter__(self) -> "Writer":
        """Itself."""
        return self

    def __exit__(self, *_) -> None:
        """Waits until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()


def save(directory: str | os.PathLike, config: Config, state: TrainState) -> None:
    """Saves one state as `directory/checkpoints/STEP`; returns when it is there."""
    with Writer(directory, config) as writer:
        writer.save(state)


def steps(directory: str | os.PathLike) -> list[int]:
    """The steps saved in a directory, ascending; [] if there are none."""
    folder = _find(directory)
    if not folder.is_dir():
        return []
    return sorted(ocp.utils.checkpoint_steps(folder))


def restore(
    directory: str | os.PathLike,
    *,
    step: int | None = None,
    nets: Sequence[str] | None = None,
) -> tuple[Config, TrainState]:
    """The Config and state that were saved; nothing else is needed, on any device.

    Args:
      directory: a run, or its `checkpoints` folder.
      step: which step; the newest by default.
      nets: load only these networks, such as ("g",) for sampling. The state then has no
        optimizer, and the average only if it has "g".

    Raises:
      FileNotFoundError: no checkpoint there, or not of that step.
      ValueError: the files do not fit the stored Config (names, shapes or dtypes), are
        damaged, or name a class that is not registered.
    """
    folder = _find(directory)
    known = steps(directory)
    if not known or (step is not None and step not in known):
        what = "no checkpoint" if not known else f"no step {step}, only {known}"
        raise FileNotFoundError(
            f"{folder} holds {what}; give a run's directory or its {_FOLDER} folder."
        )
    step = known[-1] if step is None else step
    with _open(folder, ocp.CheckpointManagerOptions(create=False)) as manager:
        config = _restore_config(manager, step)
        target = _target(config, nets)
        try:
            found = manager.item_metadata(step)["state"].tree
        except Exception as error:  # Orbax raises many types for a damaged file.
            raise _damaged(folder / str(step), error) from error
        _check(target, found, folder / str(step))
        arguments = ocp.args.PyTreeRestore(
            target,
            restore_args=ocp.checkpoint_utils.construct_restore_args(target),
            partial_restore=nets is not None,
        )
        try:
            items = ocp.args.Composite(state=arguments)
            tree = manager.restore(step, args=items)["state"]
        except Exception as error:
            raise _damaged(folder / str(step), error) from error
    loaded = {name: forward.Net(**net) for name, net in tree["nets"].items()}
    ema = {name: forward.Net(**net) for name, net in tree.get("ema", {}).items()}
    return config, TrainState(tree["step"], loaded, tree.get("opt", {}), ema)


def _open(folder, options):
    handlers = {
        "state": ocp.PyTreeCheckpointHandler(),
        "config": ocp.JsonCheckpointHandler(),
    }
    return ocp.CheckpointManager(folder, options=options, item_handlers=handlers)


def _restore_config(manager, step):
    try:
        items = ocp.args.Composite(config=ocp.args.JsonRestore())
        stored = manager.restore(step, args=items)["config"]
    except Exception as error:
        raise _damaged(manager.directory / str(step), error) from error
    return Config.from_json(json.dumps(stored))


def _target(config, nets):
    """Shapes, dtypes and this process's placement of what is to be restored."""
    if nets is not None and not set(nets) <= set(config.networks()):
        raise ValueError(
            f"nets {tuple(nets)} are not all among {sorted(config.networks())}."
        )
    state = jax.eval_shape(lambda key: training.init(config, key), jax.random.key(0))
    tree = _as_dict(state)
    if nets is not None:
        tree = {
            "step": tree["step"],
            "nets": {name: tree["nets"][name] for name in nets},
        } | ({"ema": tree["ema"]} if "g" in nets and tree["ema"] else {})
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), tree
    )


def _check(target, found, path):
    """Orbax casts a wrong dtype without a word, so compare before reading."""
    stored = {_name(keys): leaf for keys, leaf in jax.tree.leaves_with_path(found)}
    for keys, leaf in jax.tree.leaves_with_path(target):
        name = _name(keys)
        if name not in stored:
            raise ValueError(f"{path} has no {name}, which its config needs.")
        there = (tuple(stored[name].shape), jnp.dtype(stored[name].dtype))
        if there != (leaf.shape, leaf.dtype):
            raise ValueError(
                f"{path}: {name} is {there[1]}{list(there[0])}, but its config needs "
                f"{leaf.dtype}{list(leaf.shape)}."
            )


def _name(keys):
    # A tuple's field is an attribute in the state and a dict key in Orbax's metadata.
    return "/".join(
        str(getattr(key, "name", getattr(key, "key", getattr(key, "idx", key))))
        for key in keys
    )


def _as_dict(state):
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


def _damaged(path, error):
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return ValueError(
        f"{path} is damaged ({reason}); remove that folder to fall back to the step "
        "before it."
    )


def _find(directory):
    path = Path(directory).resolve()
    return path / _FOLDER if (path / _FOLDER).is_dir() else path
