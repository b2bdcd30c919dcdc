"""Kills, signals, damage, a second process: a run goes on as if nothing had happened.

The runs are processes of their own, forked from a server that has imported everything:
a start takes a second instead of five.
"""

import json
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import types

import jax
import numpy as np
import pytest
import tiny_experiment
from helpers import read_lines

import infogan_jax
from infogan_jax import checkpoint, data
from infogan_jax.host import console, json_files
from infogan_jax.runs import loop, program, records

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tiny_experiment", "infogan_jax.checkpoint"])


@pytest.fixture(scope="session")
def arguments(dataset, tmp_path_factory):
    """Of every run here, but for --out and --steps."""
    path = tmp_path_factory.mktemp("images") / "images.npz"
    np.savez(path, image=dataset["image"], label=dataset["label"])
    return ["--data", f"npz:{path}", "--save-every", "20", "--evaluate-every", "50"]


@pytest.fixture
def start(tmp_path):
    """Starts a run; all that it prints goes to tmp_path/printed."""
    begun = []

    def begin(*arguments):
        arguments = [str(argument) for argument in arguments], tmp_path / "printed"
        process = PROCESSES.Process(
            target=tiny_experiment.in_background, args=arguments
        )
        process.start()
        begun.append(process)
        return process

    yield begin
    for process in begun:  # What a failed test has left.
        process.kill()
        process.join()


@pytest.fixture
def finish(start):
    """Runs to the end; returns the status."""

    def run(*arguments):
        process = start(*arguments)
        process.join()
        return process.exitcode

    return run


