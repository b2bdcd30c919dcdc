"""How fast the step is, beside stock Flax and PyTorch, in one run on one machine.

    python experiments/benchmark.py --cold-start --json benchmark.json
    python experiments/benchmark.py --growth --json growth.json --figure growth.png

The network is `presets.TUTORIAL` (the paper's sizes, batch 128). Contenders take turns,
so that what else the machine does falls on all of them; the median over the rounds is
reported with the quarters below and above it. PyTorch joins where it is installed.
"""

import argparse
import contextlib
import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from unittest import mock

import jax
import jax.numpy as jnp
from flax import linen

import infogan_jax
from infogan_jax import networks, population, presets, records, training

IMAGES, N_IMAGES = (28, 28, 1), 2_000
PACKAGES = ("infogan_jax", "jax", "jaxlib", "flax", "torch")


@dataclasses.dataclass
class Contender:
    """`run(n)` takes n steps and waits for them; `gflop` is of one step."""

    name: str
    batch: int
    run: object
    images: int = 1  # batches' worth of images per step
    gflop: float | None = None
    compile_s: float | None = None
    peak_mb: float | None = None


def tutorial(side=28, width=64, dense=1024):
    """The tutorial's network in another size."""
    architecture = dataclasses.replace(
        presets.TUTORIAL.architecture,
        image_shape=(side, side, 1),
        width=width,
        dense=dense,
    )
    return dataclasses.replace(presets.TUTORIAL, architecture=architecture)


def random_images(side=28):
    """Images on the device: what is in them costs nothing."""
    images = jax.random.randint(jax.random.key(0), (N_IMAGES, side, side, 1), 0, 256)
    return {"image": images.astype(jnp.uint8)}


def measured(jitted, *arguments):
    """The compiled program, and what compiling it took and promises."""
    began = time.perf_counter()
    compiled = jitted.lower(*arguments).compile()
    seconds = time.perf_counter() - began
    memory = compiled.memory_analysis()
    peak = memory.temp_size_in_bytes + memory.argument_size_in_bytes
    peak += memory.output_size_in_bytes - memory.alias_size_in_bytes
    return compiled, {
        "gflop": compiled.cost_analysis()["flops"] / 1e9,
        "compile_s": seconds,
        "peak_mb": peak / 1e6,
    }


def looped(name, config, batch):
    """One dispatch per step, the state donated."""

    @functools.partial(jax.jit, donate_argnums=0)
    def jitted(state, dataset, key):
        images = training.draw(dataset, key, state.step, batch)
        return infogan_jax.step(config, state, images, key)

    dataset, key = random_images(config.image_shape[0]), jax.random.key(0)
    state = infogan_jax.init(config, key)
    compiled, costs = measured(jitted, state, dataset, key)

    def run(n):
        nonlocal state
        for _ in range(n):
            state, _ = compiled(state, dataset, key)
        jax.block_until_ready(state)

    return Contender(name, batch, run, **costs)


def dispatched(name, config, batch, at_most):
    """Many steps per dispatch: `train_steps`."""
    dataset, key = random_images(config.image_shape[0]), jax.random.key(0)
    state = infogan_jax.init(config, key)
    go = functools.partial(
        infogan_jax.train_steps, batch_size=batch, at_most=at_most, donate=True
    )
    began = time.perf_counter()
    state = jax.block_until_ready(go(config, state, dataset, key, steps=1)[0])

    def run(n):
        nonlocal state
        state, _ = go(config, state, dataset, key, steps=n)
        jax.block_until_ready(state)

    return Contender(name, batch, run, compile_s=time.perf_counter() - began)


def stock(config, batch):
    """The same network of Flax's own layers."""

    def layer(kind, features, kernel_init, use_bias=True):
        return kind(
            features, (4, 4), (2, 2), use_bias=use_bias, kernel_init=kernel_init
        )

    layers = {
        "DownConv": functools.partial(layer, linen.Conv),
        "UpConv": functools.partial(layer, linen.ConvTranspose),
    }
    training._create.clear_cache()  # It knows modules by their own fields alone.
    with mock.patch.multiple(networks.layers, **layers):
        contender = looped("flax", config, batch)
    training._create.clear_cache()
    return contender


def seeds(config, batch, n, how):
    """A population; its step is one step of each seed."""
    dataset, keys = random_images(), jax.random.split(jax.random.key(0), n)
    states = population.init(config, keys)

    def run(steps):
        nonlocal states
        states, _ = population.train_steps(
            config, states, dataset, keys, steps=steps, batch_size=batch, how=how
        )
        jax.block_until_ready(states)

    return Contender(f"{n} seeds by {how}", batch, run, images=n)


