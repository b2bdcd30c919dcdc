"""What many seeds of one experiment tell together: the report of `mnist_seeds.py`."""

import math
import statistics
from pathlib import Path

import numpy as np
import seeds
import table
from scipy import stats

from infogan_jax import plotting
from infogan_jax.host import json_files

SHARE = 0.15  # of a category (or a digit) from which on a part of it is named


def failures(confusion) -> dict:
    """What went wrong: digits that share a category, digits spread over several.

    Args:
      confusion: counts [categories, digits].
    """
    counts = np.asarray(confusion, float)
    of_category = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    of_digit = counts / np.maximum(counts.sum(0, keepdims=True), 1)
    merged = [np.flatnonzero(row >= SHARE).tolist() for row in of_category]
    split = {
        digit: np.flatnonzero(column >= SHARE).tolist()
        for digit, column in enumerate(of_digit.T)
    }
    return {
        "merged": sorted(digits for digits in merged if len(digits) > 1),
        "split": {
            d: categories for d, categories in split.items() if len(categories) > 1
        },
    }


def collect(out: Path) -> list[dict]:
    """The finished runs' reports, by seed; of directories named by their seed.

    Raises:
      ValueError: one is damaged, or had no labels.
    """
    found = []
    for run in out.glob("seed-*"):
        if (run / "evaluation.json").exists():
            seed = json_files.read(run / "run.json")["seed"]
            report = table.report_of(run)
            if seeds.is_run_of(run, seed):
                wrong = failures(report["confusion"])
                found.append({"seed": seed, "run": run, **report, **wrong})
    return sorted(found, key=lambda report: report["seed"])


def can_choose(reports: list[dict]) -> bool:
    """Whether all runs have the measure; those of before it have none."""
    return all("image_information" in report for report in reports)


def by_information(reports: list[dict]) -> list[dict]:
    """The least sure run first."""
    return sorted(reports, key=lambda report: report["image_information"])


def chosen(reports: list[dict]) -> str:
    """The run that would be taken without labels, and where it stands among all."""
    accuracies = [report["accuracy"] for report in reports]
    if not can_choose(reports):
        return "None is chosen without labels: some runs lack the information of Q."
    information = [report["image_information"] for report in reports]
    taken = by_information(reports)[-1]
    better = sum(accuracy > taken["accuracy"] for accuracy in accuracies)
    text = (
        f"Chosen without labels, by the information of Q on the test images: seed "
        f"{taken['seed']}, accuracy {taken['accuracy']:.4f}, number {better + 1} of "
        f"{len(reports)}."
    )
    if len(reports) > 2:
        together = stats.spearmanr(information, accuracies).statistic
        text += f" Spearman's correlation of the two over the seeds: {together:.2f}."
    return text


def mean_of_surest(accuracies, k: int) -> float:
    """Mean accuracy of the surest of k runs, over all sets of k; least sure first."""
    # Run i is the surest of a set whose others are k - 1 of those before it.
    sets = [math.comb(i, k - 1) for i in range(len(accuracies))]
    return float(np.average(accuracies, weights=sets))


def of_every(reports: list[dict]) -> list[str]:
    """What training k seeds and keeping the surest gives, over all sets of k of them.

    Markdown: a row for each k; k = 1 is chance.
    """
    if not can_choose(reports):
        return []
    accuracies = [report["accuracy"] for report in by_information(reports)]
    rows = [
        "| seeds trained, the surest kept | mean accuracy | worst |",
        "|---|---|---|",
    ]
    for k in (k for k in (1, 2, 3, 4, 6, 8) if k <= len(reports)):
        mean, worst = mean_of_surest(accuracies, k), min(accuracies[k - 1 :])
        rows.append(f"| {k} | {mean:.4f} | {worst:.4f} |")
    return rows


