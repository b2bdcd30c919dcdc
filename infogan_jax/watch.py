"""Alarms: what a run's metrics say when training has gone wrong.

    watch = Watch(config)
    for step, row in enumerate(metrics, start=1):  # a dict of floats for each update
        for cause in watch.see(row):
            print(step, cause)

Alarms depend on the metrics alone, so a resumed run repeats those of an uninterrupted
one. Means over `WINDOW` updates are judged, but for the window in which D's or G's
update begins. Each alarm is given once, and stops nothing. A metric that is not finite
is told at once, and is the last alarm.
A code is dead if L_I is less than a tenth of the way from the best blind Q to an exact
one (`bounds` of a latent). It is not judged at weight 0, nor while a scheduled weight
is below .01 and for `PATIENCE` updates after.
"""

import collections
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from infogan_jax import config as config_lib
from infogan_jax import objectives, rules

WINDOW, PATIENCE = 300, 1500  # updates
_MIN_WEIGHT = 0.01  # A scheduled weight below it asks for next to nothing.
_ALIVE = 0.1  # of what Q could read of a code


@dataclass(frozen=True)
class _Symptom:
    """Present where `sign * (mean of metric - limit) > 0`.

    `weight` is the objective's of what is measured, a number or schedule; `begin` is
    that of the update which measures it.
    """

    metric: str
    sign: int
    limit: float
    cause: str
    begin: int
    weight: Any = 1.0

    def is_judged(self, step):
        """Whether its weight is in force now, and was at windows' ends for PATIENCE.

        Never in the first window of its update, which is like nothing that comes after.
        """
        if (step - 1) // WINDOW <= self.begin // WINDOW:
            return False
        if not callable(self.weight):
            return self.weight > 0
        ends = range(max(0, step - PATIENCE), step + 1, WINDOW)
        return all(self.weight(jnp.int32(t)) >= _MIN_WEIGHT for t in ends)


class Watch:
    """Sees one row of metrics after the other.

    Args:
      config: of the run.
      step: updates done before the first row, as a restored state counts them. The
        rest of a window that had begun then is not judged.
    """

    def __init__(self, config: config_lib.Config, step: int = 0):
        self._left, self._seen = _symptoms(config), rules.as_count("step", step, 0)
        self._began, self._is_finite = self._seen, True
        self._sums: dict[str, float] = collections.defaultdict(float)

    def see(self, row: Mapping[str, Any]) -> list[str]:
        """The alarms that this update's metrics set off, as sentences for people.

        Args:
          row: floats by name, as `step` gives them; all of a run's, in order.

        Raises:
          ValueError: a metric that an alarm needs is not in the row, or is of many
            updates.
        """
        wanted = {each.metric for each in self._left}
        if missing := sorted(wanted - row.keys()):
            raise ValueError(
                f"a row lacks {missing}, which alarms of this config are about; give "
                "all metrics of a step."
            )
        if shape := next(filter(None, map(np.shape, row.values())), ()):
            raise ValueError(
                f"a row is of one update, and this has metrics of shape {shape}; give "
                "one update after the other, such as {k: v[0] for k, v in row.items()}."
            )
        if not self._is_finite:  # Means tell nothing from there on.
            return []
        self._seen += 1
        bad = [name for name, value in row.items() if not math.isfinite(value)]
        if bad:
            self._is_finite = False
            return [f"training has failed: {bad[0]} is {float(row[bad[0]])}"]
        for metric in wanted:
            self._sums[metric] += float(row[metric]) / WINDOW
        if self._seen % WINDOW:
            return []
        means = dict(self._sums)
        self._sums.clear()
        if self._seen - self._began < WINDOW:
            return []
        given = {  # Two terms may ask for one code.
            (each.metric, each.cause): each
            for each in self._left
            if each.sign * (means[each.metric] - each.limit) > 0
            and each.is_judged(self._seen)
        }
        self._left = [e for e in self._left if (e.metric, e.cause) not in given]
        return [
            f"{each.cause} ({each.metric} was {means[each.metric]:.3g} on average over "
            f"the last {WINDOW} updates)"
            for each in given.values()
        ]


def _symptoms(config):
    """What to look for: only what the config asks its networks to learn."""
    symptoms = []
    for update in dict.fromkeys(config.updates):
        at = update.begin
        if "d" in update.nets:
            cause = (
                "D has won: it tells nearly every image; lower its rate, or raise G's"
            )
            symptoms.append(_Symptom(f"{update.name}/accuracy", 1, 0.998, cause, at))
        if "g" in update.nets:
            cause = "the output has collapsed: G draws the same image for every z and c"
            symptoms.append(_Symptom(f"{update.name}/spread", -1, 0.1, cause, at))
    learners = {u.name: u.begin for u in config.updates if "g" in u.nets}
    for term in config.objective:
        if not isinstance(term, objectives.MutualInformation):
            continue
        if teaching := learners.keys() & set(term.updates):
            at = min(learners[name] for name in teaching)
            weights = objectives.weight_of_each(term.weight, config.codes)
            for i, weight in enumerate(weights):
                blind, exact = config.codes.parts[i].bounds()
                limit = blind + _ALIVE * (exact - blind)
                cause = f"code {i} is dead: Q cannot read it from the images"
                symptoms.append(_Symptom(f"info/{i}", -1, limit, cause, at, weight))
    return symptoms
