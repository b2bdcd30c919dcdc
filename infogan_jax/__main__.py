"""Use a trained run: python -m infogan_jax {sample,traverse,infer,evaluate} RUN."""

import argparse
import csv
import importlib
import json
import sys
from pathlib import Path

import jax
import numpy as np

from infogan_jax import console
from infogan_jax import options as options_lib


def main(argv=None) -> int:
    """Runs one command; returns the exit status: 2, with one line, for a wrong wish."""
    arguments = vars(_parser().parse_args(argv))
    command, modules = arguments.pop("command"), arguments.pop("modules")
    try:
        for module in modules:
            importlib.import_module(module)
        command(**arguments)
    except (ValueError, OSError, ImportError, options_lib.Stop) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def sample(run, n, seed, digit, values, out):
    """A grid of n images; or their arrays, if `out` ends in .npz."""
    from infogan_jax import inference

    config, state = _restore(run, ("g",))
    if len(dict(values)) < len(values):
        raise ValueError("--set names a code twice; give each a single value.")
    values = dict(values)
    if digit is not None:
        code, category = _category_of(run, digit)
        if code in values:
            raise ValueError(
                f"--digit {digit} is code {code}, which --set {code}={values[code]:g} "
                "sets too; give one of them."
            )
        values[code] = category
    drawn = inference.sample(config, state, jax.random.key(seed), n, c=values)
    if Path(out).suffix == ".npz":
        _write(out, lambda: np.savez_compressed(out, **drawn._asdict()))
        return
    columns = int(np.ceil(np.sqrt(n)))
    images = np.asarray(drawn.images)
    blank = np.ones((-n % columns, *images.shape[1:]), images.dtype)
    images = np.concatenate([images, blank]).reshape(-1, columns, *images.shape[1:])
    _save_grid(images, f"{n} samples, seed {seed}", out)


def traverse(run, code, rows, steps, seed, out):
    """A grid in which one code moves along each row."""
    from infogan_jax import inference, latents

    config, state = _restore(run, ("g",))
    key = jax.random.key(seed)
    images = inference.traverse(config, state, key, code, rows=rows, steps=steps)
    part = config.codes.parts[code]
    values = np.asarray(part.grid(steps))
    names = [f"{round(float(value), 2) + 0:g}" for value in values[:, 0]]
    if isinstance(part, latents.Categorical):
        names = values.argmax(1)
    _save_grid(images, f"code {code}, seed {seed}", out, names)


def infer(run, images, out):
    """Mean of Q(c|x) for every image, a line with its name; or arrays in an .npz."""
    from infogan_jax import data, evaluation

    config, state = _restore(run, ("trunk", "q"))
    pictures = data.read_images(images)
    means = np.asarray(config.codes.mean(evaluation.read(config, state, pictures)))
    folder = Path(images).expanduser()
    names = [str(index) for index in range(len(means))]
    if folder.is_dir():
        paths = data.files.list_images(folder)
        names = [path.relative_to(folder).as_posix() for path in paths]
    if Path(out).suffix == ".npz":
        _write(out, lambda: np.savez_compressed(out, image=names, codes=means))
        return

    def write_table():
        with open(out, "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["image", *_columns(config.codes)])
            for name, row in zip(names, means, strict=True):
                table.writerow([name, *(f"{mean:.5f}" for mean in row)])

    _write(out, write_table)


def evaluate(run, data, data_dir, seed):
    """Prints how well Q recovers the codes and, with labels, the digits."""
    from infogan_jax import data as data_lib
    from infogan_jax import evaluation, records

    config, state = _restore(run, None)
    is_its_own = data is None
    if is_its_own:
        options = _read_json(run, "run.json", "data", "data_dir")
        data, data_dir = options["data"], data_dir or options["data_dir"]
    loaded = data_lib.load(data, data_dir)
    if is_its_own:
        began_with = records.data_hash(run, _read_json(run, "environment.json"))
        if loaded.sha256 != began_with:
            raise ValueError(
                f"{loaded.name} is not what the run was trained on any more: SHA-256 "
                f"{loaded.sha256[:12]}, then {began_with[:12]}; give --data "
                "to evaluate it on other images."
            )
    key = jax.random.key(seed)
    report = evaluation.evaluate(config, state, loaded.train, loaded.test, key)
    print(f"{loaded.name}: {loaded.note}")
    print(evaluation.describe(report))


def _parser():
    parser = argparse.ArgumentParser(prog="python -m infogan_jax", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function):
        about = function.__doc__
        p = commands.add_parser(function.__name__, help=about, description=about)
        p.add_argument("run", metavar="RUN", help="run directory, or its checkpoints")
        p.add_argument(
            "--import",
            dest="modules",
            action="append",
            default=[],
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
    p.add_argument("--out", default="codes.csv", help="file (default: codes.csv)")
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
        "--out", type=_picture, default=out, help=f"file (default: {out})"
    )


def _picture(text):
    if not Path(text).suffix:  # Matplotlib would give it one of its own.
        raise argparse.ArgumentTypeError(
            f"{text!r} names no picture; give it an ending, such as .png"
        )
    return text


def _assignment(text):
    code, _, value = text.partition("=")
    try:
        return int(code), float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not CODE=VALUE, such as 1=0.5"
        ) from None


def _restore(run, nets):
    from infogan_jax import checkpoint

    return checkpoint.restore(run, nets=nets)


def _category_of(run, digit):
    report = _read_json(run, "evaluation.json")
    labels = report.get("label_of", [])
    if digit not in labels:
        raise ValueError(
            f"no category of {run} is digit {digit}; its categories are {labels}."
        )
    category = labels.index(digit)
    found = report["confusion"][category]
    share = found[digit] / max(sum(found), 1)
    print(f"category {category}: {share:.0%} of its test images are a {digit}")
    return report["code"], category


def _read_json(run, name, *keys):
    """A run's file, which has to have these keys."""
    folder = Path(run).resolve()
    path = (folder.parent if folder.name == "checkpoints" else folder) / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: the run was not finished, or this is no run directory."
        )
    try:
        found = json.loads(path.read_text())
        if not isinstance(found, dict) or not set(keys) <= set(found):
            raise ValueError("it lacks what a run writes")
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
    return found


def _columns(codes):
    """A name for each dimension of codes: code0_3 is the share of category 3."""
    names = []
    for i, part in enumerate(codes.parts):
        several = [f"code{i}_{j}" for j in range(part.dim)]
        names += several if part.dim > 1 else [f"code{i}"]
    return names


def _save_grid(images, title, out, columns=()):
    from infogan_jax import plotting

    figure = plotting.grid(images, columns=columns, title=title)
    _write(out, lambda: figure.savefig(out))


def _write(out, action):
    try:
        action()
    except OSError as error:
        raise OSError(f"cannot write {out}: {error.strerror}.") from error
    print(f"wrote {out}")


if __name__ == "__main__":
    console.run(main)
