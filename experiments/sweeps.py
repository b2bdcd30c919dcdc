"""What the continuous codes of a run bend: slant, width, ink, and never the digit.

    python experiments/sweeps.py runs/quick runs/mnist

For each run, on 2,000 fakes: Spearman's correlation of every uniform code with the
measured slant, width and stroke area, over all fakes; and the mean of its size over the
categories, each by itself, for a 1 has less ink than an 8 whatever the code (.06 for a
code that bends nothing: sizes do not cancel). Before the table, the bound that this
sets: the highest correlation, over all real test digits, of a code that is drawn, as
here, whatever the digit. On sweeps of each code over [-1, 1], from the same noise and
category: how often the digit stays that of the middle, as judged by Q and by a
classifier trained on real digits (scikit-learn, RBF support vectors on 5,000 of them).
Chen et al. 2016 (arXiv:1606.03657), figure 2 and section 7.2. Results:
`experiments/results`, under "What the continuous codes bend".
"""

import arms  # noqa: F401  # Registers what the networks of tries.py are.
import jax
import numpy as np
from scipy import stats

import infogan_jax
from infogan_jax import data, evaluation, latents, metrics
from infogan_jax.host import console, json_files, paths
from infogan_jax.metrics import fitting
from infogan_jax.runs import options as options_lib

N_FAKES, N_SWEEPS, STEPS = 2000, 100, 11
MEASURES = metrics.slant, metrics.width, metrics.stroke_area


def classifier(images, labels):
    """A function from images [N, H, W, C] in [0, 1] to labels, fitted on these."""
    svm = fitting.sklearn("svm")

    def flat(images):
        return np.asarray(images).reshape(len(images), -1)

    fitted = svm.SVC(C=10).fit(flat(images), labels)
    return lambda images: fitted.predict(flat(images))


def judge(dataset, n=5000):
    """The classifier of n real digits, and its test accuracy."""

    def known(split, n=None):
        images, labels = split["image"], split["label"]
        rows = np.flatnonzero(labels >= 0)
        if set(labels[rows[:n]]) < set(labels[rows]):  # As where they lie by class.
            rows = np.random.default_rng(0).permutation(rows)
        return images[rows[:n]] / 255, labels[rows[:n]]

    (images, labels), (test, truth) = known(dataset.train, n), known(dataset.test)
    if len(np.unique(labels)) < 2 or not len(truth):
        raise ValueError(
            f"{dataset.name} has no labels of two classes; name labelled digits by "
            "--data."
        )
    digits_of = classifier(images, labels)
    return digits_of, float(np.mean(digits_of(test) == truth))


def restore(run, dataset):
    """A run's Config and state, if its images are like the judge's digits.

    Raises:
      ValueError: they are of another shape, or its code 0 is no category.
    """
    config, state = infogan_jax.restore(run)
    if config.image_shape != dataset.image_shape:
        raise ValueError(
            f"it draws images of {config.image_shape}, and the judge's digits are "
            f"{dataset.image_shape}; name others by --data."
        )
    if not isinstance(config.codes.parts[0], latents.Categorical):
        raise ValueError("its code 0 is no category.")
    return config, state


def study(run, dataset, digits_of) -> list[dict]:
    """A row for each uniform code of one run; its code 0 is the category."""
    config, state = restore(run, dataset)
    images, _, c = infogan_jax.sample(config, state, jax.random.key(0), N_FAKES)
    measured = {measure.__name__: measure(images) for measure in MEASURES}
    category, *others = map(np.asarray, config.codes.split(c))
    found = []
    for code, values in enumerate(others, start=1):
        part = config.codes.parts[code]
        if isinstance(part, latents.Uniform):
            if part.size > 1:
                raise ValueError(
                    f"its code {code} has {part.size} dimensions, of which a sweep "
                    "moves all; only codes of one are measured."
                )
            row = {"run": str(run), "code": code}
            row |= bent(values[:, 0], measured, category.argmax(1))
            found.append(row | kept(config, state, code, digits_of))
    if not found:
        raise ValueError("it has no uniform code after its code 0, and is left out.")
    return found


def bent(values, measured: dict, category) -> dict:
    """How the values [N] of a code go with every measure [N]: Spearman's correlation.

    Under NAME_within the mean of its size over the categories of three fakes or more,
    each by itself. A measure that is constant counts as 0.
    """
    each = [category == value for value in np.unique(category)]
    each = [rows for rows in each if rows.sum() > 2]
    overall, within = {}, {}
    for name, numbers in measured.items():
        overall[name] = spearman(values, numbers)
        sizes = [abs(spearman(values[rows], numbers[rows])) for rows in each]
        within[f"{name}_within"] = float(np.mean(sizes))
    return overall | within


