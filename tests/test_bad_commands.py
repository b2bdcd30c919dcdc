"""A wrong command is one line on stderr and status 2; it leaves nothing behind."""

import os
import pathlib
import subprocess
import sys

import pytest
import tiny_experiment
from helpers import at_once

from infogan_jax import __main__ as cli

COMMANDS = [
    (["--data", "mnits"], ["unknown dataset 'mnits'", "Did you mean"]),
    (["--data", "npz:nowhere.npz"], ["no file nowhere.npz"]),
    (["--data", "npz:W/odd.npz"], ["9x8", "divisible by 4"]),
    (["--data", "npz:W/words.npz"], ["images have shape (1, 1)"]),
    (["--data", "npz:W/wild.npz"], ["must lie in [0, 1]", "rescale"]),
    (["--data", "npz:W/other.npz"], ["holds ['x']", "it needs"]),
    (["--data", "npz:W/pickled.npz"], ["cannot be read"]),
    (["--data", "npz:W/torn.npz"], ["cannot be read"]),
    (["--data", "folder:nowhere"], ["no folder nowhere"]),
    (["--data", "folder:W/empty"], ["holds no images"]),
    (["--data", "tfds:nothing", "--data-dir", "."], ["no prepared dataset"]),
    (["--steps", "0"], ["--steps must be at least 1, not 0"]),
    (["--steps", str(2**31)], ["--steps must be at most 2147483647, not 2147483648"]),
    (["--batch-size", "0"], ["--batch-size must be at least 2, not 0"]),
    (["--batch-size", "1"], ["--batch-size must be at least 2, not 1"]),
    (["--save-every", "0"], ["--save-every must be at least 1"]),
    (["--evaluate-every", "0"], ["--evaluate-every must be at least 1"]),
    (["--seed", "-1"], ["--seed must lie in"]),
    (["--seed", str(2**32)], ["--seed must lie in"]),
    (["--devices", "0"], ["--devices must be at least 1"]),
    (["--devices", "99"], ["there are only 8 here"]),
    (["--devices", "3"], ["cannot be split over 3 devices"]),
    (["--distributed", "here"], ["names no cluster", "HOST:PORT,PROCESSES,INDEX"]),
    (["--distributed", "a:1,two,0"], ["names no cluster"]),
    (["--resume"], ["no run to resume"]),
    (["--out", "W/file"], ["exists"]),
    (["--out", "W/lr[1]"], ["path must be without [ ]", "name another"]),
    (["--out", "W/file/run"], ["cannot write to", "--out"]),
    (["--out", "W/saved"], ["exists"]),
]


@pytest.mark.parametrize(
    ("arguments", "words"), COMMANDS, ids=lambda x: " ".join(x)[:40]
)
def test_a_command_says_it_in_one_line_and_leaves_nothing(
    spoiled, tmp_path, capsys, monkeypatch, arguments, words
):
    monkeypatch.chdir(tmp_path)
    arguments = [a.replace("W/", f"{spoiled}/") for a in arguments]
    for name, value in (
        ("--data", f"npz:{spoiled}/images.npz"),
        ("--out", "run"),
    ):
        arguments += [] if name in arguments else [name, value]
    before = sorted(spoiled.rglob("*"))
    with at_once():
        assert tiny_experiment.main(arguments) == 2
    says_in_one_line(capsys, words)
    assert list(tmp_path.iterdir()) == []
    assert sorted(spoiled.rglob("*")) == before


