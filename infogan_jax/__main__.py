"""Use a trained run: python -m infogan_jax {sample,traverse,infer,evaluate} RUN."""

import argparse
import contextlib
import csv
import importlib
import io
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

import infogan_jax
from infogan_jax import data as data_lib
from infogan_jax import evaluation, inference, latents, plotting
from infogan_jax.host import console, json_files, paths
from infogan_jax.runs import options as options_lib
from infogan_jax.runs import records


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 2, with a line, if it cannot."""
    arguments = vars(_parser().parse_args(argv))
    command, modules = arguments.pop("command"), arguments.pop("modules")
    try:
        for module in modules:
            importlib.import_module(module)
        command(**arguments)
    except (ValueError, OSError, ImportError, console.Stop) as error:
        return console.tell(error)
    return 0


def sample(
    run: str,
    n: int,
    seed: int,
    digit: int | None,
    values: Sequence[tuple[int, float]],
    out: Path,
) -> None:
    """A grid of n images; or their arrays, if `out` ends in .npz."""
    config, state = infogan_jax.restore(run, nets=("g",))
    _check_memory(config, n)
    if len(dict(values)) < len(values):
        raise ValueError("--set names a code twice; give each a single value.")
    chosen = dict(values)
    if digit is not None:
        code, category = _category_of(run, digit)
        if code in chosen:
            raise ValueError(
                f"--digit {digit} is code {code}, which --set {code}={chosen[code]:g} "
                "sets too; give one of them."
            )
        chosen[code] = category
    drawn = inference.sample(config, state, jax.random.key(seed), n, c=chosen)
    if out.suffix.lower() == ".npz":
        _save_arrays(out, **drawn._asdict())
        return
    columns = int(np.ceil(np.sqrt(n)))
    images = np.asarray(drawn.images)
    blank = np.ones((-n % columns, *images.shape[1:]), images.dtype)
    images = np.concatenate([images, blank]).reshape(-1, columns, *images.shape[1:])
    _save_grid(images, f"{n} samples, noise of seed {seed}", out)


def traverse(run: str, code: int, rows: int, steps: int, seed: int, out: Path) -> None:
    """A grid in which one code moves along each row."""
    config, state = infogan_jax.restore(run, nets=("g",))
    _check_memory(config, max(rows, 1) * steps)
    key = jax.random.key(seed)
    images = inference.traverse(config, state, key, code, rows=rows, steps=steps)
    part = config.codes.parts[code]
    values = np.asarray(part.grid(steps))
    names = [f"{round(float(value), 2) + 0:g}" for value in values[:, 0]]  # No "-0".
    if isinstance(part, latents.Categorical):
        names = values.argmax(1)
    _save_grid(images, f"code {code}, noise of seed {seed}", out, names)


def infer(run: str, images: str, out: Path) -> None:
    """Mean of Q(c|x) for every image, a line with its name; or arrays in an .npz."""
    folder = paths.expand(images)
    if out.exists() and folder.exists() and out.samefile(folder):
        raise console.Stop(f"{out} is what is to be read; name another file by --out.")
    config, state = infogan_jax.restore(run, nets=("trunk", "q"))
    pictures = data_lib.read_images(images)
    means = evaluation.represent(config, state, pictures)
    names = [str(index) for index in range(len(means))]
    if folder.is_dir():
        files = data_lib.list_images(folder)
        names = [path.relative_to(folder).as_posix() for path in files]
    if out.suffix.lower() == ".npz":
        _save_arrays(out, image=names, codes=means)
        return
    file = io.StringIO(newline="")
    table = csv.writer(file)
    table.writerow(["image", *_columns(config.codes)])
    for name, row in zip(names, means, strict=True):
        table.writerow([name, *(f"{mean:.5f}" for mean in row)])
    # A file's name may be any bytes.
    _write(out, file.getvalue().encode("utf-8", "surrogateescape"))


def evaluate(run: str, data: str | None, data_dir: str | None, seed: int) -> None:
    """Prints how well Q recovers the codes and, with labels, the digits."""
    config, state = infogan_jax.restore(run)
    environment = None
    if data is None:
        fix = "name the images by --data"
        options = options_lib.read(_file(run, "run.json", fix))
        data, data_dir = options.data, data_dir or options.data_dir
        environment = json_files.read(_file(run, "environment.json", fix))
    try:
        loaded = data_lib.load(data, data_dir)
    except FileNotFoundError as error:
        where = f" By --data you can say where {run}'s images are."
        raise FileNotFoundError(
            f"{error}{where if environment is not None else ''}"
        ) from error
    if environment is not None:
        fix = "give --data to evaluate it on other images"
        records.check_data(run, environment, loaded, fix)
    key = jax.random.key(seed)
    report = evaluation.evaluate(config, state, loaded.train, loaded.test, key)
    print(f"{loaded.name}: {loaded.note}")
    print(evaluation.describe(report))


def _parser():
    parser = options_lib.command(__doc__, prog="python -m infogan_jax")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function):
        about = function.__doc__
        p = commands.add_parser(
            function.__name__, help=about, description=about, allow_abbrev=False
        )
        p.add_argument("run", metavar="RUN", help="run directory, or its checkpoints")
        p.add_argument(
            "--import",
            dest="modules",
            action="append",
            default=[],
            type=_module,
            metavar="MODULE",
            help="one that registers what the run's configuration names",
        )
        p.set_defaults(command=function)
        return p

    p = command(sample)
    p.add_argument("--n", type=int, default=16, help="images (default: 16)")
    p.add_argument("--digit", type=int, help="only this digit, by the run's own report")
    p.add_argument(
        "--set",
        dest="values",
        type=_assignment,
        action="append",
        default=[],
        metavar="CODE=VALUE",
        help="fix a code, such as 1=0.5; may be given again for another",
    )
    _common(p, "samples.png")
    p = command(traverse)
    p.add_argument("--code", type=int, default=0, help="which code moves (default: 0)")
    p.add_argument("--rows", type=int, default=10, help="rows (default: 10)")
    p.add_argument("--steps", type=int, default=10, help="values (default: 10)")
    _common(p, "traversal.png")
    p = command(infer)
    p.add_argument("images", metavar="IMAGES", help="folder of images, .npz or .npy")
    p.add_argument(
        "--out",
        type=_table,
        default="codes.csv",
        help="file, .csv or .npz (default: codes.csv)",
    )
    p = command(evaluate)
    p.add_argument("--data", metavar="NAME", help="dataset (default: the run's)")
    p.add_argument("--data-dir", metavar="DIR", help="where it lies")
    _seed(p, "of the fakes (default: 0)")
    return parser


def _seed(parser, text):
    parser.add_argument("--seed", type=options_lib.seed, default=0, help=text)


def _common(parser, out):
    _seed(parser, "(default: 0)")
    parser.add_argument(
        "--out", type=options_lib.picture, default=out, help=f"file (default: {out})"
    )


def _module(text):
    if not text or "/" in text or text.startswith(".") or text.endswith(".py"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no module's name, such as my_package.my_terms"
        )
    return text


def _table(text):
    suffix = Path(text).suffix.lower()
    if suffix not in (".csv", ".npz", ""):  # Without, as /dev/stdout.
        raise argparse.ArgumentTypeError(f"{text!r} must end in .csv or .npz")
    return options_lib.path(text)


def _assignment(text):
    code, _, value = text.partition("=")
    try:
        return int(code), float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not CODE=VALUE, such as 1=0.5"
        ) from None


def _check_memory(config, n):
    """Raises for images that would not fit: JAX would end the process by a signal."""
    most, (height, width, _) = inference.most_at_once(config), config.image_shape
    if n > most:
        raise ValueError(
            f"{n} images of {height}x{width} at once; ask for at most {most}."
        )


def _category_of(run, digit):
    """Which code and which of its values a run's report has for a digit."""
    path = _file(run, "evaluation.json", "fix a code by --set, such as --set 0=3")
    report = json_files.read(path)
    try:
        labels = list(report.get("label_of", []))
        if not labels:
            raise ValueError(
                f"{run} knows no digits: its images had no labels, or none of its "
                "codes has categories; fix a code by --set, such as --set 0=3."
            )
        if digit not in labels:
            raise ValueError(
                f"no category of {run} is digit {digit}; its categories are {labels}."
            )
        category = labels.index(digit)
        code, found = report["code"], report["confusion"][category]
        share = found[digit] / max(sum(found), 1)
    except (TypeError, IndexError) as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
    print(f"category {category}: {share:.0%} of its test images are a {digit}")
    return code, category


