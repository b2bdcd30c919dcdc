"""InfoGAN-CR on dSprites-like images: train, score, choose a run without labels.

Lin et al. 2020 (arXiv:1906.06034): 322,560 iterations at batch 64, the contrastive
regulariser from iteration 288,000 on. `--variant modified` is the same without it.

    python experiments/sprites.py --out runs/sprites                   # on a GPU
    python experiments/sprites.py --out runs/sprites --fraction 0.025  # on a CPU
    python experiments/sprites.py --out runs/modified --variant modified --fraction .05
    python experiments/sprites.py --out runs/cr --fraction .056 --after runs/modified

A fraction shortens the schedule and moves the switch in proportion. Scores follow
InfoGAN-CR's protocols and are taken eight times on the way, and eight between switch
and end. Ctrl-C and SIGTERM save, after a score under way; an interrupted or killed run
goes on where it was saved when the command is given again. A seed that fails leaves the
others; a finished one is skipped, or goes on to a larger fraction (of `modified`, which
has no switch to move). Until the switch G does not learn from the pairs, so a seed may
also begin there, `--after` its modified run. The report of all finished seeds is
written anew: report.md, report.json, curves.png, traversals.png. An iteration of
`modified` took 1.8 ms on an H100. Results: `experiments/results`, under "InfoGAN-CR".
"""

import functools
import json
import os
import shutil
import time
from pathlib import Path

import jax
import seeds
import sprites_report
import sprites_scores
import table

import infogan_jax
from infogan_jax import checkpoint, presets, training
from infogan_jax.host import console, json_files, machine, paths, signals
from infogan_jax.metrics import fitting
from infogan_jax.runs import loop, program, records
from infogan_jax.runs import options as options_lib

STEPS, SWITCH, BATCH = 322_560, 288_000, 64
EVALUATIONS, PER_DISPATCH, SAVE_EVERY_S = 8, 100, 60


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
        batch = sprites_scores.SPACE.draw(training.batch_key(key, state.step), BATCH)
        return infogan_jax.step(config, state, batch, key)[0]

    return jax.lax.fori_loop(0, n, one, state)


def check_after(after: Path, seed: int, switch: int, votes: int) -> None:
    """Raises unless a seed may begin at the switch, from its run without pairs."""
    run = seeds.run_of(after, seed)
    config, old = infogan_jax.restore(run, nets=("g",))
    done = int(old.step)
    if "h" in config.networks() or done != switch:
        raise ValueError(
            f"{run} must be of --variant modified and have done {switch} iterations, "
            f"where the switch of this --fraction is; it has done {done}, where that "
            f"of --fraction {done / SWITCH:.8g} is."
        )
    if (theirs := json_files.read(run / "begun.json").get("votes", votes)) != votes:
        raise ValueError(f"{run} was scored by {theirs} votes; give --votes {theirs}.")


