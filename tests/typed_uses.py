"""What users write, as a type checker sees it: `mypy` reads this file, nothing runs it.

Each `assert_type` fails where a public function's annotations say less, or other.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, assert_type

import jax
import numpy as np
from flax import linen

import infogan_jax
from infogan_jax import (
    Config,
    TrainState,
    Update,
    checkpoint,
    data,
    evaluation,
    latents,
    metrics,
    networks,
    objectives,
    population,
    presets,
    schedules,
    training,
)

Metrics = dict[str, jax.Array]


@infogan_jax.register
@dataclass(frozen=True)
class Blind:
    """A term of a user's own."""

    weight: float = 1.0

    def __call__(self, p: objectives.Pass) -> Metrics:
        return {"d": self.weight * p.score(p.real).mean()}


@infogan_jax.register
@dataclass(frozen=True)
class Sparse:
    """A latent that noise may be: it is drawn, and never read."""

    dim: int = 4

    def sample(self, rng: jax.Array) -> jax.Array:
        return jax.random.laplace(rng, (self.dim,))


@infogan_jax.register
@dataclass(frozen=True)
class Own:
    """An architecture that calls its arguments as it likes."""

    image_shape: tuple[int, int, int] = (8, 8, 1)

    def networks(
        self, n_latents: int, n_params: int, axis: str | None
    ) -> Mapping[str, linen.Module]:
        return networks.Mlp(self.image_shape).networks(n_latents, n_params, axis)


def a_config_of_own_parts() -> Config:
    config = Config(architecture=Own(), noise=Sparse())
    noise = latents.Product((latents.Uniform(2), latents.Bernoulli()))
    return replace(config, noise=noise, architecture=replace(config.architecture))


def a_config() -> Config:
    return Config(
        codes=latents.Product((latents.Categorical(10), latents.Gaussian(size=2))),
        noise=latents.Bernoulli(size=8),
        architecture=networks.Spectral(),
        objective=(objectives.Minimax(), Blind(), objectives.Recognition()),
        updates=(
            Update("d", ("trunk", "d"), lr=schedules.Linear(1e-3, 1e-4, 0, 1000)),
            Update("g", ("g", "q"), lr=(lambda step: 1e-3, schedules.Cosine(1.0, 9))),
        ),
    )


def train(images: np.ndarray, key: jax.Array) -> None:
    config = presets.PAPER
    state = assert_type(infogan_jax.init(config, key), TrainState)
    batch = {"image": images[:8], "label": np.zeros(8, np.int32)}
    assert_type(infogan_jax.train_step(config, state, batch, key)[1], Metrics)
    assert_type(training.copy(state), TrainState)
    step = functools.partial(infogan_jax.step, config)
    state, _ = jax.jit(step)(state, batch, key)
    dataset = data.load("bundled").train
    state, rows = infogan_jax.train_steps(
        config, state, dataset, key, steps=3, batch_size=8
    )
    assert_type(rows, Metrics)
    split = infogan_jax.pmap_step(config)
    assert_type(split(state, batch, key), tuple[TrainState, Metrics])
    for state, seen in infogan_jax.train(
        config, dataset, key, batch_size=8, step_fn=split
    ):
        assert_type(state, TrainState)
        assert_type(seen, Metrics)
    states, _ = population.train_steps(
        config, state, dataset, key, steps=3, batch_size=8
    )
    assert_type(population.of_seed(states, 0), TrainState)


def use(path: str, images: np.ndarray, key: jax.Array) -> None:
    config, state = infogan_jax.restore(path)
    assert_type(config, Config)
    infogan_jax.smaple(config)  # type: ignore[attr-defined]
    drawn, z, c = infogan_jax.sample(config, state, key, 64, c={0: 3})
    assert_type(drawn, jax.Array)
    assert_type(infogan_jax.generate(config, state, z, c), jax.Array)
    q = assert_type(infogan_jax.infer(config, state, images), jax.Array)
    assert_type(config.codes.mean(q), jax.Array)
    read = evaluation.infer_all(config, state, images)
    assert_type(read, np.ndarray)
    config.codes.mean(read)
    assert_type(infogan_jax.traverse(config, state, key, 1), jax.Array)
    infogan_jax.save(path, config, state)
    with checkpoint.Writer(path, config, keep=3) as writer:
        writer.save(state)


def measure(codes: jax.Array, factors: np.ndarray, labels: list[int]) -> None:
    assert_type(metrics.mig(codes, factors), float)
    assert_type(metrics.dci(codes, factors, depth=(4, 5)).importance, np.ndarray)
    counts = metrics.contingency(labels, labels, 10, 10)
    assert_type(metrics.cluster_accuracy(counts), float)


def rows(batch: Mapping[str, jax.Array]) -> Mapping[str, Any]:
    """Batches of any kind of mapping are taken."""
    config = a_config()
    key = jax.random.key(0)
    infogan_jax.train_step(config, infogan_jax.init(config, key), batch, key)
    return batch
