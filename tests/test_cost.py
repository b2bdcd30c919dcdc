"""What a step costs, counted by the compiler: a guard against work done twice."""

import dataclasses
import platform
import re

import jax
import pytest

import infogan_jax
from infogan_jax import training

# By jax version, backend, processor and dtype: operations and bytes of the tiny step.
RECORDED = {
    ("0.10.2", "cpu", "x86_64", "float32"): (1_740_490, 1_709_643),
    ("0.11.2", "cpu", "x86_64", "float32"): (1_740_490, 1_708_015),
    ("0.12.0.1", "cpu", "x86_64", "float32"): (1_750_178, 1_708_015),
    ("0.10.2", "cpu", "x86_64", "bfloat16"): (2_538_132, 1_428_539),
    ("0.12.0.1", "cpu", "x86_64", "bfloat16"): (2_416_398, 1_646_319),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_step_costs_what_it_did(dtype, tiny, state, batch, key):
    where = jax.__version__, jax.default_backend(), platform.machine(), dtype
    if where not in RECORDED:
        pytest.skip(f"no cost was recorded for {where}")
    step = jax.jit(infogan_jax.step, static_argnums=0)
    config = dataclasses.replace(tiny, compute_dtype=dtype)
    costs = step.lower(config, state, batch, key).compile().cost_analysis()
    found = costs["flops"], costs["bytes accessed"]
    assert found == pytest.approx(RECORDED[where], rel=0.03)


def test_large_kernels_are_never_copied(tiny, state, dataset, key):
    """Nor are their moments: Adam's time is that of passing through memory."""
    if jax.default_backend() != "cpu":
        pytest.skip("other backends have copies of their own")
    lowered = training._donating_steps.lower(tiny, state, dataset, key, 2, 16, 2)
    copied = re.findall(r" f32\[([\d,]+)\]\S* copy\(", lowered.compile().as_text())
    dense = {
        x.shape for x in jax.tree.leaves(state.nets) if x.ndim == 2 and x.size > 99
    }
    assert len(dense) > 3
    assert not dense & {tuple(map(int, shape.split(","))) for shape in copied}