def sampling(config, batch):
    """`sample` and `infer`, a batch at a time."""
    key = jax.random.key(0)
    state = infogan_jax.init(config, key)
    images = jnp.resize(random_images()["image"], (batch, *IMAGES))

    def sample(n):
        for _ in range(n):
            jax.block_until_ready(infogan_jax.sample(config, state, key, batch))

    def infer(n):
        for _ in range(n):
            jax.block_until_ready(infogan_jax.infer(config, state, images))

    return [Contender("sample", batch, sample), Contender("infer", batch, infer)]


def pytorch(batch, width, dense, bfloat16=False, how="eager"):
    """PyTorch's contender: "eager", "compile", or "cuda-graph" on a GPU."""
    import torch_infogan

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    images = jax.device_get(random_images()["image"])
    gan = torch_infogan.InfoGan(images, batch, width, dense, bfloat16, device)
    if how != "eager":
        gan = gan.compile() if how == "compile" else gan.graph()

    def run(n):
        for _ in range(n):
            gan.step()
        gan.wait()

    name = f"pytorch-{how}"
    if bfloat16:
        name = "pytorch-bfloat16" if how == "eager" else f"{name}-bfloat16"
    return Contender(name, batch, run)


def over_devices(config, batch, n):
    """`pmap_step` over n devices, the same batch for all of them together."""
    step = infogan_jax.pmap_step(config, devices=jax.local_devices()[:n], donate=True)
    images, key = random_images(config.image_shape[0]), jax.random.key(0)
    steps = infogan_jax.train(config, images, key, batch_size=batch, step_fn=step)

    def run(count):
        for _ in range(count):
            state, _ = next(steps)
        jax.block_until_ready(state)

    return Contender("pmap_step", batch, run)


def time_each(contenders, rounds, steps):
    """Milliseconds per step of each contender in each round, in turns."""
    for contender in contenders:
        contender.run(1)
    seen = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            began = time.perf_counter()
            contender.run(steps)
            seconds = time.perf_counter() - began
            seen[contender.name].append(1e3 * seconds / steps)
    return seen


def ceiling(rounds=7):
    """GFLOP/s of one large float32 matrix product: the best of a few."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    a = jnp.ones((size, size))
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(a, a))
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        jax.block_until_ready(product(a, a))
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds) / 1e9


def rows(contenders, seen, peak):
    """What `--json` writes: one row for each contender."""
    medians = {name: statistics.median(times) for name, times in seen.items()}
    eager = medians.get("pytorch-eager")
    work = next((c.gflop for c in contenders if c.gflop), None)
    made = []
    for contender in contenders:
        ms = medians[contender.name]
        low, _, high = statistics.quantiles(seen[contender.name], n=4)
        gflop = contender.gflop
        if contender.name.startswith("infogan_jax") and gflop is None:
            gflop = work  # The same step; cost_analysis cannot count a loop.
        is_step = contender.name not in ("sample", "infer")
        rate = None if gflop is None else gflop / ms * 1e3
        made.append(
            {
                "name": contender.name,
                "batch": contender.batch,
                "ms_per_step": ms,
                "ms_quartiles": [low, high],
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
    """
    script = pathlib.Path(__file__).with_name("mnist.py")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": f"{folder}/cache"}
        for name in ("cold", "warm"):
            out = f"{folder}/{name}"
            options = ["--quick", "--data", "bundled", "--steps", "1", "--out", out]
            began = time.perf_counter()
            with subprocess.Popen(
                [sys.executable, script, *options],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as process:
                metrics = pathlib.Path(out, "metrics.jsonl")
                while not (metrics.exists() and metrics.stat().st_size):
                    if process.poll() is not None:
                        raise RuntimeError(f"{script} ended before its first update.")
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
          "| GFLOP/s | of ceiling | compile s | peak MB |")  # fmt: skip
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


def machine(peak):
    """Where the numbers come from."""
    versions = {name: records.version(name) for name in PACKAGES}
    return {
        "device": jax.local_devices()[0].device_kind,
        "backend": jax.default_backend(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: v for name, v in versions.items() if v != "unknown"},
        "matmul_gflop_per_s": peak,
        "date": time.strftime("%Y-%m-%d"),
    }