def wait_until(condition, process=None):
    """Polls; false if the process ends before the condition is met."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        if process is not None and not process.is_alive():
            return False
        time.sleep(0.002)
    return True


def assert_same_run(one, other):
    for name in ("metrics.jsonl", "accuracy.jsonl"):
        assert (one / name).read_text() == (other / name).read_text()
    (config, ours), (theirs_config, theirs) = map(infogan_jax.restore, (one, other))
    assert config == theirs_config
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def is_saving(out):
    folder = out / "checkpoints"
    return folder.is_dir() and any("tmp" in path.name for path in folder.iterdir())


def newest(out):
    return max(checkpoint.steps(out), default=0) if out.is_dir() else 0


@pytest.mark.parametrize(
    ("times", "steps", "devices"),
    [
        (3, 400, 1),
        pytest.param(2, 200, 8, marks=pytest.mark.slow),
        pytest.param(24, 6000, 1, marks=pytest.mark.slow),
    ],
)
def test_killed_runs_go_on_as_if_nothing_had_happened(
    arguments, tmp_path, start, finish, times, steps, devices
):
    """The first time as they start, then in a save and between saves in turns."""
    arguments = [*arguments, "--devices", devices]
    out, rng = tmp_path / "killed", random.Random(0)
    kills = 0
    while kills < times:
        begun = (out / "run.json").exists()
        process = start(
            *(["--resume"] if begun else [*arguments, "--steps", steps]), "--out", out
        )
        if not kills:
            time.sleep(rng.uniform(0.0, 1.0))
        elif kills % 2:
            assert wait_until(lambda: is_saving(out), process), "ended without a save"
        else:
            before = newest(out)
            assert wait_until(lambda: newest(out) > before, process), "it has ended"  # noqa: B023
            time.sleep(rng.uniform(0.0, 0.1))
        assert process.is_alive(), "the run is too short to be killed so often"
        process.kill()
        process.join()
        kills += 1
    assert finish("--out", out, "--resume") == 0
    whole = tmp_path / "whole"
    assert finish(*arguments, "--out", whole, "--steps", steps) == 0
    assert_same_run(out, whole)


def test_a_second_signal_ends_the_run_at_once_without_damage(
    arguments, tmp_path, start
):
    out = tmp_path / "run"
    process = start(*arguments, "--out", out, "--steps", 100_000)
    wait_until(lambda: out.is_dir() and bool(checkpoint.steps(out)), process)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    process.join(timeout=60)
    # Killed by the second, or fast enough to have been saved after the first.
    assert process.exitcode in (-signal.SIGINT, 130)
    assert infogan_jax.restore(out)[1].step == checkpoint.steps(out)[-1]
    with records.lock(out):
        assert records.last_logged(out, None) >= checkpoint.steps(out)[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(arguments, tmp_path, start, number):
    out = tmp_path / "run"
    process = start(*arguments, "--save-every", 10**6, "--out", out, "--steps", 10**6)
    wait_until(lambda: (out / "accuracy.jsonl").exists(), process)
    wait_until(lambda: (out / "metrics.jsonl").stat().st_size > 0, process)
    os.kill(process.pid, number)
    process.join(timeout=60)
    assert process.exitcode == 128 + number
    [saved] = checkpoint.steps(out)
    assert records.last_logged(out, None) == saved
    printed = (tmp_path / "printed").read_text()
    assert f"saved after {saved} of" in printed and f"--out {out} --resume" in printed
    assert "Traceback" not in printed


def test_a_second_process_is_refused_and_a_dead_one_leaves_no_lock(
    arguments, tmp_path, start, capsys
):
    out = tmp_path / "run"
    process = start(*arguments, "--out", out, "--steps", 100_000)
    wait_until(lambda: out.is_dir() and bool(checkpoint.steps(out)), process)
    before = infogan_jax.restore(out)[1].step
    assert tiny_experiment.main(["--out", str(out), "--resume"]) == 2
    assert f"is being written by process {process.pid}" in capsys.readouterr().err
    assert process.is_alive()
    process.kill()
    process.join()
    with records.lock(out):
        assert infogan_jax.restore(out)[1].step >= before


# Damage. A run of six updates, saved after every second.


@pytest.fixture(scope="session")
def short(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("short")
    np.savez(folder / "images.npz", image=dataset["image"], label=dataset["label"])
    out = folder / "run"
    arguments = [
        "--data",
        f"npz:{folder}/images.npz",
        "--steps",
        "6",
        "--out",
        str(out),
    ]
    assert tiny_experiment.main(arguments) == 0
    return out


@pytest.fixture
def copied(short, tmp_path, monkeypatch):
    """A copy of the run that may be spoilt; its report is not made again."""
    report = {"codes": [], "parameters": 0, "step": 6}
    monkeypatch.setattr(program.evaluation, "evaluate", lambda *_: dict(report))
    monkeypatch.setattr(program, "write_figures", lambda *_: None)
    return pathlib.Path(shutil.copytree(short, tmp_path / "copy"))


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def remove(path):
    path.unlink()


def resume(out):
    return tiny_experiment.main(["--out", str(out), "--resume"])


@pytest.mark.parametrize("spoil", [truncate, flip, remove])
def test_a_damaged_file_is_never_a_silently_wrong_state(short, tmp_path, spoil):
    whole = infogan_jax.restore(short)[1]
    files = [p for p in (short / "checkpoints" / "6").rglob("*") if p.is_file()]
    assert len(files) > 5
    noticed = 0
    for number, file in enumerate(files):
        if file.stat().st_size == 0 and spoil is not remove:
            continue
        out = tmp_path / str(number)
        shutil.copytree(short / "checkpoints" / "6", out / "checkpoints" / "6")
        spoil(out / "checkpoints" / file.relative_to(short / "checkpoints"))
        try:
            state = infogan_jax.restore(out)[1]
        except ValueError as error:
            assert str(out / "checkpoints" / "6") in str(error)
            noticed += 1
        else:  # Nothing that matters was in that file.
            jax.tree.map(np.testing.assert_array_equal, state, whole)
    assert noticed >= 3


@pytest.mark.parametrize("spoil", [truncate, flip, remove])
def test_a_run_falls_back_to_the_newest_whole_checkpoint(short, copied, capsys, spoil):
    for step, name in ((6, "state/manifest.ocdbt"), (4, "checksums/metadata")):
        spoil(copied / "checkpoints" / str(step) / name)
    assert resume(copied) == 0
    printed = capsys.readouterr().out
    assert "the checkpoint of update 6 cannot be used" in printed
    assert "going on from update 2" in printed
    assert sorted(p.name for p in (copied / "damaged").iterdir()) == ["4-0", "6-0"]
    assert checkpoint.steps(copied) == [2, 4, 6]
    (_, ours), (_, theirs) = infogan_jax.restore(copied), infogan_jax.restore(short)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert (copied / "metrics.jsonl").read_text() == (
        short / "metrics.jsonl"
    ).read_text()


def test_a_finished_run_that_goes_on_is_bitwise_the_longer_run(copied, tmp_path):
    longer = tmp_path / "longer"
    data = json.loads((copied / "run.json").read_text())["data"]
    whole = ["--data", data, "--out", str(longer), "--steps", "12"]
    assert tiny_experiment.main(whole) == 0
    more = ["--out", str(copied), "--resume", "--steps", "12"]
    assert tiny_experiment.main(more) == 0
    assert_same_run(copied, longer)


def test_a_run_without_a_whole_checkpoint_stops_and_says_so(copied, capsys):
    for step in (2, 4, 6):
        truncate(copied / "checkpoints" / str(step) / "checksums" / "metadata")
    before = sorted(copied.rglob("*"))
    assert resume(copied) == 2
    captured = capsys.readouterr()
    assert "no checkpoint from which its run could go on" in captured.err
    assert captured.out.count("is damaged") == 3
    assert sorted(copied.rglob("*")) == before


@pytest.mark.parametrize("kept", [5.5, 4.0, 3.7, 2.2])
def test_a_log_that_was_cut_is_made_whole(short, copied, capsys, kept):
    log = (short / "metrics.jsonl").read_text()
    lines = log.splitlines(keepends=True)
    end = int(kept)
    cut = "".join(lines[:end]) + lines[end][: int(len(lines[end]) * (kept - end))]
    (copied / "metrics.jsonl").write_text(cut)
    assert resume(copied) == 0
    assert (copied / "metrics.jsonl").read_text() == log
    assert f"going on from update {end // 2 * 2}" in capsys.readouterr().out


def test_a_line_of_timings_that_was_cut_is_dropped(copied):
    """It would be the beginning of the next one, which no report could read."""
    path = copied / "timings.jsonl"
    path.write_text(path.read_text()[:-5])
    shutil.rmtree(copied / "checkpoints" / "6")
    assert resume(copied) == 0
    # The last line is the report's, which is not made here.
    assert [row["step"] for row in read_lines(path)] == [2, 4]


def test_a_disk_that_is_not_mounted_costs_a_run_nothing(copied, tmp_path, capsys):
    """Its logs are not those of a run that was killed before its first save."""
    disk = (copied / "checkpoints").rename(tmp_path / "disk")
    (copied / "checkpoints").symlink_to(disk)
    away = disk.rename(tmp_path / "away")
    before = {path: path.read_bytes() for path in copied.glob("*.json*")}
    assert resume(copied) == 2
    assert f"leads to {disk}, which is not there; mount it" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in copied.glob("*.json*")} == before
    assert not records.is_unsaved(copied)  # So that no other begins there.
    away.rename(disk)
    assert resume(copied) == 0


@pytest.mark.parametrize("kept", [0, 1])
def test_a_log_of_accuracies_that_was_cut_is_made_whole(short, copied, kept):
    lines = (short / "accuracy.jsonl").read_text().splitlines(keepends=True)
    (copied / "accuracy.jsonl").write_text("".join(lines[:kept]))
    assert resume(copied) == 0
    # The last line is the report's, which is not made here.
    assert (copied / "accuracy.jsonl").read_text() == "".join(lines[:-1])


def test_a_log_that_ends_before_every_checkpoint_stops_the_run(copied, capsys):
    (copied / "metrics.jsonl").write_text("")
    assert resume(copied) == 2
    captured = capsys.readouterr()
    assert "logs are whole only up to update 0" in captured.out
    assert "put the damaged files back" in captured.err


def edited(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda out: (out / "config.json").write_text("nonsense"),
            "config.json cannot be used",
        ),
        (
            lambda out: (out / "config.json").write_bytes(b"\xff\xfe"),
            "config.json cannot be used",
        ),
        (lambda out: (out / "config.json").unlink(), "config.json is missing"),
        (lambda out: edited(out / "config.json", kind="Confg"), "unknown kind 'Confg'"),
        (lambda out: edited(out / "config.json", ema=1), "has no field ['ema']"),
        (
            lambda out: edited(out / "config.json", ema_decay=7),
            "ema_decay must lie in [0, 1)",
        ),
        (lambda out: edited(out / "config.json", ema_decay=0.5), "is not the config"),
        (
            lambda out: (out / "environment.json").unlink(),
            "environment.json is missing",
        ),
        (lambda out: edited(out / "environment.json", dataset=3), "names no dataset"),
        (
            lambda out: (out / "environment.json").write_text(100_000 * "["),
            "environment.json cannot be used",
        ),
        (lambda out: (out / "run.json").write_text(100_000 * "["), "run.json is dam"),
        (lambda out: (out / "run.json").write_text("[]"), "run.json is damaged"),
        (lambda out: edited(out / "run.json", steps="6"), "run.json is damaged"),
        (lambda out: edited(out / "run.json", spin=1), "run.json is damaged"),
    ],
)
def test_a_damaged_json_file_is_named(copied, capsys, spoil, words):
    spoil(copied)
    assert resume(copied) == 2
    captured = capsys.readouterr()
    assert words in captured.err and str(copied) in captured.err
    assert len(captured.err.splitlines()) == 1


def test_another_version_of_the_library_may_go_on(short, copied):
    edited(copied / "config.json", version="0.0.1")
    assert resume(copied) == 0
    (_, ours), (_, theirs) = infogan_jax.restore(copied), infogan_jax.restore(short)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.fixture
def wish(short):
    return ["--data", json.loads((short / "run.json").read_text())["data"]]


def test_only_the_newest_three_checkpoints_are_kept(copied):
    more = ["--out", str(copied), "--resume", "--steps", "8"]
    assert tiny_experiment.main(more) == 0
    assert checkpoint.steps(copied) == [4, 6, 8]


def test_saves_and_evaluations_keep_to_their_own_updates(copied, wish, tmp_path):
    out = tmp_path / "run"
    periods = ["--steps", "9", "--save-every", "4", "--evaluate-every", "3"]
    assert tiny_experiment.main([*wish, *periods, "--out", str(out)]) == 0
    assert [row["step"] for row in read_lines(out / "accuracy.jsonl")] == [3, 6]
    assert checkpoint.steps(out) == [4, 8, 9]


def test_a_full_disk_costs_a_run_that_goes_on_nothing(copied, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = sorted(copied.rglob("*"))
    monkeypatch.setattr(json_files, "write_text", full)
    assert resume(copied) == 2
    assert "cannot write to" in capsys.readouterr().err
    assert sorted(copied.rglob("*")) == before


def one_signal():
    """A function whose first call raises SIGTERM; a second signal would kill."""
    numbers = [signal.SIGTERM]
    return lambda *_: numbers and signal.raise_signal(numbers.pop())


def test_a_signal_while_the_data_come_is_its_status(tmp_path, monkeypatch):
    monkeypatch.setattr(program.data, "load", one_signal())
    out = tmp_path / "run"
    assert tiny_experiment.main(["--out", str(out)]) == 128 + signal.SIGTERM
    assert not out.exists()


def test_a_signal_in_the_last_save_ends_the_run(copied, monkeypatch, capsys):
    monkeypatch.setattr(loop, "give_memory_back", one_signal())
    more = ["--out", str(copied), "--resume", "--steps", "7"]
    assert tiny_experiment.main(more) == 128 + signal.SIGTERM
    assert "saved after 7 of 7 updates" in capsys.readouterr().out
    assert not (copied / "evaluation.json").exists()


def test_a_signal_in_the_last_second_is_the_status_of_a_finished_run(
    copied, monkeypatch, capsys
):
    monkeypatch.setattr(program.gc, "collect", one_signal())
    assert resume(copied) == 128 + signal.SIGTERM
    assert "minutes in all" in capsys.readouterr().out
    assert (copied / "evaluation.json").exists()


def test_a_report_of_an_earlier_end_does_not_outlive_it(copied, monkeypatch):
    monkeypatch.setattr(program.loop, "lead", lambda run, state, *_: (state, 15))
    more = ["--out", str(copied), "--resume", "--steps", "8"]
    assert tiny_experiment.main(more) == 128 + 15
    assert not (copied / "evaluation.json").exists()


def test_a_longer_run_has_no_accuracy_of_the_shorter_ones_end(copied):
    for steps in ("7", "8"):
        # The report is not made here: its line is put there by hand.
        more = ["--out", str(copied), "--resume", "--steps", steps]
        assert tiny_experiment.main(more) == 0
        with (copied / "accuracy.jsonl").open("a") as log:
            row = read_lines(copied / "accuracy.jsonl")[-1]
            log.write(json.dumps(row | {"step": int(steps)}) + "\n")
    steps = [row["step"] for row in read_lines(copied / "accuracy.jsonl")]
    assert steps == [2, 4, 6, 8]


def test_a_run_that_began_while_the_data_came_is_not_written_over(
    short, wish, tmp_path, monkeypatch, capsys
):
    out, load = tmp_path / "run", data.load

    def slow(*arguments):
        shutil.copytree(short, out)
        return load(*arguments)

    monkeypatch.setattr(program.data, "load", slow)
    assert tiny_experiment.main([*wish, "--out", str(out), "--steps", "5"]) == 2
    assert f"{out} exists" in capsys.readouterr().err
    assert (out / "run.json").read_text() == (short / "run.json").read_text()


def test_what_auto_has_loaded_is_what_a_run_goes_on_with(
    copied, wish, tmp_path, monkeypatch
):
    loaded = data.load(wish[1])
    monkeypatch.setattr(program.data, "load", lambda *_: loaded)
    out = tmp_path / "run"
    assert tiny_experiment.main(["--out", str(out), "--steps", "1"]) == 0
    assert json.loads((out / "run.json").read_text())["data"] == wish[1]


def test_the_alarms_of_a_resumed_run_are_in_its_report(copied, monkeypatch, capsys):
    def see(self, row):
        return ["odd"] if row["step"] in (3, 8) else []

    monkeypatch.setattr(records.watch.Watch, "see", see)
    more = ["--out", str(copied), "--resume", "--steps", "8"]
    assert tiny_experiment.main(more) == 0
    report = json.loads((copied / "evaluation.json").read_text())
    assert report["alarms"] == [{"step": n, "cause": "odd"} for n in (3, 8)]
    said = capsys.readouterr()
    assert "alarm after update 3: odd." in said.out
    assert "alarm after update 8: odd." in said.err  # At once.


def test_timings_count_the_seconds_up(short):
    timings = read_lines(short / "timings.jsonl")
    assert [row["step"] for row in timings] == [2, 4, 6]
    seconds = [row["seconds"] for row in timings]
    assert 0 <= seconds[0] <= seconds[1] <= seconds[2]


def test_a_checkpoint_that_cannot_be_read_just_now_stops_the_run(
    copied, monkeypatch, capsys
):
    def refuse(*_, **__):
        raise OSError("the disk is away")

    monkeypatch.setattr(checkpoint, "restore", refuse)
    assert resume(copied) == 2
    assert "the disk is away" in capsys.readouterr().err
    assert not (copied / "damaged").exists()


def test_the_way_to_sample_names_a_digit_that_there_is(copied, monkeypatch, capsys):
    report = {"codes": [], "parameters": 0, "step": 6, "label_of": [2, 0, 1]}
    monkeypatch.setattr(program.evaluation, "evaluate", lambda *_: dict(report))
    assert resume(copied) == 0
    assert "--digit 2 " in capsys.readouterr().out


def test_a_run_may_lie_at_home(wish, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for more in ([*wish, "--steps", "1"], ["--resume", "--steps", "2"]):
        assert tiny_experiment.main(["--out=~/run", *more]) == 0
    run = tmp_path / "home" / "run"
    assert [row["step"] for row in read_lines(run / "metrics.jsonl")] == [1, 2]
    assert checkpoint.steps(run) == [1, 2] and not (tmp_path / "~").exists()


def test_nobodys_home_is_refused(capsys):
    assert tiny_experiment.main(["--out=~nosuch/run"]) == 2
    assert "~nosuch/run: " in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--steps", "8"]])
def test_a_finished_run_whose_checkpoints_are_gone_is_left_as_it_is(
    copied, more, capsys
):
    (copied / "evaluation.json").write_text("{}")
    shutil.rmtree(copied / "checkpoints")
    before = {path: path.read_bytes() for path in copied.iterdir() if path.is_file()}
    assert tiny_experiment.main(["--out", str(copied), "--resume", *more]) == 2
    assert "finished run whose checkpoints are gone" in capsys.readouterr().err
    after = {path: path.read_bytes() for path in copied.iterdir() if path.is_file()}
    assert {p.name for p in before if before[p] != after[p]} <= {".lock"}


def test_a_run_that_was_moved_where_it_cannot_be_saved_is_refused_at_once(
    copied, tmp_path, capsys
):
    moved = copied.rename(tmp_path / "x[1]")
    more = ["--out", str(moved), "--resume", "--steps", "8"]
    assert tiny_experiment.main(more) == 2
    assert "must be without [ ]" in capsys.readouterr().err


def test_what_is_said_to_closed_streams_enters_no_log(tmp_path):
    program = f"""