def says_in_one_line(capsys, words):
    lines = capsys.readouterr().err.splitlines()
    [line] = [line for line in lines if not line.startswith("update ")]
    assert line.startswith("error: ")
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    "arguments",
    [["--steps", "many"], ["--no-such-option"], ["--seed"], ["--devices", "x"]],
)
def test_arguments_that_cannot_be_parsed_are_status_two(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        tiny_experiment.main(arguments)
    assert stopped.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


WISHES = [
    (["sample", "~nosuch/run"], ["~nosuch/run", "Write the whole path"]),
    (["sample", "nowhere"], ["no checkpoint", "nowhere"]),
    (["sample", "W/empty"], ["no checkpoint"]),
    (["sample", "W/file"], ["no checkpoint"]),
    (["sample", "W/saved", "--digit", "7"], ["evaluation.json"]),
    (["sample", "W/saved", "--n", "0"], ["n must be whole, at least 1"]),
    (
        ["sample", "W/saved", "--n", str(2**31)],
        [f"{2**31} images of 8x8 at once", "245000"],
    ),
    (["sample", "W/saved", "--set", "9=0"], ["no code 9"]),
    (["sample", "W/saved", "--set", "1=0", "--set", "1=1"], ["names a code twice"]),
    (["traverse", "W/saved", "--code", "5"], ["no code 5"]),
    (
        ["traverse", "W/saved", "--rows", "999", "--steps", "999"],
        ["998001 images of 8x8"],
    ),
    (["infer", "W/saved", "nowhere.npz"], ["no file nowhere.npz"]),
    (["infer", "W/saved", "W/empty"], ["holds no images"]),
    (["infer", "W/saved", "W/odd.npz"], ["do not fit"]),
    (["evaluate", "W/saved"], ["run.json"]),
]


@pytest.mark.parametrize(("arguments", "words"), WISHES, ids=lambda x: " ".join(x)[:40])
def test_a_wrong_wish_is_one_line_and_writes_nothing(
    spoiled, tmp_path, capsys, monkeypatch, arguments, words
):
    monkeypatch.chdir(tmp_path)
    arguments = [a.replace("W/", f"{spoiled}/") for a in arguments]
    with at_once():
        assert cli.main(arguments) == 2
    says_in_one_line(capsys, words)
    assert list(tmp_path.iterdir()) == []


# What only the system can refuse.


def test_a_directory_without_the_right_to_write_is_refused(spoiled, tmp_path, capsys):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "closed").mkdir(mode=0o500)
    images, out = spoiled / "images.npz", tmp_path / "closed" / "run"
    assert tiny_experiment.main(["--data", f"npz:{images}", "--out", str(out)]) == 2
    says_in_one_line(capsys, ["cannot write to", "Permission denied", "--out"])


def test_a_read_only_file_system_is_refused(spoiled, capsys):
    if not pathlib.Path("/proc/self").exists():
        pytest.skip("there is no /proc here")
    images = spoiled / "images.npz"
    arguments = ["--data", f"npz:{images}", "--out", "/proc/self/run"]
    assert tiny_experiment.main(arguments) == 2
    says_in_one_line(capsys, ["cannot write to", "--out"])


def used(folder):
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_stops_the_run_and_a_new_start_leaves_nothing(
    spoiled, small_disk, capsys
):
    images = spoiled / "images.npz"
    arguments = ["--data", f"npz:{images}", "--out", str(small_disk / "run")]
    assert tiny_experiment.main([*arguments, "--steps", "6"]) == 2
    says_in_one_line(capsys, ["cannot", str(small_disk)])
    (small_disk / "filler").write_bytes(b"x" * (300_000 - used(small_disk) - 4096))
    out = small_disk / "second"
    assert tiny_experiment.main(["--data", f"npz:{images}", "--out", str(out)]) == 2
    assert not out.exists()


def test_a_file_that_may_not_grow_is_a_clear_error(spoiled, tmp_path):
    """As on a full disk, wherever that cannot be had."""
    program = (
        "import resource, tiny_experiment\n"
        "from infogan_jax.host import console\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "console.run(tiny_experiment.main)"
    )
    images, out = spoiled / "images.npz", tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", program, "--data", f"npz:{images}", "--out", str(out)],
        capture_output=True,
        text=True,
        cwd=pathlib.Path(tiny_experiment.__file__).parent,
        # The tests' common programs are not to be cut off either.
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs")},
    )
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if "error: " in line]
    assert len(errors) == 1 and str(out) in errors[0]
    assert "Traceback" not in done.stderr
