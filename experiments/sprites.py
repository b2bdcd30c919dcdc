"""InfoGAN-CR on dSprites-like images: train, score, choose a run without labels.

Lin et al. 2020 (arXiv:1906.06034): 322,560 iterations at batch 64, the contrastive
regulariser from iteration 288,000 on. `--variant modified` is the same without it.

    python experiments/sprites.py --out runs/sprites                   # on a GPU
    python experiments/sprites.py --out runs/sprites --fraction 0.025  # on a CPU
    python experiments/sprites.py --out runs/cr --fraction 0.056 --after runs/modified

A fraction shortens the schedule and moves the switch in proportion. Scores follow
InfoGAN-CR's protocols and are taken eight times on the way, and eight between switch
and end. Ctrl-C and SIGTERM save, after a score under way; an interrupted or killed run
goes on where it was saved when the command is given again. A seed that fails leaves the
others; a finished one is skipped, or goes on to a larger fraction (of `modified`, which
has no switch to move). Until the switch G does not learn from the pairs, so a seed may
also begin there, `--after` its modified run. The report of all finished seeds is
written anew: report.md, report.json, curves.png, traversals.png.
"""

import argparse
import functools
import json
import shutil
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import seeds
import table
from scipy import stats

import infogan_jax
from infogan_jax import (
    checkpoint,
    console,
    evaluation,
    loop,
    machine,
    metrics,
    plotting,
    presets,
    records,
    runs,
    signals,
    training,
)
from infogan_jax import options as options_lib
from infogan_jax.data import sprites
from infogan_jax.metrics import inputs

STEPS, SWITCH, BATCH = 322_560, 288_000, 64
EVALUATIONS, AT_ONCE, SAVE_EVERY_S = 8, 100, 60
SPACE = sprites.Space()
DEPTHS = (4, 5, 2, 5, 5)  # Of the trees of InfoGAN-CR's DCI, by factor.
SCORES = (
    "factor_vae",
    "dci",
    "dci_forest",
    "sap",
    "explicitness",
    "modularity",
    "mig",
    "beta_vae",
)
# Of InfoGAN-CR's table 1 and 3: 50 runs each, dSprites itself.
PUBLISHED = {
    "cr": {"factor_vae": 0.88, "dci": 0.71, "sap": 0.58, "mig": 0.37, "beta_vae": 0.95},
    "modified": {
        "factor_vae": 0.82,
        "dci": 0.60,
        "sap": 0.41,
        "mig": 0.22,
        "beta_vae": 0.87,
    },
}


def switch_of(steps: int) -> int:
    """The iteration from which on the pairs count, in proportion to the length."""
    return round(steps * SWITCH / STEPS)