import os, runpy
console = runpy.run_path({console.__file__!r})  # Without JAX: it is quick.
os.close(1), os.close(2)

def main():
    with open("log", "w") as log:
        os.write(1, b"somewhere"), os.write(2, b"else")
        log.write("own")
    return 0

console["run"](main)
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert (tmp_path / "log").read_text() == "own"


def test_a_run_without_labels_goes_on_from_its_newest_checkpoint(
    dataset, tmp_path, monkeypatch
):
    """No line of accuracy.jsonl is missing where there are to be none."""
    monkeypatch.setattr(program, "write_figures", lambda *_: None)
    images, out = tmp_path / "images.npz", tmp_path / "run"
    np.savez(images, image=dataset["image"])
    wish = ["--data", f"npz:{images}", "--out", str(out), "--steps", "6"]
    assert tiny_experiment.main(wish) == 0
    assert "accuracy" not in json_files.read(out / "evaluation.json")
    more = ["--out", str(out), "--resume", "--steps", "8"]
    assert tiny_experiment.main(more) == 0
    assert checkpoint.steps(out) == [4, 6, 8] and not (out / "damaged").exists()
    assert (out / "accuracy.jsonl").read_text() == ""


def test_the_figures_of_a_run_name_its_digits(state, key, tmp_path, monkeypatch):
    named, run = [], types.SimpleNamespace(directory=tmp_path, config=None, key=key)

    def figures(config, state, key, label_of=None):
        named.append(label_of)
        return {}

    monkeypatch.setattr(program.plotting, "figures", figures)
    for name in ("curves", "save"):
        monkeypatch.setattr(program.plotting, name, lambda *_: None)
    program.write_figures(run, state, {"label_of": [2, 0, 1]})
    assert named == [[2, 0, 1]]
