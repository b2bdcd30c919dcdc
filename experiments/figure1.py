"""Figure 1 of the paper: L_I of the categorical code, InfoGAN beside a plain GAN.

The plain GAN (lambda = 0) has a Q on the side, on D's features, that neither G nor the
trunk learns from. Chen et al. 2016 (arXiv:1606.03657), section 7.1.

    python experiments/figure1.py --out runs/figure1

Results: the README, and `experiments/results/figure1.json`.
"""

import time

from infogan_jax import checks, data, plotting, presets
from infogan_jax.host import console, json_files, machine, paths
from infogan_jax.runs import loop, progress
from infogan_jax.runs import options as options_lib

CONFIGS = {"InfoGAN": presets.PAPER, "GAN": presets.PLAIN_GAN}
BATCH, EVERY = 128, 10


def information(config, dataset, steps, seed, name):
    """L_I of code 0 at every update, a list."""
    bounds = []
    training = loop.dispatches(
        config, dataset, seed, steps=steps, batch_size=BATCH, every=EVERY
    )
    with progress.Progress(steps, name=name) as telling:
        for _, metrics in training:
            bounds += metrics["info/0"].tolist()
            telling.advance(len(metrics["info/0"]))
    return bounds


def summary(curves) -> dict:
    """The numbers that the README has; None where the run was too short."""

    def mean(name, first, last):
        part = curves[name][first - 1 : last]
        is_whole = len(part) == last - first + 1
        return sum(part) / len(part) if is_whole else None

    return {
        "InfoGAN, mean over 400 to 900": mean("InfoGAN", 400, 900),
        "GAN, mean over 300 to 900": mean("GAN", 300, 900),
        "GAN, largest": max(curves["GAN"]),
        "InfoGAN, first update above 2.0": next(
            (i for i, bound in enumerate(curves["InfoGAN"], 1) if bound > 2.0), None
        ),
    }


@plotting.skip_without_matplotlib
def draw(curves, path):
    """Both curves, and H(c)."""
    figure, axes = plotting.new_figure(6, 4)
    for name, bounds in curves.items():
        axes.plot(range(1, len(bounds) + 1), bounds, label=name, linewidth=0.8)
    entropy = presets.PAPER.codes.parts[0].entropy()
    axes.axhline(entropy, color="gray", linestyle="--", label="H(c)")
    axes.set(xlabel="update", ylabel="L_I of the categorical code [nats]")
    axes.legend()
    plotting.save(figure, path)


def parse(argv):
    """The options."""
    parser = options_lib.command(__doc__)
    parser.add_argument("--data", default="auto", help="dataset (default: auto)")
    parser.add_argument("--data-dir", help="where it lies")
    parser.add_argument(
        "--steps",
        type=options_lib.whole(1),
        default=1000,
        help="updates (default: 1000)",
    )
    parser.add_argument("--seed", type=options_lib.seed, default=0, help="(default: 0)")
    parser.add_argument(
        "--out",
        type=options_lib.path,
        default="runs/figure1",
        help="(default: runs/figure1)",
    )
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Trains both and draws; returns the exit status."""
    options = parse(argv)
    out = options.out
    try:
        dataset = data.load(options.data, options.data_dir)
        checks.check_images(presets.PAPER, dataset.train["image"])
        out.mkdir(parents=True, exist_ok=True)
        paths.check_new(out / "figure1.json", out / "figure1.png")
        print(f"data: {dataset.note}")
        curves = {
            name: information(config, dataset.train, options.steps, options.seed, name)
            for name, config in CONFIGS.items()
        }
    except (ValueError, OSError, ImportError, console.Stop) as error:
        return console.tell(error)
    found = summary(curves)
    result = {
        "data": dataset.name,
        "sha256": dataset.sha256,
        "seed": options.seed,
        "machine": machine.describe(),
        "date": time.strftime("%Y-%m-%d"),
        "summary": found,
    }
    for name, value in found.items():
        print(f"  {name}: {value}")
    try:
        json_files.write(out / "figure1.json", result | {"curves": curves})
        draw(curves, out / "figure1.png")
    except OSError as error:
        return console.tell(error)
    print(f"see {out}")
    return 0


if __name__ == "__main__":
    console.run(main)
