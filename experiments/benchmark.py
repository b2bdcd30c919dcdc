"""How fast the step is, beside stock Flax and PyTorch, in one run on one machine.

    python experiments/benchmark.py --cold-start --json benchmark.json
    python experiments/benchmark.py --growth --json growth.json --figure growth.png

The network is `presets.TUTORIAL` (the paper's sizes, batch 128). Contenders take turns,
each round another one first, so that what else the machine does falls on all of them;
the median over the rounds is reported with the quarters below and above it. PyTorch
joins where it is installed. Results: `experiments/results`, under "How fast".
"""

import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import contenders
import jax
import jax.numpy as jnp

from infogan_jax import plotting
from infogan_jax.host import console, json_files, machine, paths
from infogan_jax.runs import options as options_lib


def time_each(racing, rounds, steps):
    """Milliseconds per step of each contender in each round, in turns."""
    for contender in racing:
        contender.run(steps)  # Some compile for a number of steps.
    seen = {contender.name: [] for contender in racing}
    for number in range(rounds):
        first = number % len(racing) if racing else 0
        for contender in (*racing[first:], *racing[:first]):
            turn = functools.partial(contender.run, steps)
            seen[contender.name].append(1e3 * contenders.seconds(turn) / steps)
    return seen


def ceiling(dtype="float32", product=jnp.matmul):
    """GFLOP/s of one large matrix product: the best of seven."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    # Ones would be faster.
    a = jax.random.normal(jax.random.key(0), (size, size), dtype)
    product = jax.jit(product)
    jax.block_until_ready(product(a, a))
    best = min(contenders.seconds(lambda: product(a, a)) for _ in range(7))
    return 2 * size**3 / best / 1e9


def rows(racing, seen, peak):
    """What `--json` writes: one row for each contender."""
    medians = {name: statistics.median(times) for name, times in seen.items()}
    eager = medians.get("pytorch-eager")
    counted = {contender.name: contender.gflop for contender in racing}
    made = []
    for contender in racing:
        ms = medians[contender.name]
        times = seen[contender.name]
        low, _, high = statistics.quantiles(times, n=4, method="inclusive")
        # A loop's work cannot be counted: it is that of the same step by itself.
        gflop = counted.get(contender.name.replace(" train_steps", ""))
        is_step = contender.name not in ("sample", "infer")
        rate = None if gflop is None else gflop / ms * 1e3
        made.append(
            {
                "name": contender.name,
                "batch": contender.batch,
                "ms_per_step": ms,
                "ms_quartiles": [low, high],
                "ms_of_rounds": times,
                "images_per_s": 1e3 * contender.images * contender.batch / ms,
                "ratio_to_pytorch_eager": eager / ms if eager and is_step else None,
                "gflop_per_step": gflop,
                "gflop_per_s": rate,
                "share_of_ceiling": None if rate is None else rate / peak,
                "compile_s": contender.compile_s,
                "peak_mb": contender.peak_mb,
            }
        )
    return made


def cold_start():
    """Seconds from the start of a quick run to its first update: empty and full cache.

    Also what importing jax, flax and optax takes, and what this package adds to it.

    Raises:
      RuntimeError: the run ended before it.
    """
    script = pathlib.Path(__file__).with_name("mnist.py")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": f"{folder}/cache"}
        for name in ("cold", "warm"):
            out = f"{folder}/{name}"
            options = ["--quick", "--data", "bundled", "--steps", "1", "--out", out]
            command = [sys.executable, script, *options]
            printed = pathlib.Path(folder, f"{name}.txt")
            began = time.perf_counter()
            with (
                printed.open("w") as file,
                subprocess.Popen(
                    command, env=environment, stdout=file, stderr=file
                ) as process,
            ):
                metrics = pathlib.Path(out, "metrics.jsonl")
                while not (metrics.exists() and metrics.stat().st_size):
                    if process.poll() is not None:
                        raise RuntimeError(
                            f"{script} ended before its first update: "
                            f"{printed.read_text()}"
                        )
                    time.sleep(0.05)
                found[f"first_step_{name}_s"] = time.perf_counter() - began
                process.kill()
    for name, code in (
        ("import_jax_flax_s", "import jax, flax.linen, optax"),
        ("import_infogan_jax_s", "import infogan_jax"),
    ):
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            seconds.append(time.perf_counter() - began)
        found[name] = statistics.median(seconds)
    added = found.pop("import_infogan_jax_s") - found["import_jax_flax_s"]
    return found | {"import_adds_s": added}


def print_table(made):
    """The rows as Markdown."""
    print("| what | batch | ms/step | quartiles | images/s | times PyTorch eager "
          "| GFLOP/s | of float32 ceiling | compile s | peak MB |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")

    def show(value, form):
        return "" if value is None else format(value, form)

    for row in made:
        low, high = row["ms_quartiles"]
        print(
            f"| {row['name']} | {row['batch']} | {row['ms_per_step']:.3g} "
            f"| {low:.3g} to {high:.3g} | {row['images_per_s']:.0f} "
            f"| {show(row['ratio_to_pytorch_eager'], '.2f')} "
            f"| {show(row['gflop_per_s'], '.0f')} "
            f"| {show(row['share_of_ceiling'], '.0%')} "
            f"| {show(row['compile_s'], '.1f')} | {show(row['peak_mb'], '.0f')} |"
        )


def hardware(peak):
    """Where the numbers come from."""
    found = machine.describe()
    found["versions"]["torch"] = machine.version("torch")
    return found | {"matmul_gflop_per_s": peak, "date": time.strftime("%Y-%m-%d")}


def grow(rounds, steps, keep=lambda made: None):
    """Rows for other batches, widths, sides, seeds and devices; small networks.

    `keep` is given all rows so far after every size: an hour's work.
    """
    made = []

    def add(axis, value, *racing):
        for name, times in time_each(racing, rounds, steps).items():
            contender = next(c for c in racing if c.name == name)
            ms = statistics.median(times)
            rate = 1e3 * contender.images * contender.batch / ms
            made.append(
                {"axis": axis, "value": value, "name": name, "batch": contender.batch,
                 "ms_per_step": ms, "images_per_s": rate}
            )  # fmt: skip
            print(f"{axis} {value}: {name} {ms:.1f} ms/step", flush=True)
        keep(made)

    def pair(config, batch):
        return (
            contenders.dispatched("infogan_jax train_steps", config, batch, steps),
            contenders.looped("infogan_jax", config, batch),
            contenders.stock(config, batch),
        )

    small = functools.partial(contenders.tutorial, width=16, dense=128)
    for batch in (32, 64, 128, 256, 512, 1024):
        add("batch", batch, *pair(small(), batch))
    for width in (8, 16, 32, 64):
        add("width", width, *pair(small(width=width, dense=8 * width), 64))
    for side in (28, 32, 64):
        add("side", side, *pair(small(side=side), 64))
    for n in (1, 2, 4, 8):
        ways = [contenders.seeds(small(), 64, n, how) for how in ("map", "vmap")]
        add("seeds", n, *ways)
    for n in (1, 2, 4, 8):
        if n <= jax.local_device_count():
            add("devices", n, contenders.over_devices(small(), 64, n))
    return made


_AXES = {
    "batch": "images a batch",
    "width": "width [channels]",
    "side": "side [pixels]",
    "seeds": "seeds, all together",
    "devices": "devices that share the cores",
}


@plotting.skip_without_matplotlib
def draw(made, path):
    """Cost against each axis, a panel each."""
    axes_of = list(dict.fromkeys(row["axis"] for row in made))
    drawn, panels = plotting.new_figure(2.5 * len(axes_of), 3.4, columns=len(axes_of))
    from matplotlib import ticker

    for axes, axis in zip(panels, axes_of, strict=True):
        lines = {}
        for row in made:
            if row["axis"] == axis:
                name = row["name"].split(" by ")[-1]
                lines.setdefault(name, []).append((row["value"], row["ms_per_step"]))
        for name, points in lines.items():
            axes.plot(*zip(*points, strict=True), "o-", label=name)
        axes.set(xlabel=_AXES[axis], xscale="log", yscale="log")
        axes.set_xticks(sorted({p for points in lines.values() for p, _ in points}))
        axes.get_xaxis().set_major_formatter("{x:.0f}")
        axes.get_yaxis().set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.get_yaxis().set_major_formatter("{x:g}")
        axes.minorticks_off()
        above = {"loc": "lower left", "bbox_to_anchor": (0, 1)}
        axes.legend(fontsize="small", frameon=False, **above)
    panels[0].set_ylabel("ms per step")
    plotting.save(drawn, path, dpi=120)


def parse(argv):
    """The options; ends the process, with status 2, where they do not go together."""
    parser = options_lib.command(__doc__)
    show = " (default: %(default)s)"
    parser.add_argument(
        "--batch-size", type=options_lib.whole(2), default=128, help="images" + show
    )
    parser.add_argument(
        "--width", type=options_lib.whole(1), default=64, help="channels" + show
    )
    parser.add_argument(
        "--dense", type=options_lib.whole(1), default=1024, help="features" + show
    )
    parser.add_argument(
        "--rounds", type=options_lib.whole(2), default=9, help="turns each" + show
    )
    parser.add_argument(
        "--steps", type=options_lib.whole(1), default=5, help="per turn" + show
    )
    parser.add_argument(
        "--cold-start", action="store_true", help="time the start of a quick run too"
    )
    parser.add_argument(
        "--growth", action="store_true", help="the growth table instead"
    )
    parser.add_argument(
        "--float32",
        action="store_true",
        help="leave bfloat16 out: on a CPU without products of it a step takes PyTorch "
        "half a minute",
    )
    parser.add_argument(
        "--json", type=options_lib.path, metavar="PATH", help="write the rows"
    )
    parser.add_argument(
        "--figure",
        type=options_lib.picture,
        metavar="PATH",
        help="draw the growth table",
    )
    options = parser.parse_args(argv)
    if options.figure and not options.growth:
        parser.error("--figure draws the growth table; give --growth with it.")
    own = ("batch_size", "width", "dense", "float32")
    changed = [
        name for name in own if getattr(options, name) != parser.get_default(name)
    ]
    if options.growth and changed:
        flags = ", ".join("--" + name.replace("_", "-") for name in changed)
        parser.error(f"{flags}: the growth table has sizes of its own.")
    if options.figure and options.figure == options.json:
        parser.error("--json and --figure name one file; name two.")
    try:
        paths.check_new(*filter(None, (options.json, options.figure)))
    except OSError as error:
        parser.error(str(error))
    return options


def settings(options) -> dict:
    """What was asked for, but where it is written."""
    return {k: v for k, v in vars(options).items() if k not in ("json", "figure")}


def measure(options, peak, keep):
    """The rows that the options ask for."""
    if options.growth:
        return grow(options.rounds, options.steps, keep)
    racing = contenders.compare(
        options.batch_size,
        options.width,
        options.dense,
        options.steps,
        with_bfloat16=not options.float32,
    )
    seen = time_each(racing, options.rounds, options.steps)
    made = rows(racing, seen, peak)
    print_table(made)
    return made


def main(argv=None) -> int:
    """Measures, prints, writes; returns the exit status."""
    options = parse(argv)
    try:
        started = cold_start() if options.cold_start else {}  # The device is free yet.
    except RuntimeError as error:
        return console.tell(error)
    if options.growth:  # Of CPU devices; they share the cores, so only costs show.
        os.environ["XLA_FLAGS"] = (
            os.environ.get("XLA_FLAGS", "")
            + " --xla_force_host_platform_device_count=8"
        )
    peak = ceiling()
    where = hardware(peak) | started
    print(json.dumps(where))
    of_all = {"machine": where, "settings": settings(options)}

    def keep(made):
        if not options.json:
            return
        try:
            json_files.write(options.json, [row | of_all for row in made])
        except OSError as error:
            raise console.Stop(
                f"cannot write {options.json}: {error.strerror}."
            ) from error

    try:
        with contenders.compiling_anew():
            made = measure(options, peak, keep)
        keep(made)
    except console.Stop as error:
        return console.tell(error)
    try:
        if options.figure:
            draw(made, options.figure)
    except (OSError, ValueError) as error:  # Matplotlib knows no such picture.
        return console.tell(error)
    return 0


if __name__ == "__main__":
    console.run(main)