def begin(out: Path, config, seed: int, after: Path | None):
    """The seed's first state: drawn, or at the switch from its run without pairs."""
    state = infogan_jax.init(config, jax.random.key(seed))
    if after is None:
        return state
    run = seeds.run_of(after, seed)
    _, old = infogan_jax.restore(run)
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
        state = begin(out, config, seed, after)
    out.mkdir(parents=True, exist_ok=True)
    asked = {"seed": seed, "steps": steps, "votes": votes}
    begun = asked | {"at_the_switch": after is not None}
    json_files.write(out / "begun.json", begun)
    # Of a shorter run: its state goes on, and no report may take it for that one.
    (out / "finished.json").unlink(missing_ok=True)
    done = int(state.step)
    rows = json_files.cut(out / "scores.jsonl", lambda row: row["step"] <= done)
    scored = {row["step"] for row in rows}
    began = saved = time.monotonic()
    with (
        checkpoint.Writer(out, config, keep=2) as writer,
        signals.Interrupts() as interrupts,
        interrupts.deferred(),
    ):
        for stop in stops_of(steps):
            if stop in scored or stop < done:  # Before this run went on.
                continue
            while int(state.step) < stop:
                n = min(PER_DISPATCH, stop - int(state.step))
                state = advance(config, state, key, n)
                step, signal = int(state.step), interrupts.signal
                is_due = time.monotonic() > saved + SAVE_EVERY_S
                if step == stop or is_due or signal:
                    loop.check_finite(state)
                    writer.save(state)
                    saved = time.monotonic()
                if signal:
                    raise seeds.interrupted(signal, step, steps)
            line = {"step": stop, **sprites_scores.score(config, state, votes)}
            line["seconds"] = round(time.monotonic() - began)
            with (out / "scores.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())  # The next checkpoint tells that it is there.
            print(f"{out.name}: {json.dumps(line)}", flush=True)
    rows = json_files.read_lines(out / "scores.jsonl")
    where = {"machine": machine.describe(), "date": time.strftime("%Y-%m-%d")}
    where |= {"seconds": table.seconds(rows)}  # of all its processes
    json_files.write(out / "finished.json", asked | rows[-1] | where)
    if interrupts.signal:  # It came in the last score.
        raise seeds.interrupted(interrupts.signal, steps, steps)


def train_all(options, config, steps: int) -> list[int]:
    """Trains what is missing of the seeds; returns those for which it has failed."""
    failed = []
    for seed in options.seeds:
        run = seeds.run_of(options.out, seed)
        for path in (run / "begun.json", run / "finished.json"):
            if path.exists():
                seeds.check_own(run, seed, json_files.read(path)["seed"])
        if is_finished(run, steps):
            print(f"seed {seed}: finished before", flush=True)
            continue
        with seeds.sparing_others(seed, failed), records.lock(run):
            train(run, config, seed, steps, options.votes, options.after)
    return failed


def check_same(out: Path, config, steps: int, votes: int, after=None) -> None:
    """Raises unless all seeds that lie there are of this experiment, or a shorter."""
    for run in sorted(out.glob("seed-*")):
        is_same = True
        if (run / "begun.json").exists():
            begun = json_files.read(run / "begun.json")
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


def is_finished(run: Path, steps: int) -> bool:
    """Whether a seed has come to its end, and that end is this one."""
    end = run / "finished.json"
    return end.exists() and json_files.read(end)["steps"] == steps


def write_report(out: Path, variant: str, steps: int) -> None:
    """The report of all seeds that have come to this end, if there are any."""
    ends = {}
    for path in out.glob("seed-*/finished.json"):
        run, end = path.parent, json_files.read(path)
        if end["steps"] == steps and seeds.is_run_of(run, end["seed"]):
            ends[run] = end
    if not ends:
        return
    ends = dict(sorted(ends.items(), key=lambda item: item[1]["seed"]))
    switch = switch_of(steps) if variant == "cr" else None
    sprites_report.write(out, ends, variant, steps / STEPS, switch)


def parse(argv):
    """The options; ends the process, with status 2, where they do not go together."""
    parser = options_lib.command(__doc__)
    parser.add_argument(
        "--variant",
        choices=sprites_report.PUBLISHED,
        default="cr",
        help="of the paper (default: cr)",
    )
    parser.add_argument(
        "--seeds",
        type=seeds.parse,
        default=seeds.parse("0-2"),
        metavar="SEEDS",
        help="such as 0-3,7 (default: 0-2)",
    )
    parser.add_argument(
        "--fraction",
        type=float,
        default=1.0,
        help=f"of {STEPS} iterations, in (0, 1] (default: %(default)s)",
    )
    parser.add_argument(
        "--votes",
        type=options_lib.whole(10),
        default=500,
        help="of each score (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=options_lib.path,
        default=Path("runs/sprites"),
        metavar="DIR",
        help="gets seed-N of every seed, and the report (default: %(default)s)",
    )
    parser.add_argument(
        "--after",
        type=options_lib.path,
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
    return options


def main(argv=None) -> int:
    """Trains the seeds and reports; returns the exit status."""
    options = parse(argv)
    steps = round(STEPS * options.fraction)
    config = configuration(options.variant, steps)
    try:
        fitting.sklearn("svm")  # Hours before the first score asks for it.
        paths.check_path(options.out)
        check_same(options.out, config, steps, options.votes, options.after)
        for seed in options.seeds if options.after else ():
            if not checkpoint.steps(seeds.run_of(options.out, seed)):
                check_after(options.after, seed, switch_of(steps), options.votes)
        program.keep_compiled_programs()
        failed = train_all(options, config, steps)
        with records.lock(options.out, wait=True):
            write_report(options.out, options.variant, steps)
        seeds.check_none_failed(failed)
    except (ValueError, OSError, ImportError, console.Stop) as error:
        return console.tell(error)
    return 0


if __name__ == "__main__":
    console.run(main)
