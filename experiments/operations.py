"""Forms of one operation side by side: which the library should use on this machine.

    python experiments/operations.py

A strided convolution, the gradient of its kernel and the transposed convolution, by
XLA's own operation and by the forms in `ops`, alone and inside a loop; and a large
matrix product in float32 and bfloat16, by XLA's own and by `products`. Milliseconds:
the median of several calls. On a GPU a call alone is little but its dispatch; what
counts there is the loop. Results: `experiments/results/operations*.md`.
"""

import statistics

import benchmark
import contenders
import jax
import jax.numpy as jnp
from jax import lax

from infogan_jax.host import console
from infogan_jax.ops import convolutions, products
from infogan_jax.runs import options as options_lib

# [B, 2H, 2W, C] and the features: layers of the paper's, the quick and CR's network.
LAYERS = [
    (128, 14, 64, 128),
    (128, 28, 1, 64),
    (64, 14, 16, 32),
    (64, 28, 1, 16),
    (64, 32, 32, 32),
    (64, 16, 32, 64),
]
FORMS = {
    "convolution": convolutions._by_convolution,
    "patches": convolutions._by_patches,
    "tiles": convolutions._by_tiles,
}
FORWARD = {
    "convolution": convolutions._plain_conv,
    "patches": convolutions._conv_by_patches,
    "tiles": convolutions._conv_by_tiles,
}
TRANSPOSED = {
    "convolution": convolutions._plain_transpose,
    "blocks": convolutions._transpose_by_blocks,
    "tiles": convolutions._transpose_by_tiles,
}
PRODUCTS = {"XLA's own": jnp.matmul, "`products`": products.matmul}
TIMES, TURNS = 4, 7  # rounds of the loop; calls


def milliseconds(f, *arguments) -> float:
    """Median of a jitted function's calls."""
    jitted = jax.jit(f)
    jax.block_until_ready(jitted(*arguments))
    seen = [contenders.seconds(lambda: jitted(*arguments)) for _ in range(TURNS)]
    return 1e3 * statistics.median(seen)


def looped(form):
    """The same operation several times inside `lax.scan`."""

    def run(x, other):
        def body(total, scale):
            return total + form(x * scale, other), None

        start = jax.tree.map(jnp.zeros_like, jax.eval_shape(form, x, other))
        return lax.scan(body, start, jnp.arange(1.0, TIMES + 1))[0]

    return run


def compare(layer, what, forms, x, other, gflop):
    """Prints a row for each form of an operation."""
    for name, form in forms.items():
        alone = milliseconds(form, x, other)
        within = milliseconds(looped(form), x, other) / TIMES
        print(
            f"| {layer} | {what} | {name} | {alone:.3g} | {1e3 * gflop / alone:.0f} "
            f"| {within:.3g} |",
            flush=True,
        )


def main(argv=None) -> int:
    """Prints both tables; returns the exit status."""
    options_lib.command(__doc__).parse_args(argv)
    print("| layer | what | form | alone [ms] | GFLOP/s | in a loop [ms] |")
    print("|---|---|---|---|---|---|")
    for batch, side, channels, features in LAYERS:
        x = jax.random.normal(jax.random.key(0), (batch, side, side, channels))
        half = (batch, side // 2, side // 2, features)
        g = jax.random.normal(jax.random.key(1), half)
        kernel = jax.random.normal(jax.random.key(2), (4, 4, channels, features))
        gflop = 2 * 16 * g.size * channels / 1e9
        layer = f"{batch}x{side}x{side}x{channels} to {features}"
        compare(layer, "forward", FORWARD, x, kernel, gflop)
        compare(layer, "kernel gradient", FORMS, x, g, gflop)
        back = kernel.swapaxes(2, 3)
        compare(layer, "transposed, back", TRANSPOSED, g, back, gflop)
    print("\n| large product | form | GFLOP/s |\n|---|---|---|")
    for dtype in ("float32", "bfloat16"):
        for name, product in PRODUCTS.items():
            reached = benchmark.ceiling(dtype, product)
            print(f"| {dtype} | {name} | {reached:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    console.run(main)
