"""Checkpoints: the state and its Config, by Orbax, which only this file imports.

A directory (a run's) holds `checkpoints/STEP/`, each complete by itself: restoring
needs nothing but the path of the run or of its `checkpoints`. A step that was being
written when the process died is ignored, and cleared by the next save. The checksum of
every array is stored beside them and compared when they are loaded.
"""

import contextlib
import errno
import functools
import itertools
import json
import os
import shutil
import zlib
from collections.abc import Iterable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from infogan_jax import checks, locks, paths, rules, silence, training
from infogan_jax import config as config_lib

Config = config_lib.Config
TrainState = training.TrainState

_FOLDER = "checkpoints"
_CONFIG = "config.json"  # The name of the Config's checksum, beside the arrays'.


class Writer:
    """Saves in the background while training goes on, within a `with` of it.

    Leaving the `with` waits for the last save. An object that is to hold a Writer for
    longer enters it by a `contextlib.ExitStack`. Nobody else may write there meanwhile:
    of several processes, one alone is to have a Writer. A second one is refused where
    the file system has locks.

    Args:
      directory: gets `checkpoints/`.
      config: is saved with every step.
      keep: how many of the newest steps to keep, at least 1; None for all.

    Raises:
      OSError: on entering it, the directory cannot be made, or another Writer is there.
      ValueError: its path has a character that Orbax cannot do with, or is an address,
        or it is some directory's `checkpoints`; or `keep` is below 1.
      TypeError: the config holds what JSON could not give back, such as an array.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        config: Config,
        *,
        keep: int | None = None,
    ):
        paths.check_path(directory)
        path = paths.to_path(directory)
        if path.name == _FOLDER and _find(path) == path and steps(path):
            raise ValueError(
                f"{path} holds checkpoints itself; give {path.parent}, in which they "
                "belong."
            )
        self._folder, self._config, self._is_open = path / _FOLDER, config, False
        self._keep = None if keep is None else rules.as_count("keep", keep)
        self._stored = json.loads(config.to_json())

    def save(self, state: TrainState) -> None:
        """Starts saving `state` as its step; the same state again is left alone.

        Raises:
          OSError: the directory cannot be written; also of the save before.
          ValueError: another state, or one of another config, is there as that step;
            or it does not fit the config; or it is a population's; or later steps are
            there, and only the newest are kept; or the `with` has ended.
        """
        if not self._is_open:  # Orbax would lose the state, and say nothing.
            raise ValueError("this Writer is closed: save inside of its `with`.")
        checks.check_single(state)
        step = int(state.step)
        # The copy is ours alone: the caller may donate the state while we write.
        tree = jax.tree.map(np.array, _as_dict(state))
        _check(self._expected, tree, "the state")
        checksums = _checksums(self._stored, tree)
        if step in self._manager.all_steps():
            self._manager.wait_until_finished()
            if _restore_json(self._manager, step)[1] != checksums:
                raise ValueError(
                    f"{self._manager.directory}/{step} holds another state of step "
                    f"{step}; remove it, or save to another directory."
                )
            return
        newest = self._manager.latest_step()
        if self._keep is not None and newest is not None and step < newest:
            raise ValueError(
                f"{self._manager.directory} holds step {newest}, later than {step}: to "
                f"keep the newest {self._keep} would delete it, or this. Save to "
                "another directory."
            )
        items = ocp.args.Composite(
            state=ocp.args.PyTreeSave(tree),
            config=ocp.args.JsonSave(self._stored),
            checksums=ocp.args.JsonSave(checksums),
        )
        try:
            self._manager.save(step, args=items, force=True)
        except Exception as error:  # Orbax raises many types; one before's, too.
            raise _cannot_save(self._folder, error) from error

    @functools.cached_property
    def _expected(self):
        return _target(self._config, None)

    def __enter__(self) -> "Writer":
        """Itself."""
        self._folder.mkdir(parents=True, exist_ok=True)
        options = {"max_to_keep": self._keep, "cleanup_tmp_directories": True}
        with contextlib.ExitStack() as held:
            held.enter_context(_alone(self._folder))
            held.enter_context(silence.of_orbax())
            self._manager = _open(self._folder, **options)
            self._held, self._is_open = held.pop_all(), True
        return self

    def __exit__(self, *_: object) -> None:
        """Waits until everything is on disk."""
        self._is_open = False
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise _cannot_save(self._folder, error) from error
        finally:
            with self._held, contextlib.suppress(Exception):  # It tells it again.
                self._manager.close()


def save(directory: str | os.PathLike[str], config: Config, state: TrainState) -> None:
    """Saves one state as `directory/checkpoints/STEP`; returns when it is there.

    Raises:
      OSError, ValueError, TypeError: as `Writer` and `Writer.save`.
    """
    with Writer(directory, config) as writer:
        writer.save(state)


def steps(directory: str | os.PathLike[str]) -> list[int]:
    """The steps saved in a directory, ascending; [] if there are none."""
    folder = _find(directory)
    if not folder.is_dir():
        return []
    known = sorted(ocp.utils.checkpoint_steps(folder))
    known = [step for step in known if (folder / str(step)).is_dir()]  # Of "020" none.
    # Nor runs that are named by numbers.
    return [step for step in known if not (folder / str(step) / _FOLDER).is_dir()]


def set_aside(directory: str | os.PathLike[str], step: int) -> Path:
    """Moves a step that is not to be used out of the way; returns where it now lies.

    Raises:
      FileNotFoundError: no such step.
    """
    folder = _find(directory)
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


def restore(
    directory: str | os.PathLike[str],
    *,
    step: int | None = None,
    nets: Iterable[str] | None = None,
) -> tuple[Config, TrainState]:
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
    folder, known = _find(directory), steps(directory)
    nets = None if nets is None else tuple(nets)
    if not known or (step is not None and step not in known):
        what = "no checkpoint" if not known else f"no step {step!r}, only {known}"
        raise FileNotFoundError(
            f"{folder} holds {what}; give a run's directory or its {_FOLDER} folder."
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
    with silence.of_orbax(), _open(folder) as manager:
        stored, checksums = _restore_json(manager, step)
        config = Config.from_json(json.dumps(stored))
        target = _target(config, nets)
        try:
            found = manager.item_metadata(step)["state"].tree
        except Exception as error:  # Orbax raises many types for a damaged file.
            raise _unusable(folder / str(step), error) from error
        _check(target, found, folder / str(step))
        arguments = ocp.args.PyTreeRestore(
            target,
            restore_args=jax.tree.map(lambda _: ocp.RestoreArgs(np.ndarray), target),
            partial_restore=nets is not None,
        )
        try:
            items = ocp.args.Composite(state=arguments)
            tree = manager.restore(step, args=items)["state"]
        except Exception as error:
            raise _unusable(folder / str(step), error) from error
        for name, found in _checksums(stored, tree).items():
            if checksums.get(name) != found:
                raise _damaged(folder / str(step), f"{name} is not what was saved")
    # Uncommitted, as `init`'s are: any device or mesh may take them, and the programs
    # that were compiled for those serve these.
    tree = jax.tree.map(jnp.array, tree)
    loaded = {name: training.Net(**net) for name, net in tree["nets"].items()}
    ema = {name: training.Net(**net) for name, net in tree.get("ema", {}).items()}
    return config, TrainState(tree["step"], loaded, tree.get("opt", {}), ema)


@contextlib.contextmanager
def _alone(folder):
    """Keeps other Writers out, whose opening would clear away what is being saved."""
    with contextlib.ExitStack() as held:
        try:
            file = held.enter_context((folder / ".lock").open("a+"))
            held.enter_context(locks.hold(file))
        except BlockingIOError as error:
            holder, fix = error.strerror, "wait for it"
            if holder == f"process {os.getpid()}":
                holder, fix = "another Writer here", "save by that one"
            raise OSError(
                f"{folder} is being written by {holder}; {fix}, or save to another "
                "directory."
            ) from None
        except PermissionError:
            pass  # Of a colleague's lock; if nothing may be written, saving tells.
        except OSError as error:
            raise _cannot_save(folder, error) from error
        yield


def _open(folder, **options):
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


def _restore_json(manager, step):
    """The stored Config's JSON, which is what was saved, and all checksums."""
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
        raise _unusable(path, error) from error
    if checksums.get(_CONFIG) != _checksums(stored, {})[_CONFIG]:
        raise _damaged(manager.directory / str(step), "its config was changed")
    return stored, checksums


