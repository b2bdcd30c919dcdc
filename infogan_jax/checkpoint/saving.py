"""Saving: steps are written in the background, by one Writer at a time."""

import contextlib
import functools
import json
import os
import threading

import jax
import numpy as np
import orbax.checkpoint as ocp

from infogan_jax import checks, rules, training
from infogan_jax import config as config_lib
from infogan_jax.checkpoint import folders, silence, storage
from infogan_jax.host import console, locks, paths

# Orbax numbers all saves of a process together: two that begin at once wait for ever.
_BEGINNING = threading.Lock()


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
        config: config_lib.Config,
        *,
        keep: int | None = None,
    ):
        paths.check_path(directory)
        path = paths.to_path(directory)
        is_folder = path.name == folders.NAME and folders.find(path) == path
        if is_folder and folders.steps(path):
            raise ValueError(
                f"{path} holds checkpoints itself; give {path.parent}, in which they "
                "belong."
            )
        self._folder, self._config, self._is_open = path / folders.NAME, config, False
        self._keep = None if keep is None else rules.as_count("keep", keep)
        self._stored = json.loads(config.to_json())

    def save(self, state: training.TrainState) -> None:
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
        tree = jax.tree.map(np.array, storage.as_dict(state))
        storage.check(self._expected, tree, "the state")
        checksums = storage.checksums_of(self._stored, tree)
        if step in self._manager.all_steps():
            with _told(self._folder):  # The save before may have failed.
                self._manager.wait_until_finished()
            if storage.read_config(self._manager, step)[1] != checksums:
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
        with _told(self._folder), _BEGINNING:
            self._manager.save(step, args=items, force=True)

    @functools.cached_property
    def _expected(self):
        return storage.expected(self._config)

    def __enter__(self) -> "Writer":
        """Itself."""
        self._folder.mkdir(parents=True, exist_ok=True)
        options = {"max_to_keep": self._keep, "cleanup_tmp_directories": True}
        with contextlib.ExitStack() as held:
            held.enter_context(_alone(self._folder))
            held.enter_context(silence.of_orbax())
            self._manager = storage.open_manager(self._folder, **options)
            self._held, self._is_open = held.pop_all(), True
        return self

    def __exit__(self, *_: object) -> None:
        """Waits until everything is on disk."""
        self._is_open = False
        try:
            with _told(self._folder):
                self._manager.wait_until_finished()
        finally:
            with self._held, contextlib.suppress(Exception):  # It tells it again.
                self._manager.close()


def save(
    directory: str | os.PathLike[str],
    config: config_lib.Config,
    state: training.TrainState,
) -> None:
    """Saves one state as `directory/checkpoints/STEP`; returns when it is there.

    Raises:
      OSError, ValueError, TypeError: as `Writer` and `Writer.save`.
    """
    with Writer(directory, config) as writer:
        writer.save(state)


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


@contextlib.contextmanager
def _told(folder):
    """What Orbax raises of a save, this one or the one before: with its place, once."""
    try:
        yield
    except Exception as error:  # Orbax raises many types.
        silence.of_threads()
        raise _cannot_save(folder, error) from error


def _cannot_save(folder, error):
    return OSError(
        f"cannot save to {folder}: {console.first_line(error)}; see that there is room "
        "and a right to write, and go on from the last checkpoint."
    )