def stops_of(steps: int) -> list[int]:
    """The iterations after which a run is scored."""
    switch, parts = switch_of(steps), range(1, EVALUATIONS + 1)
    whole = {steps * part // EVALUATIONS for part in parts}
    rest = {switch + (steps - switch) * part // EVALUATIONS for part in parts}
    return sorted(whole | rest)


def configuration(variant: str, steps: int):
    """The variant's config."""
    if variant == "modified":
        return presets.MODIFIED
    return presets.infogan_cr(switch_of(steps))


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def advance(config, state, key, n):
    """The state after n steps, each on images rendered for it."""

    def one(_, state):
        batch = SPACE.draw(training.batch_key(key, state.step), BATCH)
        return infogan_jax.step(config, state, batch, key)[0]

    return jax.lax.fori_loop(0, n, one, state)


def begin(out: Path, config, seed: int, switch: int, after: Path | None):
    """The seed's first state: drawn, or at the switch from its run without pairs."""
    state = infogan_jax.init(config, jax.random.key(seed))
    if after is None:
        return state
    run = after / f"seed-{seed}"
    _, old = infogan_jax.restore(run)
    if "h" in old.nets or int(old.step) != switch:
        raise ValueError(
            f"{run} must be of --variant modified and have done {switch} iterations, "
            f"where the switch of this --fraction is; it has done {int(old.step)}."
        )
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(run / "scores.jsonl", out)
    return state.replace(
        step=old.step, nets=state.nets | old.nets, opt=state.opt | old.opt
    )


def train(out: Path, config, seed: int, steps: int, votes: int, after=None) -> None:
    """Trains a seed to its end, from where it was saved, scoring it on the way.

    Raises:
      Stop: training has failed (status 1), or a signal came (128 and more); the last
        good state is saved.
    """
    key = jax.random.key(seed)
    if checkpoint.steps(out):
        _, state = infogan_jax.restore(out)
    else:
        state = begin(out, config, seed, switch_of(steps), after)
    out.mkdir(parents=True, exist_ok=True)
    asked = {"seed": seed, "steps": steps, "votes": votes}
    begun = asked | {"at_the_switch": after is not None}
    records.write_json(out / "begun.json", begun)
    # Of a shorter run: its state goes on, and no report may take it for that one.
    (out / "finished.json").unlink(missing_ok=True)
    done = int(state.step)
    rows = records.cut(out / "scores.jsonl", lambda row: row["step"] <= done)
    scored = {row["step"] for row in rows}
    began = saved = time.monotonic()
    with (
        checkpoint.Writer(out, config, keep=2) as writer,
        signals.Interrupts() as interrupts,
        interrupts.patience(),
    ):
        for stop in stops_of(steps):
            if stop in scored or stop < done:  # Before this run went on.
                continue
            while int(state.step) < stop:
                n = min(AT_ONCE, stop - int(state.step))
                state = advance(config, state, key, n)
                step, signal = int(state.step), interrupts.signal
                is_due = time.monotonic() > saved + SAVE_EVERY_S
                if step == stop or is_due or signal:
                    loop.check_finite(state, step)
                    writer.save(state)
                    saved = time.monotonic()
                if signal:
                    raise seeds.interrupted(signal, step, steps)
            line = {"step": stop, **score(config, state, votes)}
            line["seconds"] = round(time.monotonic() - began)
            with (out / "scores.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{out.name}: {json.dumps(line)}", flush=True)
    last = table.lines(out, "scores.jsonl")[-1]
    where = {"machine": machine.describe(), "date": time.strftime("%Y-%m-%d")}
    records.write_json(out / "finished.json", asked | last | where)
    if interrupts.signal:  # It came in the last score.
        raise seeds.interrupted(interrupts.signal, steps, steps)


def train_all(options, config, steps: int) -> list[int]:
    """Trains what is missing of the seeds; returns those for which it has failed."""
    failed = []
    for seed in options.seeds:
        run = options.out / f"seed-{seed}"
        if is_finished(run, steps):
            print(f"seed {seed}: finished before", flush=True)
            continue
        try:
            with records.lock(run):
                train(run, config, seed, steps, options.votes, options.after)
        except options_lib.Stop as error:
            if error.status != 1:
                raise
            failed.append(seed)
            print(f"seed {seed}: {error}", file=sys.stderr)
    return failed


def check_same(out: Path, config, steps: int, votes: int, after=None) -> None:
    """Raises unless all seeds that lie there are of this experiment, or a shorter."""
    for run in sorted(out.glob("seed-*")):
        is_same = True
        if (run / "begun.json").exists():
            begun = table.read(run, "begun.json")
            is_same &= begun["steps"] <= steps
            is_same &= begun.get("at_the_switch", False) == (after is not None)
            is_same &= begun.get("votes", votes) == votes
        if checkpoint.steps(run):
            is_same &= infogan_jax.restore(run, nets=("g",))[0] == config
        if not is_same:
            raise ValueError(
                f"{run} is of another experiment; name another --out, or give the "
                "variant, fraction, --votes and --after that it began with."
            )


def represent(config, state, indices) -> np.ndarray:
    """Q's means for images of these factors, [N, L]."""
    chunks = np.array_split(np.asarray(indices), max(1, len(indices) // 2000))
    q = [
        evaluation.read(config, state, sprites.render(SPACE.values(jnp.asarray(chunk))))
        for chunk in chunks
    ]
    return np.asarray(config.codes.mean(jnp.concatenate(q)))


def score(config, state, votes: int) -> dict:
    """Every metric by InfoGAN-CR's protocol: 500 votes of 100 images at full size.

    The codes' spread comes from 20 images a vote, 10,000 then, not 73,728.
    """
    keys = jax.random.split(jax.random.key(99), votes + 1)
    indices = SPACE.sample(keys[0], 20 * votes)
    codes = represent(config, state, indices)
    fixed = np.random.default_rng(0).integers(5, size=votes)
    groups = jax.vmap(lambda key, factor: SPACE.sample_fixed(key, 100, factor))(
        keys[1:], jnp.asarray(fixed)
    )
    of_groups = represent(config, state, groups.reshape(-1, 5))
    drawn = metrics.Votes(of_groups.reshape(votes, 100, -1), fixed)
    factors = np.asarray(indices)
    with np.errstate(all="ignore"):
        lasso = metrics.dci(codes, factors, regressor="lasso")
        forest = metrics.dci(codes, factors, regressor="forest", depth=DEPTHS)
    return {
        "factor_vae": metrics.factor_vae_score(drawn, codes.std(0)),
        "dci": lasso.disentanglement,
        "dci_forest": forest.disentanglement,
        "sap": metrics.sap(codes, factors, discrete=(0,)),
        "explicitness": metrics.explicitness(codes, factors),
        "modularity": metrics.modularity(codes, factors),
        "mig": metrics.mig(codes, factors),
        "beta_vae": metrics.beta_vae_score(drawn),
    }


def centrality(finished: list[Path], votes: int):
    """ModelCentrality and UDR of every run: how well the others agree with it.

    A run's votes fix each of its codes in turn. (InfoGAN-CR's code takes the spread of
    the codes from other fakes than the votes'.)
    """
    states = [infogan_jax.restore(run) for run in finished]
    agreement = np.zeros((len(finished), len(finished)))
    for i, (config, state) in enumerate(states):
        fixed = np.arange(votes) % len(config.codes.parts)
        # The same votes whichever other runs have finished.
        key = jax.random.key(table.read(finished[i], "finished.json")["seed"])
        images = []
        for number, code in enumerate(fixed):
            of_c, of_z, of_shared = jax.random.split(jax.random.fold_in(key, number), 3)
            c = jax.vmap(config.codes.sample)(jax.random.split(of_c, 100))
            shared = config.codes.sample(of_shared)[code]
            z = jax.vmap(config.noise.sample)(jax.random.split(of_z, 100))
            c = c.at[:, code].set(shared)
            images.append(infogan_jax.generate(config, state, z, c))
        images = np.concatenate(images)
        for j, (other, judge) in enumerate(states):
            codes = other.codes.mean(jnp.asarray(evaluation.read(other, judge, images)))
            codes = np.asarray(codes)
            drawn = metrics.Votes(codes.reshape(votes, 100, -1), fixed)
            agreement[i, j] = metrics.factor_vae_score(drawn, codes.std(0))
    indices = SPACE.sample(jax.random.key(7), 2000)
    codes = [represent(config, state, indices) for config, state in states]
    return metrics.model_centrality(agreement), metrics.udr(codes)


def is_finished(run: Path, steps: int) -> bool:
    """Whether a seed has come to its end, and that end is this one."""
    end = run / "finished.json"
    return end.exists() and table.read(run, end.name)["steps"] == steps


def write_report(out: Path, variant: str, steps: int, votes: int) -> None:
    """report.md, report.json and the figures, of all finished seeds."""
    ends = {
        run: table.read(run, "finished.json")
        for run in out.glob("seed-*")
        if is_finished(run, steps)
    }
    if not ends:
        return
    finished = sorted(ends, key=lambda run: ends[run]["seed"])
    ends = [ends[run] for run in finished]
    names = [name for name in SCORES if name in ends[0]]
    # Two runs agree with each other alike.
    central, ranking = (
        centrality(finished, votes) if len(finished) > 2 else (None, None)
    )
    lines = [
        f"{variant}: {steps} iterations, {steps / STEPS:.4g} of the published "
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
    curves = {run.name: table.lines(run, "scores.jsonl") for run in finished}
    rows = [
        [line[name] for name in names] for curve in curves.values() for line in curve
    ]
    lines += ["", *_agreement(names, rows)]
    (out / "report.md").write_text("\n".join(lines) + "\n")
    report = {"variant": variant, "fraction": steps / STEPS, "votes": votes}
    report |= {"runs": ends, "curves": curves}
    if central is not None:
        report |= {"model_centrality": central, "udr": ranking}
    records.write_json(out / "report.json", report)
    _draw(out, curves, finished[best], steps if variant == "cr" else None)
    print("\n".join(lines))
    print(f"report and figures are in {out}")


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
        ranks = np.atleast_2d(stats.spearmanr(rows).statistic)
    lines = [f"Rank correlation of the metrics over {len(rows)} checkpoints:", ""]
    lines += ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for name, row in zip(names, ranks, strict=True):
        lines.append(f"| {name} | " + " | ".join(f"{x:.2f}" for x in row) + " |")
    return lines


@plotting.if_possible
def _draw(out, curves, run, steps):
    shown = ("factor_vae", "dci", "mig")
    drawing, panels = plotting.blank(10, 3, len(shown))
    for axes, name in zip(panels, shown, strict=True):
        for label, curve in curves.items():
            steps_seen = [line["step"] for line in curve]
            axes.plot(steps_seen, [line[name] for line in curve], ".-", label=label)
        if steps is not None:
            axes.axvline(switch_of(steps), color="gray", linestyle=":")
        axes.set(title=name, xlabel="iteration", ylim=(0, 1))
        axes.locator_params(axis="x", nbins=4)
    panels[0].legend()  # Where it hides least.
    drawing.savefig(out / "curves.png")

    config, state = infogan_jax.restore(run)
    n = len(config.codes.parts)
    drawing, grid = plotting.blank(10, 1.05 * n, 10, n)
    for code, row in enumerate(grid):
        sweep = infogan_jax.traverse(
            config, state, jax.random.key(0), code, rows=1, steps=10
        )
        for axes, image in zip(row, np.asarray(sweep)[0], strict=True):
            axes.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
            axes.axis("off")
        row[0].set_title(f"code {code}", fontsize=7)
    drawing.savefig(out / "traversals.png")


def main(argv=None) -> int:
    """Trains the seeds and reports; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--variant", choices=PUBLISHED, default="cr", help="of the paper (default: cr)"
    )
    parser.add_argument(
        "--seeds",
        type=seeds.parse,
        default=seeds.parse("0-2"),
        help="(default: 0-2)",
    )
    parser.add_argument(
        "--fraction",
        type=float,
        default=1.0,
        help=f"of {STEPS} iterations, in (0, 1] (default: %(default)s)",
    )
    parser.add_argument(
        "--votes", type=int, default=500, help="of each score (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/sprites"), help="(default: %(default)s)"
    )
    parser.add_argument(
        "--after",
        type=Path,
        help="of cr: begin at the switch, from the modified runs in this directory",
    )
    options = parser.parse_args(argv)
    if options.after and options.variant != "cr":
        parser.error("--after is for --variant cr, which has a switch to begin at.")
    if not EVALUATIONS / STEPS <= options.fraction <= 1:
        parser.error(
            f"--fraction must be at most 1, and make at least {EVALUATIONS} of the "
            f"{STEPS} iterations, not {options.fraction}."
        )
    steps = round(STEPS * options.fraction)
    if options.votes < 10:
        parser.error(f"--votes must be at least 10, not {options.votes}.")
    config = configuration(options.variant, steps)
    try:
        inputs.sklearn("svm")  # Hours before the first score asks for it.
        check_same(options.out, config, steps, options.votes, options.after)
        runs.keep_compiled_programs()
        failed = train_all(options, config, steps)
        write_report(options.out, options.variant, steps, options.votes)
        seeds.check_none_failed(failed)
    except (ValueError, OSError, ImportError, options_lib.Stop) as error:
        return console.tell(error)
    return 0


if __name__ == "__main__":
    console.run(main)
