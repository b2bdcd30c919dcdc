"""MNIST's own files: on disk, from a loopback server, damaged, or out of reach."""

import contextlib
import errno
import gzip
import hashlib
import http.server
import os
import pathlib
import ssl
import threading
import time
import types

import numpy as np
import pytest
from helpers import idx_bytes

from infogan_jax import data
from infogan_jax.data import idx, loading

PARTS = [part for pair in idx._FILES.values() for part in pair]


@pytest.fixture(scope="module")
def raw():
    """The four files of a very small MNIST."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in zip(PARTS, (20, 20, 10, 10), strict=True):
        shape = (n, 28, 28) if "images" in part else (n,)
        high = 256 if "images" in part else 10
        arrays[part] = rng.integers(0, high, shape).astype(np.uint8)
    return {part: idx_bytes(array) for part, array in arrays.items()}


@pytest.fixture(scope="module")
def packed(raw):
    return {part + ".gz": gzip.compress(content) for part, content in raw.items()}


def fill(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def registered(monkeypatch, packed):
    """Lets the registry know the small files instead of the real ones."""

    def lookup(address):
        content = packed[address.rpartition("/")[2]]
        checksum = hashlib.sha256(content).hexdigest()
        return types.SimpleNamespace(size=len(content), checksum=checksum)

    monkeypatch.setattr(idx, "_registered", lookup)


@pytest.fixture
def server(monkeypatch):
    """Serves `server.answers[name]` = (status, bytes, length header) on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, content, length = answers.get(self.path[1:], (404, b"", 0))
            if status is None:  # a silent server
                time.sleep(3)
                return
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    answers, asked = {}, []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{httpd.server_port}/"
        monkeypatch.setitem(idx.SOURCES, "mnist", address)
        yield types.SimpleNamespace(answers=answers, asked=asked)
        httpd.shutdown()


def serve(server, packed):
    for name, content in packed.items():
        server.answers[name] = (200, content, len(content))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_real_registry_knows_all_four_files(name):
    for part in PARTS:
        info = idx._registered(f"{idx.SOURCES[name]}{part}.gz")
        assert len(info.checksum) == 64 and info.size > 4000


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_local_files_are_read_raw_or_gzipped(name, raw, packed, registered, tmp_path):
    first = data.load(name, fill(tmp_path / "raw", raw))
    second = data.load(name, fill(tmp_path / "packed", packed))
    assert first.sha256 == second.sha256
    assert first.train["image"].shape == (20, 28, 28, 1)
    expected = np.frombuffer(raw[PARTS[0]], np.uint8, offset=16).reshape(20, 28, 28)
    np.testing.assert_array_equal(first.train["image"][..., 0], expected)
    assert first.test["label"].tolist() == list(raw[PARTS[3]][8:])


def test_files_are_fetched_verified_and_kept(server, packed, registered, tmp_path):
    serve(server, packed)
    folder = tmp_path / "new" / "mnist"
    first = data.load("mnist", folder)
    assert len(server.asked) == 4
    assert sorted(p.name for p in folder.iterdir()) == sorted(packed)
    assert data.load("mnist", folder).sha256 == first.sha256
    assert len(server.asked) == 4


def test_a_damaged_cache_is_fetched_again(server, packed, registered, tmp_path):
    serve(server, packed)
    folder = fill(tmp_path, packed)
    (folder / f"{PARTS[0]}.gz").write_bytes(b"damaged")
    assert len(data.load("mnist", folder).train["label"]) == 20
    assert server.asked == [f"/{PARTS[0]}.gz"]
    assert (folder / f"{PARTS[0]}.gz.damaged").read_bytes() == b"damaged"