def spearman(a, b):
    """Spearman's correlation of two vectors; 0 if one is constant."""
    return metrics.correlation(stats.rankdata(a), stats.rankdata(b))


def limits(dataset) -> dict:
    """What a code that is drawn whatever the digit can have of a measure at most.

    Spearman's correlation, over all labelled test images, of every measure with its
    ranks among the images of the same digit. Of numbers that are spread alike in every
    digit none go with it better (the rearrangement inequality, digit by digit).
    """
    labels = dataset.test["label"]
    images, labels = dataset.test["image"][labels >= 0] / 255, labels[labels >= 0]
    found = {}
    for measure in MEASURES:
        measured = measure(images)
        best = np.zeros(len(labels))
        for label in np.unique(labels):
            rows = labels == label
            best[rows] = stats.rankdata(measured[rows]) / (rows.sum() + 1)
        found[measure.__name__] = spearman(best, measured)
    return found


def kept(config, state, code, digits_of):
    """Share of the other images of a sweep that have its middle image's digit."""
    key_z, key_c = jax.random.split(jax.random.key(1))
    z = jax.vmap(config.noise.sample)(jax.random.split(key_z, N_SWEEPS))
    c = jax.vmap(config.codes.sample)(jax.random.split(key_c, N_SWEEPS))
    images = [
        infogan_jax.generate(config, state, z, config.codes.assign(c, {code: value}))
        for value in np.linspace(-1, 1, STEPS)
    ]
    images = np.stack(images, 1).reshape(-1, *config.image_shape)
    shares = {}
    of_q = evaluation.category(config, evaluation.infer_all(config, state, images))
    for name, digits in (("kept_by_q", of_q), ("kept_by_svm", digits_of(images))):
        digits = np.reshape(digits, (N_SWEEPS, STEPS))
        same = digits == digits[:, [STEPS // 2]]
        shares[name] = float(np.delete(same, STEPS // 2, 1).mean())
    return shares


def report(argv, doc, study, columns, decimals, of_digits=lambda dataset: "") -> int:
    """A command that prints a table of `study` over runs; returns the exit status.

    Args:
      argv: its arguments.
      doc: what --help says.
      study: (run, dataset, digits_of) to rows, dicts of equal keys; `digits_of` is the
        `judge` of the dataset.
      columns: the table's heads, one for each key.
      decimals: of its numbers.
      of_digits: what to say of the judge's dataset before the table.
    """
    parser = options_lib.command(doc)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories")
    parser.add_argument(
        "--data", default="bundled", help="the judge's digits (default: %(default)s)"
    )
    parser.add_argument("--data-dir", metavar="PATH", help="where their files lie")
    parser.add_argument(
        "--json", type=options_lib.path, metavar="PATH", help="write the rows"
    )
    options = parser.parse_args(argv)
    rows, failed = [], []
    try:
        paths.check_new(*filter(None, [options.json]))
        dataset = data.load(options.data, options.data_dir)
        digits_of, right = judge(dataset)
        said = of_digits(dataset)
    except (ValueError, OSError, ImportError) as error:
        return console.tell(error)
    print(f"The judge is right on {right:.4f} of real test digits.{said}\n")
    print(f"| {' | '.join(columns)} |")
    print("|" + "---|" * len(columns), flush=True)
    for run in options.runs:
        try:
            found = study(run, dataset, digits_of)
            rows += found
            for row in found:
                cells = [
                    f"{cell:.{decimals}f}" if isinstance(cell, float) else str(cell)
                    for cell in row.values()
                ]
                print(f"| {' | '.join(cells)} |", flush=True)
            if options.json:
                judge_of = {"judge": dataset.name, "judge_right": right}
                json_files.write(options.json, [row | judge_of for row in rows])
        except (ValueError, OSError) as error:
            failed.append(f"error: {run}: {error}")
    for line in failed:
        print(line, file=console.ERR)
    return 2 if failed else 0


def said_of_limits(dataset) -> str:
    """The `limits` in words."""
    slant, width, area = limits(dataset).values()
    return (
        " Over all of these a code that says\nnothing of the digit goes at most at "
        f"{slant:.3f} with the slant, {width:.3f} with the width, and\n{area:.3f} with "
        "the stroke area."
    )


def main(argv=None) -> int:
    """Prints a table of all runs' codes; returns the exit status."""
    measures = "slant", "width", "stroke area"
    within = (f"{measure} in a category" for measure in measures)
    kept_by = "kept by Q", "kept by the judge"
    columns = "run", "code", *measures, *within, *kept_by
    return report(argv, __doc__, study, columns, 3, said_of_limits)


if __name__ == "__main__":
    console.run(main)
