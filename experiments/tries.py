"""What was tried for the quick setting: one arm, one seed, its accuracy curve.

    python experiments/tries.py fan --seed 0

Prints a JSON line at every 500 updates: Hungarian accuracy on the bundled 2,000 test
digits, L_I per code, D's loss. BUILD_NOTES.md has the table of what came of it.
"""

import argparse
import dataclasses
import itertools
import json
import sys

import jax

from infogan_jax import (
    Config,
    Update,
    data,
    evaluation,
    networks,
    objectives,
    schedules,
    training,
)

STEPS, BATCH = 4500, 64
LATE = schedules.Linear(0.01, 0.1, begin=3000, finish=4500)
RAMP = schedules.Linear(0.0, 0.1, begin=1500, finish=3000)


def arm(
    init_std=None, d_rate=1e-3, continuous=0.1, trunk_learns=True, taught=("g",)
) -> Config:
    """The quick network with one thing changed; `continuous` is those codes' weight."""
    g_nets = ("g", "q", "trunk") if trunk_learns else ("g", "q")
    weights = (1.0, continuous, continuous)
    return dataclasses.replace(
        Config(),
        architecture=networks.Dcgan(width=32, dense=256, init_std=init_std),
        objective=(
            objectives.NonSaturating(),
            objectives.MutualInformation(weight=weights, updates=taught),
        ),
        updates=(
            Update("d", ("trunk", "d"), lr=schedules.Cosine(d_rate, STEPS, 5e-5)),
            Update("g", g_nets, lr=schedules.Cosine(1e-3, STEPS, 5e-5)),
        ),
    )


ARMS = {
    "base": arm(init_std=0.02),
    "fan05": arm(init_std=0.05),
    "fan": arm(),
    "lrd4f": arm(d_rate=4e-4),
    "c01f": arm(continuous=0.01),
    "ramplrd4": arm(d_rate=4e-4, continuous=RAMP),
    "late": arm(continuous=LATE),
    "latelrd4": arm(d_rate=4e-4, continuous=LATE),
    "latenotrunk": arm(continuous=LATE, trunk_learns=False),
    "latemid": arm(continuous=LATE, trunk_learns=False, taught=("d", "g")),
}


def main(argv=None) -> int:
    """Trains one arm; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("arm", choices=ARMS)
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--steps", type=int, default=STEPS, help="(default: 4500)")
    options = parser.parse_args(argv)
    config, dataset = ARMS[options.arm], data.load("bundled")
    steps = training.train(
        config, dataset.train, jax.random.key(options.seed), batch_size=BATCH
    )
    for step, (state, metrics) in enumerate(itertools.islice(steps, options.steps), 1):
        if step % 500 == 0 or step == options.steps:
            found = evaluation.clustering(config, state, dataset.test)
            line = {"arm": options.arm, "seed": options.seed, "step": step}
            line |= {"hungarian": found["hungarian"], "nmi": found["nmi"]}
            line |= {name: float(value) for name, value in metrics.items()}
            print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
