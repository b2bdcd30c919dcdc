"""What `benchmark.py` lets race: this library, stock Flax and PyTorch, ready to run.

Each is a `Contender` made for the network `presets.TUTORIAL` in some size, on random
images: what is in them costs nothing.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import itertools
import os
import tempfile
import time
from collections.abc import Callable
from unittest import mock

import jax
import jax.numpy as jnp
from flax import linen

import infogan_jax
from infogan_jax import networks, population, presets, training
from infogan_jax import state as state_lib
from infogan_jax.host import console

N_IMAGES = 2_000


@dataclasses.dataclass
class Contender:
    """`run(n)` takes n steps and waits for them; `gflop` is of one step."""

    name: str
    batch: int
    run: Callable[[int], None]
    images: int = 1  # batches' worth of images per step
    gflop: float | None = None
    compile_s: float | None = None
    peak_mb: float | None = None


def seconds(work) -> float:
    """Of one call, until its result is there."""
    began = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - began


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


@contextlib.contextmanager
def compiling_anew():
    """Within it no program comes from JAX's cache on the disk, as none of PyTorch's."""
    name = "jax_enable_compilation_cache"
    before = jax.config.values[name]
    jax.config.update(name, False)
    try:
        yield
    finally:
        jax.config.update(name, before)


def measured(jitted, *arguments):
    """The compiled program, and what compiling it took and promises."""
    began = time.perf_counter()
    compiled = jitted.lower(*arguments).compile()
    seconds = time.perf_counter() - began
    memory = compiled.memory_analysis()
    peak = memory.temp_size_in_bytes + memory.argument_size_in_bytes
    peak += memory.output_size_in_bytes - memory.alias_size_in_bytes
    flops = compiled.cost_analysis()["flops"]  # On some backends -1: not known.
    if jax.default_backend() == "gpu":  # Leaves out what libraries compute.
        flops = -1
    return compiled, {
        "gflop": flops / 1e9 if flops > 0 else None,
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


def stock_layers():
    """A context within which architectures are built of Flax's own layers."""

    def layer(kind, features, kernel_init, use_bias=True):
        return kind(
            features, (4, 4), (2, 2), use_bias=use_bias, kernel_init=kernel_init
        )

    return mock.patch.multiple(
        networks.layers,
        DownConv=functools.partial(layer, linen.Conv),
        UpConv=functools.partial(layer, linen.ConvTranspose),
        Dense=linen.Dense,
    )


def stock(config, batch):
    """The same network of Flax's own layers."""
    state_lib._create.clear_cache()  # It knows modules by their own fields alone.
    with stock_layers():
        contender = looped("flax", config, batch)
    state_lib._create.clear_cache()
    return contender


def seeds(config, batch, n, how):
    """A population; its step is one step of each seed."""
    dataset, keys = random_images(), jax.random.split(jax.random.key(0), n)
    states = population.init(config, keys)
    go = functools.partial(
        population.train_steps, batch_size=batch, how=how, donate=True
    )

    def run(steps):
        nonlocal states
        states, _ = go(config, states, dataset, keys, steps=steps)
        jax.block_until_ready(states)

    return Contender(f"{n} seeds by {how}", batch, run, images=n)


def sampling(config, batch):
    """`sample` and `infer`, a batch at a time."""
    key = jax.random.key(0)
    state = infogan_jax.init(config, key)
    images = jnp.resize(random_images()["image"], (batch, *config.image_shape))

    def sample(n):
        for _ in range(n):
            jax.block_until_ready(infogan_jax.sample(config, state, key, batch))

    def infer(n):
        for _ in range(n):
            jax.block_until_ready(infogan_jax.infer(config, state, images))

    return [Contender("sample", batch, sample), Contender("infer", batch, infer)]


def pytorch(batch, width, dense, bfloat16=False, how="eager"):
    """PyTorch's contender: "eager", "tuned", "compile", or "cuda-graph" on a GPU.

    What it compiles, or captures, is compiled here.
    """
    import torch_infogan

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    images = jax.device_get(random_images()["image"])
    gan = torch_infogan.InfoGan(
        images, batch, width, dense, bfloat16, device, tuned="tuned" in how
    )
    gflop, compile_s = gan.gflop(), None  # By a first step, which loads libraries.

    def run(n):
        for _ in range(n):
            gan.step()
        gan.wait()

    if how not in ("eager", "tuned"):
        with tempfile.TemporaryDirectory() as empty:
            cache = {"TORCHINDUCTOR_CACHE_DIR": empty}
            with mock.patch.dict(os.environ, cache):
                began = time.perf_counter()
                gan = gan.compile() if "compile" in how else gan.graph()
                run(1)
                compile_s = time.perf_counter() - began
    name = f"pytorch-{how}"
    if bfloat16:
        name = "pytorch-bfloat16" if how == "eager" else f"{name}-bfloat16"
    # A graph's replays allocate nothing that PyTorch sees.
    peak_mb = None if "graph" in how else gan.peak_mb()
    costs = {"gflop": gflop, "compile_s": compile_s, "peak_mb": peak_mb}
    return Contender(name, batch, run, **costs)


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


def compare(batch, width, dense, at_most, with_bfloat16=True):
    """The contenders of the main table."""
    config = tutorial(width=width, dense=dense)
    contenders = [
        looped("infogan_jax", config, batch),
        dispatched("infogan_jax train_steps", config, batch, at_most),
        stock(config, batch),
    ]
    if with_bfloat16:
        half = dataclasses.replace(config, compute_dtype="bfloat16")
        contenders.append(looped("infogan_jax bfloat16", half, batch))
        name = "infogan_jax train_steps bfloat16"
        contenders.append(dispatched(name, half, batch, at_most))
    if has_torch():
        hows = ["eager", "tuned", "compile"]
        if jax.default_backend() == "gpu":  # Where launches are what a step costs.
            hows = ["eager", "tuned", "cuda-graph", "cuda-graph-tuned"]
        for how, bfloat16 in itertools.product(hows, (False, True)):
            if bfloat16 and (how == "compile" or not with_bfloat16):
                continue
            try:  # It may need a compiler, memory, or another PyTorch.
                contender = pytorch(batch, width, dense, bfloat16, how)
            except Exception as error:
                said = f"PyTorch's {how} is left out: {error!s:.300}"
                print(said, file=console.ERR)
            else:
                contenders.append(contender)
    return contenders + sampling(config, batch)


def has_torch():
    """Whether PyTorch is installed, and for this device; says why it is left out."""
    if importlib.util.find_spec("torch") is None:
        return False
    try:
        import torch
    except (ImportError, OSError) as error:  # As where one of its libraries is missing.
        print(f"PyTorch is left out: {error!s:.300}", file=console.ERR)
        return False
    fits = jax.default_backend() == "cpu" or torch.cuda.is_available()
    if not fits:
        print("PyTorch is left out: it sees no GPU here.", file=console.ERR)
    return fits
