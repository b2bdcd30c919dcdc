"""Pictures as matplotlib Figures, drawn without a display, and saved whole."""

import functools
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import jax
import numpy as np

from infogan_jax import config as config_lib
from infogan_jax import inference, latents, training, types
from infogan_jax.host import console, paths

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Config = config_lib.Config
TrainState = training.TrainState

P = ParamSpec("P")
R = TypeVar("R")

_INCHES = 0.55  # per image
_WATCHED = ("accuracy", "spread")  # shares, beside the losses
_HIDDEN = ("info", "gradient")  # the one has a panel of its own, the other is noise


def figures(
    config: Config,
    state: TrainState,
    key: jax.Array,
    *,
    label_of: Iterable[int] | None = None,
) -> dict[str, "Figure"]:
    """Every picture of a model that its codes allow: {file name: Figure}.

    Args:
      config: the configuration.
      state: the state.
      key: the same key gives the same pictures.
      label_of: the label of each category, to name the rows.
    """
    drawn: dict[str, Figure] = {}
    continuous = []
    for index, part in enumerate(config.codes.parts):
        if isinstance(part, latents.Categorical):
            is_first = "categories.png" not in drawn
            name = "categories" if is_first else f"categories_{index}"
            drawn[f"{name}.png"] = categories(
                config, state, key, index, label_of=label_of
            )
            label_of = None  # It belongs to the first categorical code.
        elif isinstance(part, latents.Uniform | latents.Gaussian):
            continuous.append(index)
            drawn[f"sweep_{index}.png"] = sweep(config, state, key, index)
    if len(continuous) >= 2:
        drawn["plane.png"] = plane(config, state, key, *continuous[:2])
    return drawn


def grid(
    images: types.Array,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    title: str = "",
) -> "Figure":
    """Images [rows, columns, H, W, C], floats in [0, 1] or bytes, as one picture.

    Args:
      images: the images.
      rows: names beside the rows.
      columns: names under the columns.
      title: above.

    Raises:
      ValueError: images of another shape.
    """
    images = np.asarray(images)
    images = images / 255 if images.dtype == np.uint8 else images
    if images.ndim != 5:
        raise ValueError(
            f"images must be [rows, columns, H, W, C], not {list(images.shape)}."
        )
    n, m, height, width, channels = images.shape
    tiled = images.transpose(0, 2, 1, 3, 4).reshape(n * height, m * width, channels)
    figure, axes = new_figure(m * _INCHES + 1.2, n * _INCHES * height / width + 1)
    axes.imshow(
        tiled.squeeze(-1) if channels == 1 else tiled, cmap="gray", vmin=0, vmax=1
    )
    axes.set_yticks(np.arange(len(rows)) * height + height / 2, rows)
    axes.set_xticks(np.arange(len(columns)) * width + width / 2, columns, fontsize=8)
    axes.tick_params(length=0)
    axes.set_title(title, fontsize=9)
    axes.spines[:].set_visible(False)
    return figure


def categories(
    config: Config,
    state: TrainState,
    key: jax.Array,
    code: int,
    *,
    label_of: Iterable[int] | None = None,
) -> "Figure":
    """Rows are the values of a categorical code, columns draws of everything else.

    `label_of` [n] names the rows.

    Raises:
      ValueError: the code is no categorical one, or there is none of this number; or
        `label_of` is of another length.
    """
    config.codes.check_index(code)
    part = config.codes.parts[code]
    if not isinstance(part, latents.Categorical):
        raise ValueError(f"code {code} has no categories: it is {part}.")
    n = part.n
    images = inference.traverse(config, state, key, code, rows=10, steps=n)
    names = [f"{i}" for i in range(n)]
    if label_of is not None:
        labels = list(label_of)
        if len(labels) != n:
            raise ValueError(f"{len(labels)} labels cannot name {n} categories.")
        names = [f"{i} (is {label})" for i, label in enumerate(labels)]
    title = f"code {code}: one category per row ({_parameters(state)})"
    return grid(np.swapaxes(images, 0, 1), rows=names, title=title)


def sweep(
    config: Config, state: TrainState, key: jax.Array, code: int, *, steps: int = 13
) -> "Figure":
    """A continuous code from -2 to 2; all else is fixed along a row.

    A uniform code was only ever drawn from [-1, 1]: that range is marked.

    Raises:
      ValueError: the code is a discrete one, or there is none of this number.
    """
    part = _continuous(config, code)
    values = np.linspace(-2, 2, steps)
    columns = np.repeat(values[:, None], part.dim, 1)
    images = inference.traverse(config, state, key, code, rows=10, values=columns)
    title = f"code {code} from -2 to 2 ({_parameters(state)})"
    if isinstance(part, latents.Uniform):
        title += "; the prior's range, -1 to 1, between the lines"
    figure = grid(images, columns=[f"{v:.1f}" for v in values], title=title)
    if isinstance(part, latents.Uniform):
        width, is_inside = images.shape[3], np.abs(values) <= 1
        for edge in np.flatnonzero(np.diff(is_inside)) + 1:
            figure.axes[0].axvline(edge * width - 0.5, color="tab:red", linewidth=2)
    return figure


