"""Forms of one operation side by side: which the library should use on this machine.

    python experiments/operations.py

The gradient of a strided convolution's kernel, by XLA's own convolution and by the
matrix product of `ops`, alone and inside a loop; and a large matrix product in float32
and bfloat16. Milliseconds: the median of several calls.
"""

import argparse
import statistics
import sys
import time

import jax
import jax.numpy as jnp
from jax import lax

from infogan_jax import ops

# [B, 2H, 2W, C] and the features: the layers of the paper's and of the quick network.
LAYERS = [
    (128, 14, 64, 128),
    (128, 28, 1, 64),
    (64, 14, 32, 64),
    (64, 28, 1, 32),
]
FORMS = {"convolution": ops._by_convolution, "patches": ops._by_patches}
TIMES, TURNS = 4, 7  # rounds of the loop; calls


def milliseconds(f, *arguments) -> float:
    """Median of a jitted function's calls."""
    jitted, seen = jax.jit(f), []
    jax.block_until_ready(jitted(*arguments))
    for _ in range(TURNS):
        began = time.perf_counter()
        jax.block_until_ready(jitted(*arguments))
        seen.append(1e3 * (time.perf_counter() - began))
    return statistics.median(seen)


def looped(form):
    """The same gradient several times inside `lax.scan`."""

    def run(x, g):
        def body(total, scale):
            return total + form(x * scale, g), None

        start = jnp.zeros((4, 4, x.shape[3], g.shape[3]))
        return lax.scan(body, start, jnp.arange(1.0, TIMES + 1))[0]

    return run


def main(argv=None) -> int:
    """Prints both tables; returns the exit status."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(argv)
    print("| images | features | form | alone [ms] | GFLOP/s | in a loop [ms] |")
    print("|---|---|---|---|---|---|")
    for batch, side, channels, features in LAYERS:
        x = jax.random.normal(jax.random.key(0), (batch, side, side, channels))
        half = (batch, side // 2, side // 2, features)
        g = jax.random.normal(jax.random.key(1), half)
        gflop = 2 * 16 * g.size * channels / 1e9
        for name, form in FORMS.items():
            alone = milliseconds(form, x, g)
            within = milliseconds(looped(form), x, g) / TIMES
            print(
                f"| {batch}x{side}x{side}x{channels} | {features} | {name} "
                f"| {alone:.1f} | {1e3 * gflop / alone:.0f} | {within:.1f} |",
                flush=True,
            )
    print("\n| 2048 x 2048 product | GFLOP/s |\n|---|---|")
    for dtype in ("float32", "bfloat16"):
        a = jnp.ones((2048, 2048), dtype)
        taken = milliseconds(jnp.matmul, a, a)
        print(f"| {dtype} | {2 * 2048**3 / taken / 1e6:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
