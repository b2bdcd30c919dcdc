"""Alarms: each sick fixture sets off its own, a healthy run none."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import infogan_jax
from infogan_jax import Update, presets, schedules, watch
from infogan_jax.objectives import MutualInformation, NonSaturating, Recognition
from infogan_jax.runs import records

HEALTHY = {
    "d/accuracy": 0.8,
    "g/spread": 0.9,
    "info/0": 0.9,
    "info/1": 0.3,
}


def alarms(config, rows):
    seen = watch.Watch(config)
    return [(i + 1, cause) for i, row in enumerate(rows) for cause in seen.see(row)]


def train(config, dataset, steps, spoil=lambda state: state):
    """The rows of a run whose first state `spoil` may change."""
    key = jax.random.key(0)
    state = spoil(infogan_jax.init(config, key))
    _, rows = infogan_jax.train_steps(
        config, state, jax.device_put(dataset), key, steps=steps, batch_size=16
    )
    return [{name: float(x[i]) for name, x in rows.items()} for i in range(steps)]


def rates(config, d, g):
    updates = (Update("d", ("trunk", "d"), lr=d), Update("g", ("g", "q"), lr=g))
    return dataclasses.replace(config, updates=updates)


def test_healthy_rows_set_off_nothing(tiny):
    assert alarms(tiny, [HEALTHY] * 5 * watch.WINDOW) == []


@pytest.mark.parametrize(
    ("metric", "value", "words"),
    [
        ("d/accuracy", 1.0, "D has won"),
        ("g/spread", 0.01, "collapsed"),
        ("info/0", 0.0, "code 0 is dead"),
        ("info/1", -0.2, "code 1 is dead"),
    ],
)
def test_each_sign_is_one_alarm_with_step_and_figure(tiny, metric, value, words):
    sick = HEALTHY | {metric: value}
    rows = [HEALTHY] * watch.WINDOW + [sick] * 3 * watch.WINDOW
    [(step, cause)] = alarms(tiny, rows)
    assert step == 2 * watch.WINDOW
    assert words in cause and metric in cause and f"{value:.3g}" in cause


def test_what_is_not_finite_is_told_at_once_and_once(tiny):
    rows = [HEALTHY] * 5 + [HEALTHY | {"g/spread": np.nan}] * 700
    ((step, cause),) = alarms(tiny, rows)
    assert step == 6 and "g/spread is nan" in cause


def test_nothing_is_judged_after_what_is_not_finite(tiny):
    bad = HEALTHY | {"d/NonSaturating": np.inf}  # For once, at the end of a window.
    rows = [HEALTHY] * (2 * watch.WINDOW - 1) + [bad] + [HEALTHY] * 3 * watch.WINDOW
    [(step, cause)] = alarms(tiny, rows)
    assert step == 2 * watch.WINDOW and "d/NonSaturating is inf" in cause


def test_a_row_without_a_watched_metric_is_refused(tiny):
    row = dict.fromkeys(HEALTHY, 0.5)
    del row["info/1"]
    with pytest.raises(ValueError, match=r"lacks \['info/1'\]"):
        watch.Watch(tiny).see(row)


def test_a_row_of_many_updates_is_refused(tiny):
    rows = {name: np.full(3, value) for name, value in HEALTHY.items()}
    with pytest.raises(ValueError, match=r"of shape \(3,\); give one update"):
        watch.Watch(tiny).see(rows)


def test_a_watch_that_begins_late_counts_from_there(tiny):
    dead, late = HEALTHY | {"info/0": 0.0}, 3 * watch.WINDOW - 10
    begun = watch.Watch(tiny, step=late)
    seen = {late + n: begun.see(dead) for n in range(1, watch.WINDOW + 11)}
    # The window that it came into is judged by nobody, the next one at its end.
    [step] = [step for step, causes in seen.items() if causes]
    assert step == 4 * watch.WINDOW and "code 0 is dead" in seen[step][0]


def test_a_short_dip_is_no_alarm(tiny):
    dip = [HEALTHY | {"info/0": 0.0}] * (watch.WINDOW // 3)
    assert alarms(tiny, ([HEALTHY] * watch.WINDOW + dip) * 3) == []


def test_the_first_updates_are_not_judged(tiny):
    start = [HEALTHY | {"info/0": -2.0, "d/accuracy": 1.0}] * watch.WINDOW
    assert alarms(tiny, start + [HEALTHY] * 2 * watch.WINDOW) == []


def test_updates_that_wait_are_not_judged(tiny):
    idle = dict.fromkeys(HEALTHY, 0.0)
    begin = 3 * watch.WINDOW + 10
    updates = tuple(dataclasses.replace(u, begin=begin) for u in tiny.updates)
    waiting = dataclasses.replace(tiny, updates=updates)
    rows = [idle] * begin + [HEALTHY] * 3 * watch.WINDOW
    assert alarms(waiting, rows) == []
    # Dead from its beginning on: told at the end of the first window that is judged.
    dead = alarms(waiting, [idle] * 8 * watch.WINDOW)
    assert {step for step, _ in dead} == {5 * watch.WINDOW}


def test_a_run_that_learns_sets_off_nothing(tiny, dataset):
    objective = (NonSaturating(), MutualInformation(weight=1.0))
    config = dataclasses.replace(rates(tiny, 1e-3, 2e-3), objective=objective)
    assert alarms(config, train(config, dataset, 5 * watch.WINDOW)) == []


def test_a_discriminator_that_wins_is_noticed(tiny, dataset):
    white = dataset | {"image": np.full_like(dataset["image"], 255)}
    rows = train(rates(tiny, 3e-3, 0.0), white, 2 * watch.WINDOW)
    assert any("D has won" in cause for _, cause in alarms(tiny, rows))


def test_a_frozen_code_is_noticed(tiny, dataset):
    """Q and G cannot learn, so no code can be read."""
    frozen = rates(tiny, 3e-3, 0.0)
    rows = train(frozen, dataset, 2 * watch.WINDOW)
    causes = [cause for _, cause in alarms(frozen, rows)]
    assert any("code 0 is dead" in cause for cause in causes)
    assert any("code 1 is dead" in cause for cause in causes)


def test_a_collapsed_output_is_noticed(tiny, dataset):
    def without_kernels(state):
        g = jax.tree.map(jnp.zeros_like, state.nets["g"].params)
        nets = state.nets | {"g": state.nets["g"].replace(params=g)}
        return state.replace(nets=nets)

    rows = train(rates(tiny, 3e-3, 0.0), dataset, 2 * watch.WINDOW, without_kernels)
    assert any("collapsed" in cause for _, cause in alarms(tiny, rows))


@pytest.mark.parametrize(("at", "first"), [(0, 2), (900, 8), (10_000, None)])
def test_a_code_is_judged_once_its_schedule_has_asked_for_it_a_while(tiny, at, first):
    """A window is 300 updates, the patience 1,500: 900 + 1,500 is the eighth's end."""
    late = schedules.Switch(before=0.001, after=1.0, at=at)
    objective = (NonSaturating(), MutualInformation(weight=(1.0, late)))
    config = dataclasses.replace(tiny, objective=objective)
    rows = [HEALTHY | {"info/1": 0.0}] * 10 * watch.WINDOW
    steps = [step for step, _ in alarms(config, rows)]
    assert steps == ([] if first is None else [first * watch.WINDOW])