def plane(
    config: Config,
    state: TrainState,
    key: jax.Array,
    down: int,
    across: int,
    *,
    steps: int = 10,
) -> "Figure":
    """Two continuous codes over their priors' range, all else fixed.

    The code number `down` changes with the rows, `across` with the columns.

    Raises:
      ValueError: there is no code of one of these numbers, or it is a discrete one; or
        both are one.
    """
    parts = config.codes.parts
    for code in (down, across):
        _continuous(config, code)
    if down == across:
        raise ValueError(f"a plane is of two codes, not of code {down} alone.")
    drawn = inference.sample(config, state, key, 1)
    pieces = [np.repeat(x, steps * steps, 0) for x in config.codes.split(drawn.c)]
    pieces[down] = np.repeat(parts[down].grid(steps), steps, 0)
    pieces[across] = np.tile(parts[across].grid(steps), (steps, 1))
    z = np.repeat(drawn.z, steps * steps, 0)
    images = inference.generate(config, state, z, np.concatenate(pieces, -1))
    rows, columns = (
        [f"{value:.1f}" for value in np.asarray(parts[code].grid(steps))[:, 0]]
        for code in (down, across)
    )
    title = f"code {down} down, code {across} across ({_parameters(state)})"
    images = images.reshape(steps, steps, *config.image_shape)
    return grid(images, rows=rows, columns=columns, title=title)


def curves(config: Config, lines: Sequence[Mapping[str, Any]]) -> "Figure":
    """Losses, what tells of health, and L_I of each code; H(c) of the discrete ones.

    A line's outermost hundredth may lie outside: one step, as where a weight jumps,
    would flatten all others.

    Args:
      config: the configuration.
      lines: those of metrics.jsonl: {"step": ..., name: value}.
    """
    steps = [line["step"] for line in lines]
    figure, (left, middle, right) = new_figure(14, 3.6, columns=3)
    for name in [name for name in lines[0] if name != "step"]:
        if not set(_HIDDEN).isdisjoint(name.split("/")):
            continue
        panel = middle if name.endswith(_WATCHED) else left
        panel.plot(steps, [line[name] for line in lines], label=name, linewidth=0.7)
    left.set(xlabel="update", ylabel="loss", title="losses")
    middle.set(
        xlabel="update", title="D's accuracy; spread of fakes over that of reals"
    )
    for index, part in enumerate(config.codes.parts):
        if f"info/{index}" not in lines[0]:  # no update teaches G
            continue
        bound = [line[f"info/{index}"] for line in lines]
        label = f"code {index} ({type(part).__name__})"
        (drawn,) = right.plot(steps, bound, label=label, linewidth=0.7)
        if isinstance(part, latents.Categorical | latents.Bernoulli):
            right.axhline(part.entropy(), color=drawn.get_color(), linestyle="--")
    right.set(xlabel="update", ylabel="L_I [nats]", title="L_I; dashed: H(c)")
    places = "center left", "lower right", "center left"  # To look for one is slow.
    for panel, place in zip((left, middle, right), places, strict=True):
        if panel.lines:
            _leave_outliers_out(panel)
            panel.legend(fontsize=7, loc=place)
    return figure


def skip_without_matplotlib(draw: Callable[P, R]) -> Callable[P, R | None]:
    """`draw`, which says so and returns None where matplotlib is missing."""

    @functools.wraps(draw)
    def attempt(*arguments: P.args, **options: P.kwargs) -> R | None:
        try:
            return draw(*arguments, **options)
        except ImportError as error:
            print(f"nothing is drawn: {error}", file=console.OUT, flush=True)
            return None

    return attempt


def new_figure(
    width: float, height: float, *, columns: int = 1, rows: int = 1
) -> tuple["Figure", Any]:
    """An empty Figure of so many inches, and its axes."""
    # The object interface: no pyplot state, no window, safe in a thread.
    try:
        from matplotlib import figure as mpl
    except ImportError:
        raise ImportError(
            'figures need matplotlib: pip install "infogan_jax[figures]"'
        ) from None
    figure = mpl.Figure(figsize=(width, height), dpi=110, layout="constrained")
    return figure, figure.subplots(rows, columns)


def save(figure: "Figure", path: str | os.PathLike[str], **options: Any) -> None:
    """Writes a picture as its path ends, whole or not at all.

    Args:
      figure: the Figure.
      path: such as samples.png.
      **options: of `Figure.savefig`.

    Raises:
      OSError: it cannot be written.
      ValueError: matplotlib cannot draw such a picture.
    """
    drawn = io.BytesIO()  # Of what is drawn to a full disk, JPEG's end goes missing.
    try:
        figure.savefig(drawn, format=Path(path).suffix[1:], **options)
    except RuntimeError as error:  # As .pgf, of images.
        raise ValueError(f"{path} cannot be drawn: {error}") from error
    paths.write(path, drawn.getvalue())


def _leave_outliers_out(panel):
    values = [np.asarray(line.get_ydata(), float) for line in panel.lines]
    values = [y[np.isfinite(y)] for y in values]
    ends = [np.quantile(y, (0.005, 0.995)) for y in values if y.size]
    if ends:
        low, high = np.min(ends), np.max(ends)
        margin = 0.05 * (high - low) or 1.0
        panel.set_ylim(low - margin, high + margin)


def _continuous(config, code):
    """The code of this number; raises where it is none, or a discrete one."""
    config.codes.check_index(code)
    part = config.codes.parts[code]
    if isinstance(part, latents.Categorical | latents.Bernoulli):
        raise ValueError(f"code {code} has nothing between its values: it is {part}.")
    return part


def _parameters(state):
    """Which G draws: as `inference.generate` has it."""
    return "averaged G" if state.ema else "live G"
