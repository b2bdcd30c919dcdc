"""Printing where nobody listens, nothing fits, or something is wrong."""

import io
import pathlib
import shlex
import signal
import subprocess
import sys

import pytest

from infogan_jax.host import console


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "2>&1 | head -c 1"])
def test_a_script_goes_on_when_nobody_listens(tmp_path, closed):
    code = """
import pathlib, sys
from infogan_jax.host import console

def main():
    for stream in (sys.stdout, sys.stderr) * 50:
        print("x" * 10_000, file=stream)
    pathlib.Path("end").touch()
    return 0

console.run(main)
"""
    command = f"{shlex.join([sys.executable, '-c', code])} {closed} >/dev/null"
    command = f"set -o pipefail; {command}"
    subprocess.run(["bash", "-c", command], check=True, cwd=tmp_path)
    assert (tmp_path / "end").exists()


def test_a_script_tells_that_its_output_had_no_room(tmp_path):
    if not pathlib.Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    code = """
import pathlib
from infogan_jax.host import console

def main():
    print("what was asked for")
    pathlib.Path("end").touch()
    return 0

console.run(main)
"""
    mnist = pathlib.Path(__file__).parent.parent / "experiments" / "mnist.py"
    for words in (["-c", code], ["-m", "infogan_jax", "--help"], [mnist, "--help"]):
        with open("/dev/full", "w") as full:
            ended = subprocess.run(
                [sys.executable, *words],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
            )
        assert ended.returncode == 1
        assert ended.stderr == (
            "error: standard output could not be written: No space left on device.\n"
        )
    assert (tmp_path / "end").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals end no process so")
def test_ctrl_c_counts_where_python_drops_what_is_raised(tmp_path):
    code = """
import pathlib, signal
from infogan_jax.host import console

class Collected:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def main():
    # What runs in the background of a shell has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    Collected()
    pathlib.Path("end").touch()
    return 0

console.run(main)
"""
    words = [sys.executable, "-c", code]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == -signal.SIGINT and ended.stderr == "interrupted.\n"
    assert not (tmp_path / "end").exists()


def test_what_does_not_fit_a_device_is_one_line(capsys):
    full = "RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes"
    assert console.tell_of_device(RuntimeError(f"{full}.\nat")) == 2
    advice = "see who else uses that memory, or ask for a smaller batch"
    assert capsys.readouterr().err == f"error: {full}; {advice}.\n"


@pytest.mark.parametrize("kind", [RuntimeError, AssertionError])
def test_a_mistake_in_a_program_keeps_its_trace(kind, monkeypatch):
    def main():
        raise kind("a mistake")

    for name in ("stdout", "stderr", "unraisablehook"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    with pytest.raises(kind, match="a mistake"):
        console.run(main)


def test_what_the_output_cannot_spell_is_numbered(capsys, monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    print("in d\u00e9p\u00f4t", file=console.OUT, flush=True)
    assert narrow.buffer.getvalue() == b"in d\\xe9p\\xf4t\n"
