"""Files are written whole or not at all, where their user says."""

import contextlib
import errno
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

import pytest

from infogan_jax.host import paths


def test_what_is_written_keeps_its_mode_and_its_neighbours(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o600)
    (tmp_path / "a.new").write_text("mine")
    (tmp_path / "link").symlink_to("a")
    paths.write(tmp_path / "link", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a.new").read_text() == "mine"
    name = "n" * 250
    paths.write(tmp_path / name, b"long")
    left = {"a", "a.new", "link", name}
    assert {path.name for path in tmp_path.iterdir()} == left


@pytest.mark.parametrize(("number", "becomes"), [("EBUSY", b"new"), ("EIO", b"old")])
def test_a_file_that_cannot_be_replaced_is_written_over(
    tmp_path, monkeypatch, number, becomes
):
    """As one that is mounted by itself; where the disk fails it stays as it was."""

    def replace(*_):
        raise OSError(getattr(errno, number), "cannot")

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(pathlib.Path, "replace", replace)
    with contextlib.nullcontext() if becomes == b"new" else pytest.raises(OSError):
        paths.write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == becomes
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such devices")
@pytest.mark.parametrize("shown", ["| cat", "> {}; cat {}"])
def test_the_standard_output_may_be_written_to_as_a_file(tmp_path, shown):
    code = "from infogan_jax.host import paths; paths.write('/dev/stdout', b'it')"
    command = f"{shlex.join([sys.executable, '-c', code])} {shown}"
    command = command.replace("{}", shlex.quote(str(tmp_path / "file")))
    done = subprocess.run(["bash", "-c", command], check=True, capture_output=True)
    assert done.stdout == b"it"


def test_a_disk_in_memory_is_one():
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        path = pathlib.Path(folder) / "a"
        path.write_bytes(b"old")
        before = path.stat().st_ino
        paths.write(path, b"new")
        assert path.stat().st_ino != before  # It was replaced, not written over.


def _memory():
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no such disk")
    return "/dev/shm"


def test_a_file_that_may_be_written_is_not_begun(tmp_path):
    (tmp_path / "empty").touch()
    paths.check_new(tmp_path / "new", tmp_path / "empty")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
