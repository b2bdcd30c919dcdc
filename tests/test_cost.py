"""What a step costs, counted by the compiler: a guard against work done twice."""

import dataclasses
import platform
import re

import jax
import pytest

import infogan_jax
from infogan_jax import training

# By jax version, backend, processor and what: operations and bytes. Of `train_steps`
# the compiler counts the loop's body once.
RECORDED = {
    ("0.10.2", "cpu", "x86_64", "float32"): (1_740_490, 1_709_643),
    ("0.11.2", "cpu", "x86_64", "float32"): (1_740_490, 1_708_015),
    ("0.12.0.1", "cpu", "x86_64", "float32"): (1_750_178, 1_708_015),
    ("0.10.2", "cpu", "x86_64", "bfloat16"): (2_538_132, 1_428_539),
    ("0.12.0.1", "cpu", "x86_64", "bfloat16"): (2_416_398, 1_646_319),
    ("0.10.2", "cpu", "x86_64", "wide"): (72_773_384, 36_821_568),
    ("0.12.0.1", "cpu", "x86_64", "wide"): (72_832_552, 36_301_528),
    ("0.10.2", "cpu", "x86_64", "train_steps"): (1_737_643, 1_696_072),
    ("0.12.0.1", "cpu", "x86_64", "train_steps"): (1_745_525, 1_699_248),
}


def check_cost(compiled, what):
    where = jax.__version__, jax.default_backend(), platform.machine(), what
    if where not in RECORDED:
        pytest.skip(f"no cost was recorded for {where}")
    costs = compiled.cost_analysis()
    found = costs["flops"], costs["bytes accessed"]
    assert found == pytest.approx(RECORDED[where], rel=0.03)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_step_costs_what_it_did(dtype, tiny, state, batch, key):
    config = dataclasses.replace(tiny, compute_dtype=dtype)
    step = jax.jit(infogan_jax.step, static_argnums=0)
    check_cost(step.lower(config, state, batch, key).compile(), dtype)


def test_a_wide_step_costs_what_it_did(tiny, batch, key):
    """Whose layers take nine products for sixteen."""
    wide = dataclasses.replace(tiny.architecture, width=32)
    config = dataclasses.replace(tiny, architecture=wide)
    step = jax.jit(infogan_jax.step, static_argnums=0)
    lowered = step.lower(config, infogan_jax.init(config, key), batch, key)
    check_cost(lowered.compile(), "wide")


@pytest.fixture(scope="module")
def compiled_steps(tiny, state, dataset, key):
    return training._donating_steps.lower(tiny, state, dataset, key, 2, 16, 2).compile()


def test_steps_in_a_loop_cost_what_they_did(compiled_steps):
    check_cost(compiled_steps, "train_steps")


def test_large_kernels_are_never_copied(compiled_steps, state):
    """Nor are their moments: Adam's time is that of passing through memory."""
    if jax.default_backend() != "cpu":
        pytest.skip("other backends have copies of their own")
    copied = re.findall(r" f32\[([\d,]+)\]\S* copy\(", compiled_steps.as_text())
    dense = {
        x.shape for x in jax.tree.leaves(state.nets) if x.ndim == 2 and x.size > 99
    }
    assert len(dense) > 3
    assert not dense & {tuple(map(int, shape.split(","))) for shape in copied}