def test_a_code_that_was_not_asked_for_in_between_is_judged_after_a_while(tiny):
    """Not from 1,001 to 1,500; and 1,500 updates later the tenth window ends."""
    gap = schedules.Switch(1.0, schedules.Switch(0.0, 1.0, at=1500), at=1000)
    objective = (NonSaturating(), MutualInformation(weight=(1.0, gap)))
    config = dataclasses.replace(tiny, objective=objective)
    read, unread = HEALTHY, HEALTHY | {"info/1": 0.0}
    rows = [read] * 900 + [unread] * 3600
    assert [step for step, _ in alarms(config, rows)] == [10 * watch.WINDOW]


def test_a_schedule_is_asked_for_the_weight_of_an_array(tiny):
    """As in training: one of a user's own may want its dtype."""
    late = jax.tree_util.Partial(lambda step: step.astype(jnp.float32) / 1000)
    objective = (NonSaturating(), MutualInformation(weight=(1.0, late)))
    config = dataclasses.replace(tiny, objective=objective)
    rows = [HEALTHY | {"info/1": 0.0}] * 10 * watch.WINDOW
    assert [step for step, _ in alarms(config, rows)] == [1800]


@pytest.mark.parametrize("name", ["RELEASED", "TUTORIAL", "MODIFIED"])
def test_a_code_of_fixed_sigma_is_judged_by_what_it_can_reach(name):
    """At sigma 1 L_I is -0.226 nats at best, and -0.392 for a Q that sees nothing."""
    config = getattr(presets, name)
    read = {f"info/{i}": -0.23 for i in range(len(config.codes.parts))}
    if name != "MODIFIED":
        read["info/0"] = 2.2
    assert alarms(config, [HEALTHY | read] * 2 * watch.WINDOW) == []
    [(_, cause)] = alarms(config, [HEALTHY | read | {"info/1": -0.39}] * 600)
    assert "code 1 is dead" in cause


