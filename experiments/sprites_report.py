"""The report of `sprites.py`: a table of all finished seeds, the choice, figures."""

import statistics
from pathlib import Path

import jax
import numpy as np
import seeds
import sprites_scores
from scipy import stats

import infogan_jax
from infogan_jax import plotting
from infogan_jax.host import json_files

# Of InfoGAN-CR's table 1 and 3: 50 runs each, dSprites itself.
PUBLISHED = {
    "cr": {
        "factor_vae": 0.88,
        "dci": 0.71,
        "sap": 0.58,
        "explicitness": 0.85,
        "modularity": 0.96,
        "mig": 0.37,
        "beta_vae": 0.95,
    },
    "modified": {
        "factor_vae": 0.82,
        "dci": 0.60,
        "sap": 0.41,
        "explicitness": 0.82,
        "modularity": 0.94,
        "mig": 0.22,
        "beta_vae": 0.87,
    },
}


def write(
    out: Path, ends: dict[Path, dict], variant: str, fraction: float, switch: int | None
) -> None:
    """report.md, report.json and the figures, of finished runs.

    Args:
      out: their directory, where the report comes.
      ends: the finished.json of each run.
      variant: "cr" or "modified".
      fraction: of the published schedule.
      switch: the iteration from which on the pairs count; None without them.
    """
    finished, ends = list(ends), list(ends.values())
    steps, votes = ends[0]["steps"], ends[0]["votes"]
    names = [name for name in sprites_scores.SCORES if name in ends[0]]
    central = ranking = None
    if len(finished) > 2:  # Two runs agree with each other alike.
        keys = [end["seed"] for end in ends]
        central, ranking = sprites_scores.centrality(finished, keys, votes)
    lines = [
        f"{variant}: {steps} iterations, {fraction:.4g} of the published "
        f"schedule, on dSprites-like images; scored by {votes} votes and {20 * votes} "
        "rows; dci is by lasso, and the published table does not say by what.",
        "",
        *_table(names, ends, PUBLISHED[variant], central, ranking),
    ]
    best = 0
    if central is not None:
        best = int(np.argmax(central))
        better = sum(end["factor_vae"] > ends[best]["factor_vae"] for end in ends)
        by_udr = ends[int(np.argmax(ranking))]["seed"]
        lines += [
            "",
            f"ModelCentrality chooses seed {ends[best]['seed']}, number {better + 1} "
            f"of {len(ends)} by FactorVAE; UDR seed {by_udr}.",
        ]
    curves = {run.name: json_files.read_lines(run / "scores.jsonl") for run in finished}
    rows = [
        [line[name] for name in names] for curve in curves.values() for line in curve
    ]
    lines += ["", *_agreement(names, rows)]
    report = {"variant": variant, "fraction": fraction, "votes": votes}
    report |= {"runs": ends, "curves": curves}
    if central is not None:
        report |= {"model_centrality": central, "udr": ranking}
    seeds.write_report(out, "\n".join(lines), report)
    _draw(out, curves, finished[best], switch)


def _table(names, ends, published, central, ranking):
    """A row for each run, the means, the published ones."""
    lines = [
        "| seed | " + " | ".join(names) + " | ModelCentrality | UDR |",
        "|---" * (len(names) + 3) + "|",
    ]
    for i, end in enumerate(ends):
        chosen = [f"{x[i]:.3f}" if x is not None else "" for x in (central, ranking)]
        cells = [str(end["seed"]), *(f"{end[name]:.3f}" for name in names), *chosen]
        lines.append("| " + " | ".join(cells) + " |")
    means = [f"{statistics.mean(end[name] for end in ends):.3f}" for name in names]
    lines.append("| mean | " + " | ".join(means) + " | | |")
    theirs = [str(published.get(name, "")) for name in names]
    lines.append("| published mean | " + " | ".join(theirs) + " | | |")
    return lines


def _agreement(names, rows):
    """Spearman's correlation of every two metrics over all scored checkpoints."""
    if len(rows) < 3:
        return []
    with np.errstate(all="ignore"):
        ranks = stats.spearmanr(rows).statistic
    lines = [f"Rank correlation of the metrics over {len(rows)} checkpoints:", ""]
    lines += ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for name, row in zip(names, ranks, strict=True):
        lines.append(f"| {name} | " + " | ".join(f"{x:.2f}" for x in row) + " |")
    return lines


@plotting.skip_without_matplotlib
def _draw(out, curves, run, switch):
    shown = ("factor_vae", "dci", "mig")
    drawing, panels = plotting.new_figure(10, 3, columns=len(shown))
    for axes, name in zip(panels, shown, strict=True):
        for label, curve in curves.items():
            steps_seen = [line["step"] for line in curve]
            axes.plot(steps_seen, [line[name] for line in curve], ".-", label=label)
        if switch is not None:
            axes.axvline(switch, color="gray", linestyle=":", label="switch")
        axes.set(title=name, xlabel="iteration", ylim=(0, 1))
        axes.locator_params(axis="x", nbins=4)
    panels[0].legend()  # Where it hides least.
    plotting.save(drawing, out / "curves.png")

    config, state = infogan_jax.restore(run)
    codes, key = range(len(config.codes.parts)), jax.random.key(0)
    sweeps = [
        infogan_jax.traverse(config, state, key, code, rows=1, steps=10)[0]
        for code in codes
    ]
    drawing = plotting.grid(
        np.stack(sweeps),
        rows=[f"code {code}" for code in codes],
        columns=[f"{value:.2f}" for value in np.linspace(-1, 1, 10)],
        title=f"{run.name}: one code a row, all else fixed",
    )
    plotting.save(drawing, out / "traversals.png")