def test_a_file_that_another_process_has_fetched_is_not_called_damaged(
    server, packed, registered, tmp_path, monkeypatch
):
    serve(server, packed)
    first, download = f"{PARTS[0]}.gz", idx._download

    def while_another_is_faster(address, deadline):
        if address.endswith(first):
            (tmp_path / first).write_bytes(packed[first])
        return download(address, deadline)

    monkeypatch.setattr(idx, "_download", while_another_is_faster)
    data.load("mnist", tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(packed)


def test_images_may_be_changed_in_place_wherever_they_are_from(packed, tmp_path):
    for dataset in (data.load("bundled"), data.load("mnist", fill(tmp_path, packed))):
        for array in (*dataset.train.values(), *dataset.test.values()):
            assert array.flags.writeable


def test_files_that_somebody_else_has_gzipped_are_read_and_kept(
    server, raw, packed, registered, tmp_path
):
    own = {f"{part}.gz": gzip.compress(content, 1) for part, content in raw.items()}
    assert own != packed
    folder = fill(tmp_path, own)
    assert len(data.load("mnist", folder).train["label"]) == 20
    assert not server.asked
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == own


def fails(tmp_path, message, error=OSError, seconds=5.0):
    began = time.monotonic()
    with pytest.raises(error, match=message) as raised:
        data.load("mnist", tmp_path / "mnist")
    assert time.monotonic() - began < seconds
    assert not list(tmp_path.rglob("*.part")), "a half-written file was left"
    return str(raised.value)


def test_no_network_is_named_with_a_way_out(monkeypatch, tmp_path):
    monkeypatch.setitem(idx.SOURCES, "mnist", "http://127.0.0.1:9/")
    monkeypatch.setattr(
        idx, "_registered", lambda *_: types.SimpleNamespace(size=1, checksum="0")
    )
    text = fails(tmp_path, "cannot be reached")
    assert "127.0.0.1:9" in text and "--data bundled" in text and "--data-dir" in text


def test_a_silent_server_is_given_up(monkeypatch, server, registered, tmp_path):
    monkeypatch.setattr(idx, "_TIMEOUT", 0.3)
    server.answers[f"{PARTS[0]}.gz"] = (None, b"", 0)
    fails(tmp_path, "timed out|cannot be reached")


def test_an_address_that_moved_is_named(server, registered, tmp_path):
    fails(tmp_path, "answers 404")


def test_a_cut_download_says_where(server, packed, registered, tmp_path):
    content = packed[f"{PARTS[0]}.gz"]
    server.answers[f"{PARTS[0]}.gz"] = (200, content[:100], 100)
    fails(tmp_path, rf"cut at 100 of {len(content)} bytes; run again")


def test_a_connection_that_breaks_off_is_an_error(server, packed, registered, tmp_path):
    content = packed[f"{PARTS[0]}.gz"]
    server.answers[f"{PARTS[0]}.gz"] = (200, content[:100], len(content))
    fails(tmp_path, "cut at|cannot be reached")


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset"), ssl.SSLError(1)])
def test_a_connection_that_is_reset_is_named_with_a_way_out(
    error, registered, tmp_path, monkeypatch
):
    def reset(address, deadline):
        raise error

    monkeypatch.setattr(idx, "_download", reset)
    assert "--data bundled" in fails(tmp_path, f"{PARTS[0]}.gz cannot be reached")


def test_a_disk_that_fills_up_is_named(
    server, packed, registered, tmp_path, monkeypatch
):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    serve(server, packed)
    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    fails(tmp_path, "cannot write to .*mnist: No space left on device; .*--data-dir")


def test_a_login_page_is_not_taken_for_data(server, registered, tmp_path):
    page = b"<html>please log in</html>" * 2000
    server.answers[f"{PARTS[0]}.gz"] = (200, page, len(page))
    fails(tmp_path, "wrong bytes.*login page.*Nothing was kept")


def test_a_damaged_file_that_cannot_be_fetched_anew_stays(
    server, packed, registered, tmp_path
):
    folder = fill(tmp_path / "mnist", packed)
    broken = packed[f"{PARTS[0]}.gz"][:-20]
    (folder / f"{PARTS[0]}.gz").write_bytes(broken)
    fails(tmp_path, f"{PARTS[0]}.gz cannot be unpacked.* answers 404")
    assert (folder / f"{PARTS[0]}.gz").read_bytes() == broken


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only directories")
def test_a_read_only_directory_is_named(server, packed, registered, tmp_path):
    serve(server, packed)
    (tmp_path / "mnist").mkdir(mode=0o500)
    fails(tmp_path, "cannot write to .*--data-dir")


def test_a_directory_that_cannot_be_made_is_named(registered, tmp_path):
    (tmp_path / "mnist").write_text("a file where the directory should be")
    fails(tmp_path, "cannot write to .*--data-dir")


def test_a_complete_directory_needs_no_writing(
    packed, registered, tmp_path, monkeypatch
):
    folder = fill(tmp_path, packed)
    monkeypatch.setattr(idx, "_fetch", None)
    folder.chmod(0o500)
    assert len(data.load("mnist", folder).train["label"]) == 20
    folder.chmod(0o700)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x0d\x01\0\0\0\0", "not an IDX file"),
        (b"\0\0\x08\x03\0\0", "cut within its header"),
        (idx_bytes(np.zeros((2, 3), np.uint8))[:-1], "header says"),
        (idx_bytes(np.zeros((2, 3), np.uint8)) + b"x", "header says"),
    ],
)
def test_bytes_that_are_no_idx_are_refused(content, message):
    with pytest.raises(ValueError, match=message):
        idx.parse(content, "file")


def test_auto_takes_the_bundled_digits_when_the_network_fails(monkeypatch, tmp_path):
    monkeypatch.setitem(idx.SOURCES, "mnist", "http://127.0.0.1:9/")
    monkeypatch.setattr(
        idx, "_registered", lambda *_: types.SimpleNamespace(size=1, checksum="0")
    )
    loaded = data.load("auto", tmp_path)
    assert loaded.name == "bundled" and "bundled" in loaded.note
    assert len(loaded.note.splitlines()) == 1


def test_auto_takes_all_of_mnist_where_it_is_at_hand(packed, registered, tmp_path):
    loaded = data.load("auto", fill(tmp_path, packed))
    assert loaded.name == "mnist" and len(loaded.train["label"]) == 20


def test_auto_gives_up_a_slow_server_in_time(
    monkeypatch, server, packed, registered, tmp_path
):
    serve(server, packed)
    monkeypatch.setattr(loading, "_AUTO_SECONDS", -1.0)
    assert data.load("auto", tmp_path).name == "bundled"


@pytest.mark.parametrize("name", list(idx.SOURCES))
def test_each_set_has_a_folder_of_its_own_in_the_cache(
    name, packed, tmp_path, monkeypatch
):
    """Their files have the same names."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(idx, "_fetch", None)
    fill(tmp_path / "infogan_jax" / name, packed)
    assert len(data.load(name).train["label"]) == 20


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [("mnist", 9_912_422, 1_648_877), ("fashion_mnist", 26_421_880, 4_422_102)],
)
def test_each_split_is_fetched_from_the_file_of_its_size(name, train, test):
    """As published: 60,000 images and 10,000, gzipped."""
    sizes = [
        idx._registered(f"{idx.SOURCES[name]}{idx._FILES[split][0]}.gz").size
        for split in ("train", "test")
    ]
    assert sizes == [train, test]
