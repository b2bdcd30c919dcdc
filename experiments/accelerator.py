"""Everything to be measured on a GPU or TPU, in one call that needs no network.

    python experiments/accelerator.py --data-dir DIR --out accelerator.json

The setting of `mnist.py` on all of MNIST: the table of `benchmark.py`; seconds for
5,000 updates in one dispatch; the cost of many seeds at once against one; and the
accuracy of those very seeds, every 500 updates. `--quick` shrinks it for a CPU.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
import time

import benchmark
import contenders
import jax
import mnist

import infogan_jax
from infogan_jax import console, data, evaluation, networks, population


def seconds(work) -> float:
    """Of one call, until its result is there."""
    began = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - began


def one_run(config, dataset, batch, steps) -> dict:
    """Seconds for all updates of one seed in one dispatch, compilation apart."""
    key = jax.random.key(0)
    state, train = infogan_jax.init(config, key), jax.device_put(dataset.train)

    def work(n):
        return infogan_jax.train_steps(
            config, state, train, key, steps=n, batch_size=batch, at_most=steps
        )

    first = seconds(lambda: work(1))
    whole = seconds(lambda: work(steps))
    return {"updates": steps, "seconds": whole, "first_s": first}


def many_seeds(config, dataset, batch, steps, every, n, how) -> dict:
    """The seeds' accuracies every so many updates, and the seconds they took."""
    keys = jax.vmap(jax.random.key)(jax.numpy.arange(n))
    states, train = population.init(config, keys), jax.device_put(dataset.train)

    def work(states):
        return population.train_steps(
            config, states, train, keys, steps=every, batch_size=batch, how=how
        )

    first = seconds(lambda: work(states))
    took, curves = 0.0, []
    for done in range(every, steps + 1, every):
        began = time.perf_counter()
        states, _ = jax.block_until_ready(work(states))
        took += time.perf_counter() - began
        each = (population.of_seed(states, i) for i in range(n))
        found = [evaluation.clustering(config, s, dataset.test) for s in each]
        curves.append({"step": done, "hungarian": [f["hungarian"] for f in found]})
        print(json.dumps(curves[-1]), flush=True)
    return {
        "seeds": n, "how": how, "updates": steps, "seconds": took, "first_s": first,
        "curves": curves,
    }  # fmt: skip


def main(argv=None) -> int:
    """Measures and writes; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    show = " (default: %(default)s)"
    parser.add_argument("--data", default="mnist", help="dataset" + show)
    parser.add_argument("--data-dir", help="directory that holds the data")
    parser.add_argument("--seeds", type=int, default=16, help="at once" + show)
    parser.add_argument("--out", default="accelerator.json", help="file" + show)
    parser.add_argument("--quick", action="store_true", help="a tiny version of it all")
    options = parser.parse_args(argv)
    if options.seeds < 1:
        parser.error(f"--seeds must be at least 1, not {options.seeds}.")

    if options.quick:
        batch, steps, every, rounds, width, dense, turn = 16, 4, 2, 2, 8, 32, 2
        architecture = networks.Dcgan(width=width, dense=dense, init_std=None)
        config = dataclasses.replace(mnist.full(steps), architecture=architecture)
    else:
        batch, steps, every, rounds = 128, 5000, 500, 9
        width, dense, turn = 64, 1024, 200
        config = mnist.full(steps)
    try:
        dataset = data.load(options.data, options.data_dir)
        open(options.out, "a").close()  # Before the work: it may not be possible.
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    peak = benchmark.ceiling()
    found = {"machine": benchmark.machine(peak)}

    def keep(name, value):
        found[name] = value
        text = json.dumps(found, indent=2)
        pathlib.Path(options.out).write_text(text + "\n")
        print(name, json.dumps(value), flush=True)

    keep("one_seed", one_run(config, dataset, batch, steps))
    for how in ("vmap", "map"):
        numbers = (batch, steps, every, options.seeds, how)
        keep(f"seeds_by_{how}", many_seeds(config, dataset, *numbers))
    racing = contenders.compare(batch, width, dense, turn)
    seen = benchmark.time_each(racing, rounds, turn)
    keep("table", benchmark.rows(racing, seen, peak))
    return 0


if __name__ == "__main__":
    console.run(main)