def _checksums(config, tree):
    """CRC-32 of the Config's JSON, and of each array by its name."""
    text = json.dumps(config, sort_keys=True)
    return {_CONFIG: zlib.crc32(text.encode())} | {
        _name(keys): zlib.crc32(np.ascontiguousarray(leaf))
        for keys, leaf in jax.tree.leaves_with_path(tree)
    }


def _target(config, nets):
    """Shapes and dtypes of what is to be restored."""
    if nets is not None and not set() < set(nets) <= set(config.networks()):
        raise ValueError(f"nets {nets} must be some of {sorted(config.networks())}.")
    state = jax.eval_shape(lambda key: training.init(config, key), jax.random.key(0))
    tree = _as_dict(state)
    if nets is not None:
        tree = {
            "step": tree["step"],
            "nets": {name: tree["nets"][name] for name in nets},
        } | ({"ema": tree["ema"]} if "g" in nets and tree["ema"] else {})
    return tree


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
    return jax.tree_util.keystr(keys, simple=True, separator="/")


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


def _cannot_save(folder, error):
    return OSError(
        f"cannot save to {folder}: {_reason(error)}; see that there is room and a "
        "right to write, and go on from the last checkpoint."
    )


def _reason(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _unusable(path, error):
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
    return _damaged(path, error)


def _damaged(path, error):
    return ValueError(
        f"{path} is damaged ({_reason(error)}); move that folder away to fall back to "
        "the step before it."
    )


def _find(directory):
    path = paths.to_path(directory)
    return path / _FOLDER if (path / _FOLDER).is_dir() else path
