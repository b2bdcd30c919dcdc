"""`mnist_seeds.py --at-once`: the runs that it leaves are those of each seed alone."""

import dataclasses
import json
import shutil
import signal

import mnist_seeds
import numpy as np
import pytest
import seeds_at_once
import tiny_experiment
from helpers import read_lines

import infogan_jax
from infogan_jax import checkpoint

ROUNDING = {"rel": 1e-4, "abs": 1e-4}  # one program for some seeds, one for each


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "images.npz"
    drawn = rng.integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(path, image=drawn, label=np.arange(60) % 3)
    return f"npz:{path}"


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """Figures, much of these tests' time, are drawn where they are looked at alone."""
    if request.function is not test_seeds_at_once_leave_the_runs_of_each:
        monkeypatch.setattr(seeds_at_once.program, "write_figures", lambda *_: None)


@pytest.mark.parametrize(("devices", "said"), [("1", "1 of 8"), ("4", "2 of 8")])
def test_seeds_at_once_leave_the_runs_of_each(images, tmp_path, devices, said, capsys):
    options = ["--data", images, "--steps", "5", "--devices", devices]
    alone, out = tmp_path / "alone", tmp_path / "together"
    assert tiny_experiment.main([*options, "--seed", "4", "--out", str(alone)]) == 0
    capsys.readouterr()
    seeds_at_once.train(tiny_experiment, out, [1, 4], options)
    assert f"devices: {said} (cpu), seeds on each" in capsys.readouterr().out
    run = out / "seed-4"
    began = [json.loads((r / "environment.json").read_text()) for r in (run, alone)]
    assert [place["seeds_at_once"] for place in began] == [2, 1]
    for name in ("config.json", "run.json"):
        assert (run / name).read_text() == (alone / name).read_text()
    found, expected = (read_lines(r / "metrics.jsonl") for r in (run, alone))
    assert [row["step"] for row in found] == [1, 2, 3, 4, 5]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, **ROUNDING)
    steps = [row["step"] for row in read_lines(run / "accuracy.jsonl")]
    assert steps == [row["step"] for row in read_lines(alone / "accuracy.jsonl")]
    assert infogan_jax.restore(run)[1].step == 5
    reports = [json.loads((r / "evaluation.json").read_text()) for r in (run, alone)]
    assert reports[0].keys() == reports[1].keys()
    drawn = [sorted(path.name for path in r.glob("*.png")) for r in (run, alone)]
    assert drawn[0] == drawn[1] and "curves.png" in drawn[0]
    assert read_lines(out / "seed-1" / "metrics.jsonl") != found


def test_seeds_are_split_over_devices_that_would_not_divide_a_batch(capsys):
    options = dataclasses.replace(tiny_experiment.defaults(True), devices=3)
    assert options.batch_size % 3
    seeds_at_once.places(6, options)
    assert "devices: 3 of 8 (cpu), seeds on each: 2" in capsys.readouterr().out


