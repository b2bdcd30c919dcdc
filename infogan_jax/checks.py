"""Images, batches and states, checked where users bring them in."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from infogan_jax import config as config_lib
from infogan_jax import sharding, types
from infogan_jax import state as state_lib

Config = config_lib.Config


def to_float(images: types.Array) -> types.Array:
    """Images as float32 in [0, 1]; uint8 is divided by 255."""
    return images / jnp.float32(255) if images.dtype == jnp.uint8 else images


def check_range(images: types.Array, is_dataset: bool = False) -> None:
    """Raises unless float images lie in [0, 1]: those in host memory.

    Of a dataset also those on devices of this process, for which it waits; and unless
    bytes in host memory are more than 0 and 1, which would be all but black.
    """
    is_here = isinstance(images, np.ndarray)
    if is_dataset and isinstance(images, jax.Array):
        is_here = sharding.is_readable(images)
    if is_here and jnp.issubdtype(images.dtype, jnp.floating):
        low, high = float(images.min()), float(images.max())
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"float images must lie in [0, 1], not [{low:.9g}, {high:.9g}]; "
                "rescale or clip them, or pass uint8 in 0 .. 255."
            )
    if not (is_dataset and isinstance(images, np.ndarray)):
        return
    if images.dtype == np.uint8 and images.max() == 1:
        raise ValueError(
            "bytes are 0 .. 255, and these are all 0 or 1; multiply them by 255, or "
            "pass float32."
        )


def check_images(config: Config, images: Any) -> None:
    """Raises unless the images have the config's shape and a dtype of the library."""
    if not hasattr(images, "dtype"):
        raise ValueError(f"images must be an array, not a {type(images).__name__}.")
    if images.dtype not in (jnp.uint8, jnp.float32):
        raise ValueError(
            f"images must be float32 in [0, 1] or uint8, not {images.dtype}."
        )
    fits = images.ndim == 4 and images.shape[1:] == config.image_shape
    if not fits or images.shape[0] == 0:
        raise ValueError(
            f"images of shape {images.shape} do not fit this config; give "
            f"[B, {', '.join(map(str, config.image_shape))}], B at least 1."
        )


def check_rows(config: Config, rows: types.Rows, is_dataset: bool = False) -> None:
    """Raises unless a dataset's or a batch's images fit the config.

    A dataset is looked at as `check_range` says, once a call; a batch comes while a
    device is still busy with those before, and nothing waits for it.
    """
    image = rows.get("image") if isinstance(rows, Mapping) else None
    if image is None:
        given = sorted(rows) if isinstance(rows, Mapping) else type(rows).__name__
        raise ValueError(
            "there are no images: a batch or a dataset is a dict with an array named "
            f"'image', such as data.load(...).train, not {given}."
        )
    check_images(config, image)
    check_range(image, is_dataset)


def check_single(state: state_lib.TrainState) -> None:
    """Raises unless a state is of one run."""
    if np.ndim(state.step):
        raise ValueError(
            f"these are {len(state.step)} states of a population; take each by itself, "
            "such as population.of_seed(states, 0)."
        )


def check_nets(state: state_lib.TrainState, *names: str) -> None:
    """Raises unless a state is of one run, and holds these networks."""
    check_single(state)
    if not set(names) <= set(state.nets):
        raise ValueError(
            f"this needs the networks {sorted(names)}, but the state holds "
            f"{sorted(state.nets)}; restore it with these nets, or all."
        )


def check_state(config: Config, state: state_lib.TrainState) -> None:
    """Raises unless a state can be trained: all networks and optimizers are there."""
    check_nets(state, *config.networks())
    if missing := {update.name for update in config.updates} - set(state.opt):
        raise ValueError(
            f"the state has no optimizer for {sorted(missing)}; restore it without "
            "nets=, which leaves the optimizers out."
        )
    for update in config.updates:
        learned = set(state.opt[update.name].mu)
        if learned != set(update.nets):
            raise ValueError(
                f"update {update.name!r} trains {sorted(update.nets)}, but the state's "
                f"optimizer is for {sorted(learned)}; begin with a fresh one, such as "
                "state.replace(opt=init(config, key).opt)."
            )
    if config.ema_decay and not state.ema:
        raise ValueError(
            f"ema_decay is {config.ema_decay}, but the state holds no average of G; "
            "begin one: state.replace(ema={'g': training.copy(state.nets['g'])})."
        )
    if state.ema and not config.ema_decay:
        raise ValueError(
            "the state holds an average of G, which ema_decay 0 would lose; drop it "
            "yourself: state.replace(ema={})."
        )


def prepare_batch(config: Config, batch: types.Rows) -> dict[str, types.Array]:
    """The batch of a step, without what is None; raises unless it fits the config."""
    check_rows(config, batch)
    label, n = batch.get("label"), len(batch["image"])
    shape = getattr(label, "shape", type(label).__name__)
    if label is not None and shape != (n,):
        raise ValueError(
            f"batch['label'] has shape {shape} for {n} images; give an array with one "
            "integer per image."
        )
    if label is not None and not jnp.issubdtype(label.dtype, jnp.integer):
        raise ValueError(
            f"batch['label'] is {label.dtype}; give integers, -1 where unknown."
        )
    batch = {name: array for name, array in batch.items() if array is not None}
    # Labels of uint8 could not be -1, which is unknown.
    return batch | ({} if label is None else {"label": label.astype(jnp.int32)})


def check_axis(axis_name: types.Axis, *trees: Any) -> None:
    """Raises inside a `jax.shard_map` that keeps account of what varies over its axes.

    It makes the gradients of all that does not vary sums, which a step averages; and it
    refuses branches and loops of which one side varies and the other does not.
    """
    seen = jax.tree.leaves(trees)
    if axis_name is not None:  # This varies over the axis, whatever the batch does.
        seen.append(jax.lax.axis_index(axis_name))
    if any(jax.typeof(x).manual_axis_type.varying for x in seen):
        raise ValueError(
            "the jax.shard_map around this step checks which arrays vary, and would "
            "sum gradients where a step averages them; give it check_vma=False."
        )
