"""A run of several processes: they run the same program with the same arguments.

The first of them decides and writes; the others follow by `from_first` and `agree`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from infogan_jax.host import console

Tree = TypeVar("Tree")
Result = TypeVar("Result")


def join(cluster: str) -> None:
    """Makes this process one of several; before anything else is asked of JAX.

    Args:
      cluster: "auto" where JAX finds out by itself (TPU slices, SLURM, Open MPI), else
        "HOST:PORT,PROCESSES,INDEX" with the address of the first process.

    Raises:
      ValueError: the text is neither, or no cluster was found.
    """
    if cluster == "auto":
        arguments: dict[str, Any] = {}
    else:
        try:
            address, processes, index = cluster.split(",")
            int(address.rpartition(":")[2])  # JAX would not tell what is wrong.
            arguments = {
                "coordinator_address": address,
                "num_processes": int(processes),
                "process_id": int(index),
            }
        except ValueError:
            raise ValueError(
                f"{cluster!r} names no cluster; write auto, or "
                "HOST:PORT,PROCESSES,INDEX, such as 10.0.0.1:1234,2,0."
            ) from None
    try:
        jax.distributed.initialize(**arguments)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"cannot join the cluster {cluster!r}: {error}") from error


def is_first() -> bool:
    """Whether this process decides and writes; true where it is alone."""
    return jax.process_index() == 0


def say(text: str) -> None:
    """Prints a line; of several processes only the first."""
    if is_first():
        print(text, file=console.OUT, flush=True)


def from_first(tree: Tree) -> Tree:
    """The first process's arrays, in all of them; the others bring the same shapes."""
    if jax.process_count() == 1:
        return tree
    return multihost_utils.broadcast_one_to_all(tree)


def text_from_first(make: Callable[[], str]) -> str:
    """What `make` returns or raises in the first process, in all of them.

    Raises:
      ValueError: in the others, where the first has raised anything.
    """
    if jax.process_count() == 1:
        return make()
    text, raised = "", None
    if is_first():
        try:
            text = "=" + make()
        except Exception as error:
            text, raised = f"!{error}", error
    letters = np.frombuffer(text.encode(), np.uint8)
    length = int(from_first(np.int32(len(letters))))
    letters = letters if is_first() else np.zeros(length, np.uint8)
    text = np.asarray(from_first(letters)).tobytes().decode()
    if raised is not None:
        raise raised
    if text.startswith("!"):
        raise ValueError(f"the first process stopped: {text[1:]}")
    return text[1:]


def on_first(action: Callable[[], Result]) -> Result | None:
    """What `action` returns in the first process, and None in the others.

    Raises:
      ValueError: in the others, where it has raised anything in the first.
    """
    found = None

    def act():
        nonlocal found
        found = action()
        return ""

    text_from_first(act)
    return found


def agree(*numbers: int) -> list[int]:
    """The largest that any process has of each number."""
    if jax.process_count() == 1:
        return list(numbers)
    every = multihost_utils.process_allgather(np.array(numbers, np.int32))
    return every.max(0).tolist()


def local(tree: Tree) -> Tree:
    """This process's copy of arrays that lie whole on every device."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(lambda x: x.addressable_data(0), tree)