def test_what_has_begun_is_left_and_what_was_killed_begins_anew(images, tmp_path):
    options = ["--data", images]
    seeds_at_once.train(tiny_experiment, tmp_path, [0, 1], options)
    finished = (tmp_path / "seed-0" / "metrics.jsonl").read_text()
    # As a kill before the end leaves it: a header and a part of the logs.
    killed = tmp_path / "seed-1"
    whole = (killed / "metrics.jsonl").read_text()
    shutil.rmtree(killed / "checkpoints")
    (killed / "evaluation.json").unlink()
    (killed / "metrics.jsonl").write_text(whole[: len(whole) // 2])
    for figure in killed.glob("*.png"):
        figure.unlink()
    # As a committed result: finished, and without its checkpoints.
    shutil.rmtree(tmp_path / "seed-0" / "checkpoints")
    seeds_at_once.train(tiny_experiment, tmp_path, [0, 1], options)
    assert (tmp_path / "seed-0" / "metrics.jsonl").read_text() == finished
    assert not (tmp_path / "seed-0" / "checkpoints").exists()
    again = (killed / "metrics.jsonl").read_text()
    assert [json.loads(row) for row in again.splitlines()] == [
        pytest.approx(json.loads(row), **ROUNDING) for row in whole.splitlines()
    ]
    assert infogan_jax.restore(killed)[1].step == 4


def test_killed_seeds_go_on_from_their_last_save(images, tmp_path, monkeypatch):
    options = ["--data", images, "--steps", "6"]
    seeds_at_once.train(tiny_experiment, tmp_path / "whole", [0, 1], options)
    train_steps, calls = seeds_at_once.population.train_steps, []

    def killed(*arguments, **named):
        calls.append(named["steps"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train_steps(*arguments, **named)

    out = tmp_path / "killed"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(seeds_at_once, "SAVE_EVERY_S", 0)
        patched.setattr(seeds_at_once.population, "train_steps", killed)
        seeds_at_once.train(tiny_experiment, out, [0, 1], options)
    assert checkpoint.steps(out / "seed-1") == [2, 4]
    seeds_at_once.train(tiny_experiment, out, [0, 1], options)  # None is new.
    for seed in (0, 1):
        assert mnist_seeds.train(tiny_experiment, out, seed, options) == 0
        whole, run = (tmp_path / name / f"seed-{seed}" for name in ("whole", "killed"))
        for name in ("metrics.jsonl", "accuracy.jsonl"):
            expected = [
                pytest.approx(row, **ROUNDING) for row in read_lines(whole / name)
            ]
            assert read_lines(run / name) == expected


def test_a_seed_that_fails_leaves_the_others(images, tmp_path, monkeypatch, capsys):
    train_steps = seeds_at_once.population.train_steps

    def poisoned(config, states, *arguments, **options):
        states, metrics = train_steps(config, states, *arguments, **options)
        params = states.nets["g"].params
        kernel = params["Dense_0"]["kernel"].at[1].set(np.nan)
        params["Dense_0"]["kernel"] = kernel
        return states, metrics

    monkeypatch.setattr(seeds_at_once.population, "train_steps", poisoned)
    monkeypatch.setattr(mnist_seeds, "mnist", tiny_experiment)
    options = ["--data", images, "--bfloat16", "--out", str(tmp_path)]
    assert mnist_seeds.main(["--at-once", "--seeds", "4,7,2", *options]) == 1
    said = capsys.readouterr().err
    assert "seed 7: a parameter is not finite after update 2" in said
    assert said.endswith("error: training has failed for seeds 7.\n")
    assert not (tmp_path / "seed-7" / "checkpoints").exists()
    for seed in (4, 2):
        config, state = infogan_jax.restore(tmp_path / f"seed-{seed}")
        assert state.step == 4 and config.compute_dtype == "bfloat16"
    reports = json.loads((tmp_path / "report.json").read_text())
    assert [report["seed"] for report in reports] == [2, 4]


def test_a_seed_that_fails_alone_leaves_the_others(images, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist_seeds, "mnist", tiny_experiment)
    seeds = ["--seeds", f"{tiny_experiment.SICK},3"]
    argv = [*seeds, "--data", images, "--out", str(tmp_path)]
    assert mnist_seeds.main(argv) == 1
    [report] = json.loads((tmp_path / "report.json").read_text())
    assert report["seed"] == 3


@pytest.mark.parametrize(
    ("place", "name", "saved"),
    [(seeds_at_once.population, "train_steps", 2), (seeds_at_once.loop, "settle", 4)],
)
def test_a_signal_saves_all_seeds(
    images, tmp_path, monkeypatch, capsys, place, name, saved
):
    work, numbers = getattr(place, name), [signal.SIGTERM]

    def interrupted(*arguments, **options):
        if numbers:  # A second signal would kill.
            signal.raise_signal(numbers.pop())
        return work(*arguments, **options)

    monkeypatch.setattr(mnist_seeds, "mnist", tiny_experiment)
    argv = ["--at-once", "--seeds", "0-1", "--data", images, "--out", str(tmp_path)]
    argv += ["--steps", "6"]
    with monkeypatch.context() as patched:
        patched.setattr(place, name, interrupted)
        assert mnist_seeds.main(argv) == 128 + signal.SIGTERM
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"interrupted; saved after {saved} of 6 updates")
    for seed in (0, 1):
        assert checkpoint.steps(tmp_path / f"seed-{seed}") == [saved]
    assert mnist_seeds.main(argv) == 0
    assert max(checkpoint.steps(tmp_path / "seed-1")) == 6


def test_what_fails_after_the_training_costs_no_seed_its_state(
    images, tmp_path, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(seeds_at_once.program, "write_figures", full)
    with pytest.raises(OSError, match="No space left"):
        seeds_at_once.train(tiny_experiment, tmp_path, [0, 1], ["--data", images])
    for seed in (0, 1):
        assert checkpoint.steps(tmp_path / f"seed-{seed}") == [4]


def test_what_is_no_killed_run_is_not_written_over(images, tmp_path):
    out = tmp_path / "seeds"
    for name in ("notes.txt", "metrics.jsonl"):
        (out / "seed-1").mkdir(parents=True, exist_ok=True)
        (out / "seed-1" / name).write_text("mine")
    run = out / "seed-2"
    (run / "damaged").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    for seed in (1, 2):
        with pytest.raises(seeds_at_once.console.Stop, match="killed before its fir"):
            seeds_at_once.train(tiny_experiment, out, [seed], ["--data", images])
    left = {path.name for path in out.rglob("*") if path.is_file()}
    assert left == {"notes.txt", "metrics.jsonl", "run.json"}


def test_a_run_that_was_saved_meanwhile_is_not_written_over(tmp_path):
    run = tmp_path / "seed-0"
    (run / "checkpoints" / "10").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    with pytest.raises(
        seeds_at_once.console.Stop, match="killed before its first save"
    ):
        seeds_at_once.check_unsaved(run)
    (run / "checkpoints" / "10").rmdir()
    seeds_at_once.check_unsaved(run)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (["--data", "bundld"], "Did you mean 'bundled'"),
        (["--data", "bundled", "--quick", "--batch-size", "1"], "at least 2"),
        (["--data", "bundled", "--out", "a[1]"], "its path must be without [ ]"),
        (["--data", "bundled", "--devices", "9"], "--devices 9, but there are only 8"),
    ],
)
def test_nonsense_is_one_line(wish, message, tmp_path, capsys):
    out = tmp_path / "seeds"
    argv = ["--at-once", "--seeds", "0-1", "--out", str(out), *wish]
    assert mnist_seeds.main(argv) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert not out.exists()