def _file(run, name, fix):
    """A file of a run, which may be named by its checkpoints; what to do without it."""
    folder = paths.to_path(run)
    path = (folder.parent if folder.name == "checkpoints" else folder) / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: the run was not finished, or this is no run "
            f"directory; {fix}."
        )
    return path


def _columns(codes):
    """A name for each dimension of codes: code0_3 is the share of category 3."""
    names = []
    for i, part in enumerate(codes.parts):
        several = [f"code{i}_{j}" for j in range(part.dim)]
        names += several if part.dim > 1 else [f"code{i}"]
    return names


def _save_grid(images, title, out, columns=()):
    figure = plotting.grid(images, columns=columns, title=title)
    with _telling_of(out):
        plotting.save(figure, out)


def _save_arrays(out, **arrays):
    archive = io.BytesIO()
    np.savez_compressed(archive, **arrays)
    _write(out, archive.getvalue())


def _write(out, content):
    with _telling_of(out):
        paths.write(out, content)


@contextlib.contextmanager
def _telling_of(out):
    try:
        yield
    except OSError as error:
        reason = error.strerror or error  # Pillow's has words alone.
        raise OSError(f"cannot write {out}: {reason}.") from error
    print(f"wrote {out}")


if __name__ == "__main__":
    console.run(main)