def how_soon(reports: list[dict], k: int = 4) -> list[str]:
    """What the surest of k seeds becomes, if it is chosen before the end.

    Markdown: a row for each evaluation that all runs had, ten at most, with Spearman's
    correlation of the information then and the accuracy at the end. None for k seeds or
    fewer, or where runs lack the measure.
    """
    if len(reports) <= k:
        return []
    curves = []
    for report in reports:
        lines = json_files.read_lines(report["run"] / "accuracy.jsonl")
        seen = "image_information"
        curves.append({line["step"]: line[seen] for line in lines if seen in line})
    steps = sorted(set.intersection(*map(set, curves)))
    if not steps:
        return []
    accuracies = np.array([report["accuracy"] for report in reports])
    rows = [
        f"| chosen after update | mean accuracy at the end, of the surest of {k} | "
        "Spearman's correlation, information then and accuracy at the end |",
        "|---|---|---|",
    ]
    every = math.ceil(len(steps) / 10)
    for step in steps[(len(steps) - 1) % every :: every]:
        information = [curve[step] for curve in curves]
        mean = mean_of_surest(accuracies[np.argsort(information)], k)
        together = stats.spearmanr(information, accuracies).statistic
        rows.append(f"| {step:,} | {mean:.4f} | {together:.2f} |")
    return rows


def write(out: Path, reports: list[dict]) -> None:
    """report.md, report.json and the figures."""
    accuracies = [report["accuracy"] for report in reports]
    ordered = sorted(reports, key=lambda report: report["accuracy"])
    median, worst = ordered[(len(ordered) - 1) // 2], ordered[0]
    rows = [
        f"| seed | digits that share a category (each at least {SHARE:.0%} of it) | "
        f"digits in several categories (at least {SHARE:.0%} each) |",
        "|---|---|---|",
    ]
    for report in reports:
        merged = ", ".join("+".join(map(str, digits)) for digits in report["merged"])
        split = ", ".join(map(str, report["split"]))
        rows.append(f"| {report['seed']} | {merged or '-'} | {split or '-'} |")
    parts = [
        table.summary([report["run"] for report in reports]),
        f"Median {statistics.median(accuracies):.4f}, worst {worst['accuracy']:.4f} "
        f"(seed {worst['seed']}), best {ordered[-1]['accuracy']:.4f}; median NMI "
        f"{statistics.median(r['nmi'] for r in reports):.3f}.",
        chosen(reports),
        "\n".join(of_every(reports)),
        "\n".join(how_soon(reports)),
        "\n".join(rows),
    ]
    text = "\n\n".join(filter(None, parts))
    named = [{**report, "run": report["run"].name} for report in reports]
    seeds.write_report(out, text, named)
    draw(out, accuracies, median, worst)


@plotting.skip_without_matplotlib
def draw(out: Path, accuracies, median, worst) -> None:
    """The distribution, and the confusions of the median and the worst run."""
    drawing, axes = plotting.new_figure(4, 4)
    axes.boxplot(accuracies, widths=0.4, showfliers=False)
    shift = np.linspace(-0.12, 0.12, len(accuracies)) if len(accuracies) > 1 else [0]
    axes.plot(1 + np.asarray(shift), accuracies, "o", alpha=0.7)
    axes.axhline(0.95, color="gray", linestyle=":", label="the paper's one number")
    axes.set(xticks=[1], xticklabels=[f"{len(accuracies)} seeds"], ylim=(None, 1))
    axes.set_ylabel("held-out accuracy")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.08), frameon=False)
    plotting.save(drawing, out / "accuracy.png")

    middle = "median" if len(accuracies) % 2 else "lower median"
    drawing, panels = plotting.new_figure(9, 4.5, columns=2)
    for axes, report, name in zip(
        panels, (median, worst), (middle, "worst"), strict=True
    ):
        counts = np.asarray(report["confusion"])
        order = np.argsort(report["label_of"], kind="stable")
        axes.imshow(counts[order], cmap="Blues")
        for (row, column), count in np.ndenumerate(counts[order]):
            dark = count > counts.max() / 2
            color = "white" if dark else "black"
            axes.text(column, row, count, ha="center", va="center", size=7, color=color)
        axes.set(xlabel="digit", ylabel="category", xticks=range(counts.shape[1]))
        axes.set_yticks(range(len(order)), order)
        axes.set_title(f"{name}: seed {report['seed']}, {report['accuracy']:.4f}")
    plotting.save(drawing, out / "confusions.png")
