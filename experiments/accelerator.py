"""How fast a GPU or TPU trains: all of it measured in one call, on random images.

    python experiments/accelerator.py --out accelerator.json

The setting of `mnist.py`: seconds for 5,000 updates in one dispatch, in float32 and
bfloat16; what many seeds at once cost against one; and the table of `benchmark.py`. How
well such seeds do, `mnist_seeds.py --at-once` tells. `--quick` shrinks it for a CPU.
"""

import dataclasses
import json

import benchmark
import contenders
import jax
import mnist

import infogan_jax
from infogan_jax import console, json_files, networks, paths, population
from infogan_jax import options as options_lib

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


def main(argv=None) -> int:
    """Measures and writes; returns the exit status."""
    parser = options_lib.command(__doc__)
    show = " (default: %(default)s)"
    parser.add_argument(
        "--seeds", type=options_lib.whole(1), default=16, help="at once" + show
    )
    parser.add_argument(
        "--out", type=options_lib.path, default="accelerator.json", help="file" + show
    )
    parser.add_argument("--quick", action="store_true", help="a tiny version of it all")
    options = parser.parse_args(argv)
    try:
        paths.check_new(options.out)
    except OSError as error:
        parser.error(str(error))

    if options.quick:
        batch, steps, some, rounds, width, dense, turn = 16, 4, 2, 2, 8, 32, 2
        architecture = networks.Dcgan(width=width, dense=dense, init_std=None)
        config = dataclasses.replace(mnist.full(steps), architecture=architecture)
    else:
        batch, steps, some, rounds, width, dense, turn = 128, 5000, 200, 5, 64, 1024, 60
        config = mnist.full(steps)

    peak = benchmark.ceiling()
    found, statuses = {"machine": benchmark.hardware(peak)}, [0]

    def keep(name, value):
        found[name] = value
        print(name, json.dumps(value), flush=True)
        try:
            json_files.write(options.out, found)
        except OSError as error:  # What was measured is printed.
            statuses.append(console.tell(error))

    of_dtype = {d: dataclasses.replace(config, compute_dtype=d) for d in DTYPES}
    for dtype, of_it in of_dtype.items():
        keep(f"one seed, {dtype}", one_run(of_it, batch, steps))
    for how, dtype in (("vmap", "float32"), ("vmap", "bfloat16"), ("map", "float32")):
        numbers = (batch, some, options.seeds, how)
        keep(f"seeds by {how}, {dtype}", many_seeds(of_dtype[dtype], *numbers))
    racing = contenders.compare(batch, width, dense, turn)
    seen = benchmark.time_each(racing, rounds, turn)
    keep("table", benchmark.rows(racing, seen, peak))
    benchmark.print_table(found["table"])
    return max(statuses)


if __name__ == "__main__":
    console.run(main)