def test_a_code_that_two_terms_ask_for_is_one_alarm(tiny):
    terms = MutualInformation(weight=1.0), MutualInformation(weight=0.5, name="more")
    config = dataclasses.replace(tiny, objective=(NonSaturating(), *terms))
    [(_, cause)] = alarms(config, [HEALTHY | {"info/0": -9.0}] * 3 * watch.WINDOW)
    assert "code 0 is dead" in cause


def test_a_code_of_weight_zero_is_not_asked_for(tiny):
    objective = (NonSaturating(), MutualInformation(weight=(1.0, 0.0)))
    config = dataclasses.replace(tiny, objective=objective)
    rows = [HEALTHY | {"info/1": 0.0}] * 2 * watch.WINDOW
    assert alarms(config, rows) == []


def test_a_plain_gan_is_not_asked_for_codes(tiny):
    plain = dataclasses.replace(tiny, objective=(NonSaturating(), Recognition()))
    rows = [HEALTHY | {"info/0": 0.0}] * 2 * watch.WINDOW
    assert alarms(plain, rows) == []


def test_a_resumed_log_knows_the_alarms_of_before(tiny, tmp_path):
    sick = HEALTHY | {"info/0": 0.0}
    rows = [sick | {"step": step} for step in range(1, 3 * watch.WINDOW)]
    [alarm] = records.Log(tmp_path, tiny, 0.0, rows).alarms
    assert alarm["step"] == 2 * watch.WINDOW and "code 0 is dead" in alarm["cause"]


@pytest.mark.parametrize(
    ("metric", "value"),
    [("d/accuracy", 0.99), ("g/spread", 0.2), ("info/0", 0.12), ("info/1", 0.06)],
)
def test_nearly_sick_is_no_alarm(tiny, metric, value):
    assert alarms(tiny, [HEALTHY | {metric: value}] * 2 * watch.WINDOW) == []


@pytest.mark.parametrize(("metric", "value"), [("info/0", 0.10), ("info/1", 0.04)])
def test_a_code_is_dead_below_a_tenth_of_what_can_be_read(tiny, metric, value):
    [(_, cause)] = alarms(tiny, [HEALTHY | {metric: value}] * 2 * watch.WINDOW)
    assert "is dead" in cause


def test_a_code_is_judged_from_the_first_update_that_teaches_it(tiny):
    late = Update("late", ("g",), lr=1e-3, begin=5 * watch.WINDOW)
    term = MutualInformation(updates=("g", "late"))
    config = dataclasses.replace(
        tiny, updates=(*tiny.updates, late), objective=(NonSaturating(), term)
    )
    dead = HEALTHY | {"info/0": 0.0, "late/spread": 0.9}
    [(step, cause)] = alarms(config, [dead] * 3 * watch.WINDOW)
    assert step == 2 * watch.WINDOW and "code 0 is dead" in cause


@pytest.mark.parametrize(
    ("nets", "metric", "value", "words"),
    [
        (("d",), "late/accuracy", 1.0, "D has won"),
        (("g",), "late/spread", 0.01, "collapsed"),
    ],
)
def test_every_update_is_judged_by_its_own_metrics(tiny, nets, metric, value, words):
    late = Update("late", nets, lr=1e-3)
    config = dataclasses.replace(tiny, updates=(*tiny.updates, late))
    [(step, cause)] = alarms(config, [HEALTHY | {metric: value}] * 2 * watch.WINDOW)
    assert step == 2 * watch.WINDOW and words in cause and metric in cause
