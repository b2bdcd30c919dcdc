"""What a run writes before and while it trains: who may, when, what a kill leaves."""

import dataclasses
import errno
import json
import os
import pathlib
import signal
import threading

import pytest
import tiny_experiment

from infogan_jax import data
from infogan_jax.host import console, json_files, paths, signals
from infogan_jax.runs import records

SEEN = {
    "d/accuracy": 0.9,
    "g/spread": 0.9,
    "info/0": 1.0,
    "info/1": 1.0,
    "info/lower_bound": 2.0,
}


def test_a_lock_names_its_own_process_alone(tmp_path):
    (tmp_path / ".lock").write_text("12345678901234567890")  # A dead one's.
    with records.lock(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


@pytest.fixture
def killed_in(tmp_path, monkeypatch):
    """Makes of `tmp_path` what a kill in writing a file there leaves."""

    class Killed(BaseException):
        pass

    def kill(number):
        raise Killed

    def write(*whole):
        for name in whole:
            (tmp_path / name).touch()
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", kill)
            patched.setattr(pathlib.Path, "unlink", lambda _: None)  # Nobody tidies up.
            with pytest.raises(Killed):
                paths.write(tmp_path / "x", b"half")
        assert len(list(tmp_path.iterdir())) == len(whole) + 1

    return write


@pytest.mark.parametrize("whole", [[], ["config.json"], sorted(records._HEADER)])
def test_a_run_may_begin_where_one_was_killed_in_its_header(tmp_path, killed_in, whole):
    killed_in(".lock", *whole)
    assert records.is_new(tmp_path)
    (tmp_path / "letter").touch()
    assert not records.is_new(tmp_path)


@pytest.mark.parametrize("whole", [[], ["metrics.jsonl"], ["accuracy.jsonl"]])
def test_a_run_killed_in_writing_its_options_or_logs_is_unsaved(
    tmp_path, killed_in, whole
):
    killed_in(".lock", "run.json", *whole)
    assert records.is_unsaved(tmp_path)
    assert not records.is_new(tmp_path)


def test_a_directory_whose_lock_cannot_be_written_keeps_its_files(
    tmp_path, monkeypatch
):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "mine").touch()
    monkeypatch.setattr(records, "_take", full)
    with pytest.raises(console.Stop, match="cannot write to"), records.lock(tmp_path):
        pass
    assert (tmp_path / "mine").exists()


def test_a_lock_may_wait_for_another(tmp_path):
    pytest.importorskip("fcntl")
    entered = []

    def second():
        with records.lock(tmp_path, wait=True):
            entered.append("second")

    thread = threading.Thread(target=second)
    with records.lock(tmp_path):
        thread.start()
        thread.join(0.2)
        entered.append("first")
    thread.join()
    assert entered == ["first", "second"]


def test_a_lock_goes_with_its_with_though_a_child_has_the_file(tmp_path):
    pytest.importorskip("fcntl")
    with records.lock(tmp_path), (tmp_path / ".lock").open() as again:
        opened = pathlib.Path("/proc/self/fd")
        if not opened.is_dir():
            pytest.skip("open files are not listed here")
        ours = [
            int(one.name)
            for one in opened.iterdir()
            if os.path.realpath(one) == str((tmp_path / ".lock").resolve())
        ]
        [of_lock] = [number for number in ours if number != again.fileno()]
        kept = os.dup(of_lock)  # As a child has it that was forked here.
    with records.lock(tmp_path):
        os.close(kept)


def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch, capsys):
    fcntl = pytest.importorskip("fcntl")

    def missing(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", missing)
    with records.lock(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()
    said = f"{tmp_path / 'run'} cannot be locked (No locks available): keep other"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", ['{"step": 2, "loss": null}', '{"loss": 1.0}', "[2]", '{"step": "2"}', "2"]
)
def test_a_log_ends_where_a_line_is_none_of_its_own(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 0.5}\n' + line + '\n{"step": 3}\n')
    assert json_files.rows(path) == [{"step": 1, "loss": 0.5}]


@pytest.mark.parametrize("line", [100_000 * "[", "{"])
def test_rows_end_at_the_first_that_cannot_be_read(tmp_path, line):
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n')
    assert json_files.rows(path) == [{"step": 1}]
    with pytest.raises(ValueError, match=f"{path} is damaged"):
        json_files.read_lines(path)


@pytest.fixture
def synced(monkeypatch):
    """The size that each file had when it was last brought to the disk, by inode."""
    sizes = {}

    def fsync(number):
        found = os.fstat(number)
        sizes[found.st_ino] = found.st_size

    monkeypatch.setattr(os, "fsync", fsync)
    return sizes


def test_a_json_file_is_on_the_disk_before_it_has_its_name(synced, tmp_path):
    json_files.write(tmp_path / "x.json", {"a": 1})
    found = (tmp_path / "x.json").stat()
    assert synced == {found.st_ino: found.st_size}


def test_a_flushed_log_is_on_the_disk(tiny, synced, tmp_path):
    with records.Log(tmp_path, tiny, 0.0) as log:
        log.add(0, 1, {name: [value] for name, value in SEEN.items()})
        log.flush()
        for name in records.LOGS:
            found = (tmp_path / f"{name}.jsonl").stat()
            assert synced[found.st_ino] == found.st_size
    assert (tmp_path / "metrics.jsonl").stat().st_size > 0


def test_a_run_can_be_resumed_only_once_its_header_is_whole(
    tiny, tmp_path, monkeypatch
):
    written = []
    monkeypatch.setattr(
        json_files, "write_text", lambda path, _: written.append(path.name)
    )
    whole = data.load("bundled")
    records.write_header(tmp_path, tiny, tiny_experiment.defaults(True), whole, False)
    assert written == ["config.json", "environment.json", "run.json"]


def test_how_many_updates_a_run_began_with_is_kept(tiny, tmp_path):
    short, whole = tiny_experiment.defaults(True), data.load("bundled")
    longer = dataclasses.replace(short, steps=short.steps + 1)
    for options, resume in ((short, False), (longer, True)):
        records.write_header(tmp_path, tiny, options, whole, resume)
    told = {
        name: json.loads((tmp_path / name).read_text())["steps"]
        for name in ("environment.json", "run.json")
    }
    assert told == {"environment.json": short.steps, "run.json": longer.steps}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_only_the_first_signal_waits_and_only_where_deferred(number, capfd):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with signals.Interrupts() as interrupts:
        with interrupts.deferred():
            pass
        with pytest.raises(signals.Interrupted) as raised:
            signal.raise_signal(number)
        assert raised.value.signal == number
    assert capfd.readouterr().err == ""
    with signals.Interrupts() as interrupts, interrupts.deferred():
        signal.raise_signal(number)
        assert interrupts.signal == number
        for each in (signal.SIGINT, signal.SIGTERM):
            assert signal.getsignal(each) == signal.SIG_DFL
    assert "a second signal kills at once" in capfd.readouterr().err
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_what_is_no_file_is_not_written_over(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe is no file; name another"):
        paths.check_new(tmp_path / "pipe")


def test_a_run_records_what_it_may_use_and_how_many_images(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 7, 9}, raising=False)
    whole = data.load("bundled")
    records.write_header(tmp_path, tiny, tiny_experiment.defaults(True), whole, False)
    told = json_files.read(tmp_path / "environment.json")
    assert told["cpus"] == 3
    assert (told["dataset"]["train"], told["dataset"]["test"]) == (10_000, 2_000)
