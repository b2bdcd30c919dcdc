"""How fast a GPU or TPU trains, and how well: all of it measured in one call.

    python experiments/accelerator.py --out accelerator.json
    python experiments/accelerator.py --data mnist --data-dir DIR   # needs no network

The setting of `mnist.py`, on random images: seconds for 5,000 updates in one dispatch,
in float32 and bfloat16; what many seeds at once cost against one; and the table of
`benchmark.py`. With `--data` the seeds are trained on it at last, all at once by
`mnist_seeds.py`, beside the file, which gets their accuracies. `--quick` shrinks it for
a CPU. Results: `experiments/results/accelerator`.
"""

import dataclasses
import json
from typing import NamedTuple

import benchmark
import contenders
import jax
import mnist
import mnist_seeds
import seeds
import table

import infogan_jax
from infogan_jax import data, networks, population
from infogan_jax.host import console, json_files, paths
from infogan_jax.runs import options as options_lib

DTYPES = ("float32", "bfloat16")


def one_run(config, batch, steps) -> dict:
    """Seconds for all updates of one seed in one dispatch, compilation apart."""
    key, train = jax.random.key(0), contenders.random_images()
    state = infogan_jax.init(config, key)

    def work(n):
        return infogan_jax.train_steps(
            config, state, train, key, steps=n, batch_size=batch, at_most=steps
        )

    first = contenders.seconds(lambda: work(1))
    return {
        "updates": steps,
        "seconds": contenders.seconds(lambda: work(steps)),
        "first_s": first,
    }


def many_seeds(config, batch, steps, n, how) -> dict:
    """Seconds for some updates of all seeds in one dispatch, compilation apart."""
    keys = jax.vmap(jax.random.key)(jax.numpy.arange(n))
    states, train = population.init(config, keys), contenders.random_images()

    def work():
        return population.train_steps(
            config, states, train, keys, steps=steps, batch_size=batch, how=how
        )

    first = contenders.seconds(work)
    return {
        "seeds": n,
        "updates": steps,
        "seconds": contenders.seconds(work),
        "first_s": first,
    }


class Sizes(NamedTuple):
    """What is measured: `turn` steps in each of the `rounds` of the table."""

    batch: int
    steps: int  # of one seed in one dispatch
    some: int  # of many seeds
    width: int
    dense: int
    rounds: int
    turn: int


FULL = Sizes(128, 5000, 200, 64, 1024, 5, 60)
QUICK = Sizes(16, 4, 2, 8, 32, 2, 2)


def runs_of(options):
    """Where the seeds' runs come."""
    return options.out.with_name(f"{options.out.stem}-seeds")


def accuracies(options) -> tuple[dict, int]:
    """Held-out accuracy of each seed, trained at once, and the exit status.

    A seed that failed has none, and the status is 1.

    Raises:
      Stop: nothing was trained, or a signal came.
    """
    out = runs_of(options)
    wish = ["--at-once", "--seeds", f"0-{options.seeds - 1}", "--out", str(out)]
    wish += ["--data", options.data]
    wish += ["--data-dir", options.data_dir] if options.data_dir else []
    wish += ["--quick", "--steps", str(QUICK.steps)] if options.quick else []
    if (status := mnist_seeds.main(wish)) > 1:
        raise console.Stop(f"the seeds were not trained; see {out}.", status=status)
    runs = (seeds.run_of(out, seed) for seed in range(options.seeds))
    finished = [run for run in runs if (run / "evaluation.json").exists()]
    return {run.name: table.report_of(run)["accuracy"] for run in finished}, status


def parse(argv):
    """The options; ends the process, with status 2, where they do not go together."""
    parser = options_lib.command(__doc__)
    show = " (default: %(default)s)"
    parser.add_argument(
        "--seeds", type=options_lib.whole(1), default=16, help="at once" + show
    )
    parser.add_argument(
        "--out", type=options_lib.path, default="accelerator.json", help="file" + show
    )
    parser.add_argument("--quick", action="store_true", help="a tiny version of it all")
    parser.add_argument("--data", metavar="NAME", help="train the seeds on it as well")
    parser.add_argument("--data-dir", metavar="DIR", help="where it lies")
    options = parser.parse_args(argv)
    if options.data_dir and not options.data:
        parser.error("--data-dir is where --data lies; give --data with it.")
    try:
        paths.check_new(options.out)
        if options.data:
            paths.check_path(runs_of(options))
            if runs_of(options).exists():
                raise OSError(f"{runs_of(options)} exists; name another file by --out.")
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return options


def main(argv=None) -> int:
    """Measures and writes; returns the exit status."""
    options = parse(argv)
    try:
        if options.data:  # Before all that is measured.
            seeds.check_labels(data.load(options.data, options.data_dir))
    except (ValueError, OSError, ImportError, console.Stop) as error:
        return console.tell(error)

    sizes = QUICK if options.quick else FULL
    config = mnist.full(sizes.steps)
    if options.quick:
        small = networks.Dcgan(width=sizes.width, dense=sizes.dense, init_std=None)
        config = dataclasses.replace(config, architecture=small)
    peak, status = benchmark.ceiling(), 0
    found = {"machine": benchmark.hardware(peak), "sizes": sizes._asdict()}

    def keep(name, value):
        nonlocal status
        found[name] = value
        print(name, json.dumps(value), flush=True)
        try:
            json_files.write(options.out, found)
        except OSError as error:  # What was measured is printed.
            status = console.tell(error)

    of_dtype = {d: dataclasses.replace(config, compute_dtype=d) for d in DTYPES}
    ways = ("vmap", "float32"), ("vmap", "bfloat16"), ("map", "float32")
    with contenders.compiling_anew():
        for dtype, of_it in of_dtype.items():
            keep(f"one seed, {dtype}", one_run(of_it, sizes.batch, sizes.steps))
        for how, dtype in ways:
            numbers = (sizes.batch, sizes.some, options.seeds, how)
            keep(f"seeds by {how}, {dtype}", many_seeds(of_dtype[dtype], *numbers))
        racing = contenders.compare(sizes.batch, sizes.width, sizes.dense, sizes.turn)
        seen = benchmark.time_each(racing, sizes.rounds, sizes.turn)
    keep("table", benchmark.rows(racing, seen, peak))
    benchmark.print_table(found["table"])
    if options.data:
        try:
            found_of, failed = accuracies(options)
            keep("accuracies", found_of)
        except (console.Stop, ValueError) as error:
            return console.tell(error)
        status = status or failed
    return status


if __name__ == "__main__":
    console.run(main)