def has_torch():
    """Whether PyTorch is installed, and for this device."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return jax.default_backend() == "cpu" or torch.cuda.is_available()


def compare(batch, width, dense, at_most):
    """The contenders of the main table."""
    config = tutorial(width=width, dense=dense)
    contenders = [
        looped("infogan_jax", config, batch),
        dispatched("infogan_jax train_steps", config, batch, at_most),
        stock(config, batch),
        looped(
            "infogan_jax bfloat16",
            dataclasses.replace(config, compute_dtype="bfloat16"),
            batch,
        ),
    ]
    if has_torch():
        contenders += [
            pytorch(batch, width, dense),
            pytorch(batch, width, dense, bfloat16=True),
        ]
        with contextlib.suppress(Exception):  # It needs a C++ compiler.
            compiled = pytorch(batch, width, dense, how="compile")
            compiled.run(1)
            contenders.append(compiled)
        if jax.default_backend() == "gpu":
            contenders += [
                pytorch(batch, width, dense, bfloat16, how="cuda-graph")
                for bfloat16 in (False, True)
            ]
    return contenders + sampling(config, batch)


def grow(rounds, steps):
    """Rows for other batches, widths, sides, seeds and devices; small networks."""
    made = []

    def add(axis, value, *contenders):
        for name, times in time_each(contenders, rounds, steps).items():
            contender = next(c for c in contenders if c.name == name)
            ms = statistics.median(times)
            rate = 1e3 * contender.images * contender.batch / ms
            made.append(
                {"axis": axis, "value": value, "name": name, "batch": contender.batch,
                 "ms_per_step": ms, "images_per_s": rate}
            )  # fmt: skip
            print(f"{axis} {value}: {name} {ms:.1f} ms/step", flush=True)

    def pair(config, batch):
        return (
            dispatched("infogan_jax train_steps", config, batch, steps),
            looped("infogan_jax", config, batch),
            stock(config, batch),
        )

    small = functools.partial(tutorial, width=16, dense=128)
    for batch in (32, 64, 128, 256, 512, 1024):
        add("batch", batch, *pair(small(), batch))
    for width in (8, 16, 32, 64):
        add("width", width, *pair(tutorial(width=width, dense=8 * width), 64))
    for side in (28, 32, 64):
        add("side", side, *pair(small(side=side), 64))
    for n in (1, 2, 4, 8):
        ways = [seeds(small(), 64, n, how) for how in ("map", "vmap")]
        add("seeds", n, *ways)
    for n in (1, 2, 4, 8):
        if n <= jax.local_device_count():
            add("devices", n, over_devices(small(), 64, n))
    return made


def draw(made, path):
    """Cost against each axis, a panel each."""
    from matplotlib import figure, ticker

    axes_of = list(dict.fromkeys(row["axis"] for row in made))
    drawn = figure.Figure(figsize=(3.4 * len(axes_of), 3.2), layout="constrained")
    for axes, axis in zip(drawn.subplots(1, len(axes_of)), axes_of, strict=True):
        lines = {}
        for row in made:
            if row["axis"] == axis:
                name = row["name"].split(" by ")[-1]
                lines.setdefault(name, []).append((row["value"], row["ms_per_step"]))
        for name, points in lines.items():
            axes.plot(*zip(*points, strict=True), "o-", label=name)
        axes.set(xlabel=axis, ylabel="ms per step", xscale="log", yscale="log")
        axes.set_xticks(sorted({p for points in lines.values() for p, _ in points}))
        axes.get_xaxis().set_major_formatter("{x:.0f}")
        axes.get_yaxis().set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.get_yaxis().set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.legend(fontsize="x-small")
    drawn.savefig(path, dpi=120)


def main(argv=None) -> int:
    """Measures, prints, writes; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    show = " (default: %(default)s)"
    parser.add_argument("--batch-size", type=int, default=128, help="images" + show)
    parser.add_argument("--width", type=int, default=64, help="channels" + show)
    parser.add_argument("--dense", type=int, default=1024, help="features" + show)
    parser.add_argument("--rounds", type=int, default=9, help="turns each" + show)
    parser.add_argument("--steps", type=int, default=5, help="per turn" + show)
    parser.add_argument(
        "--cold-start", action="store_true", help="time the start of a quick run too"
    )
    parser.add_argument(
        "--growth", action="store_true", help="the growth table instead"
    )
    parser.add_argument("--json", metavar="PATH", help="write the rows")
    parser.add_argument("--figure", metavar="PATH", help="draw the growth table")
    options = parser.parse_args(argv)
    if min(options.batch_size, options.width, options.dense, options.steps) < 1:
        parser.error("every number must be at least 1.")
    if options.rounds < 2:
        parser.error(f"--rounds must be at least 2, not {options.rounds}.")

    if options.growth:  # Of CPU devices; they share the cores, so only costs show.
        os.environ["XLA_FLAGS"] = (
            os.environ.get("XLA_FLAGS", "")
            + " --xla_force_host_platform_device_count=8"
        )
    peak = ceiling()
    where = machine(peak)
    print(json.dumps(where))
    if options.growth:
        made = grow(options.rounds, options.steps)
        if options.figure:
            draw(made, options.figure)
    else:
        contenders = compare(
            options.batch_size, options.width, options.dense, options.steps
        )
        seen = time_each(contenders, options.rounds, options.steps)
        made = rows(contenders, seen, peak)
        print_table(made)
    if options.cold_start:
        started = cold_start()
        print(json.dumps(started))
        where |= started
    if options.json:
        text = json.dumps([row | {"machine": where} for row in made], indent=2)
        pathlib.Path(options.json).write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
