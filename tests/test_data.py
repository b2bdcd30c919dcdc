"""Loading, offline: local files, a loopback server, patched hashes."""

import contextlib
import errno
import gzip
import hashlib
import http.server
import os
import pathlib
import shlex
import ssl
import subprocess
import sys
import threading
import time
import types

import jax
import numpy as np
import pytest
from helpers import idx_bytes

from infogan_jax import data
from infogan_jax.data import files, idx, loading
from infogan_jax.host import paths

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


def test_bundled_digits_are_twelve_thousand_of_mnist():
    loaded = data.load("bundled")
    assert loaded.train["image"].shape == (10_000, 28, 28, 1)
    assert np.bincount(loaded.train["label"]).tolist() == [1000] * 10
    assert np.bincount(loaded.test["label"]).tolist() == [200] * 10
    assert loaded.train["image"].dtype == np.uint8
    assert loaded.train["image"].mean() / 255 == pytest.approx(0.1307, abs=0.002)


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


@pytest.mark.parametrize("name", ["mnits", "fashion-mnist", "", "npz", "tfds"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ValueError, match="unknown dataset.*Known: auto, bundled"):
        data.load(name)


def test_a_misspelled_name_gets_a_suggestion():
    with pytest.raises(ValueError, match="Did you mean 'fashion_mnist'"):
        data.load("fasion_mnist")


def test_npz_of_four_arrays_and_of_one(tmp_path):
    image = np.random.default_rng(0).random((20, 8, 8)).astype(np.float32)
    label = np.arange(20)
    np.savez(tmp_path / "one.npz", image=image, label=label)
    loaded = data.load(f"npz:{tmp_path}/one.npz")
    assert len(loaded.train["label"]) == 18
    for split in (loaded.train, loaded.test):
        expected = np.round(image[split["label"]] * 255)
        np.testing.assert_array_equal(split["image"][..., 0], expected)
    np.savez(tmp_path / "four.npz", x_train=image, x_test=image[:3], y_test=label[:3])
    loaded = data.load(f"npz:{tmp_path}/four.npz")
    assert len(loaded.test["label"]) == 3 and set(loaded.train["label"]) == {-1}


@pytest.mark.parametrize(
    "arrays",
    [
        {"pictures": np.zeros((2, 8, 8), np.uint8)},
        {"image": np.zeros((2, 8), np.uint8)},
        {"image": np.zeros((0, 8, 8), np.uint8)},
        {"image": np.zeros((1, 8, 8), np.uint8)},
        {"image": np.zeros((4, 8, 8, 2), np.uint8)},
        {"image": np.zeros((4, 8, 8), np.int64)},
        {"image": np.full((4, 8, 8), 2.0)},
        {"image": np.full((4, 8, 8), np.nan)},
        {"image": np.zeros((4, 8, 8), np.uint8), "label": np.zeros(3, int)},
        {"image": np.zeros((4, 8, 8), np.uint8), "label": np.zeros(4)},
        {"x_train": np.zeros((4, 8, 8)), "x_test": np.zeros((4, 12, 12))},
        {"image": np.array([{}, {}, {}, {}], dtype=object)},
    ],
)
def test_archives_that_hold_no_images_are_refused(arrays, tmp_path):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError):
        data.load(f"npz:{tmp_path}/x.npz")


@pytest.mark.parametrize("labels", [[-2, -1, 0, 1], [0, 1, 2, 10**6], [0, 1, 2, 2**40]])
def test_labels_that_number_no_classes_are_refused(labels):
    images = np.zeros((4, 8, 8), np.uint8)
    with pytest.raises(ValueError, match="number the classes from 0 to at most 32767"):
        files.make_split(images, np.array(labels), "here")


def test_files_that_are_missing_or_damaged_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        data.load(f"npz:{tmp_path}/none.npz")
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(ValueError, match="cannot be read"):
        data.load(f"npz:{tmp_path}/x.npz")


def write_pictures(folder, names, size=(8, 8), mode="L"):
    from PIL import Image

    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        color = 10 * i if mode == "L" else (10 * i, 0, 5)
        Image.new(mode, size, color).save(folder / name)


def test_a_folder_of_classes(tmp_path):
    write_pictures(tmp_path, ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"])
    loaded = data.load(f"folder:{tmp_path}")
    assert loaded.image_shape == (8, 8, 1)
    for split in (loaded.train, loaded.test):
        assert (split["image"][:, 0, 0, 0] // 20 == split["label"]).all()
    assert len(loaded.train["label"]) == 3
    assert data.read_images(tmp_path)[:, 0, 0, 0].tolist() == [0, 10, 20, 30]


def test_hidden_files_and_folders_are_no_images(tmp_path):
    names = ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]
    hidden = [".cache/1.png", "__MACOSX/cat/1.png", "cat/._1.png"]
    write_pictures(tmp_path, names + hidden)
    loaded = data.load(f"folder:{tmp_path}")
    labels = np.concatenate([loaded.train["label"], loaded.test["label"]])
    assert sorted(labels) == [0, 0, 1, 1]


def test_a_dataset_of_numpy_may_be_closed_over(dataset, key):
    expected = data.draw(dataset, key, 5)
    drawn = jax.jit(lambda key: data.draw(dataset | {"extra": None}, key, 5))(key)
    jax.tree.map(np.testing.assert_array_equal, drawn, expected)


def test_a_folder_of_colour_with_its_own_splits(tmp_path):
    write_pictures(tmp_path, ["train/a.png", "train/b.png", "test/c.png"], mode="RGB")
    loaded = data.load(f"folder:{tmp_path}")
    assert loaded.image_shape == (8, 8, 3)
    assert len(loaded.train["label"]) == 2 and set(loaded.train["label"]) == {-1}


def test_a_class_has_one_number_in_both_splits(tmp_path):
    names = [f"train/{kind}/1.png" for kind in ("cat", "dog", "emu")]
    write_pictures(tmp_path, [*names, "test/cat/1.png", "test/emu/1.png"])
    loaded = data.load(f"folder:{tmp_path}")
    assert loaded.train["label"].tolist() == [0, 1, 2]
    assert loaded.test["label"].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("names", "labels", "told"),
    [
        ("3 4 7", [3, 4, 7], ""),
        ("03 4 10", [3, 4, 10], ""),
        ("1 01 2", [1, 0, 2], "; labels: 0 01, 1 1, 2 2"),
        ("2 100", [1, 0], "; labels: 0 100, 1 2"),
        ("dog cat 3", [2, 1, 0], "; labels: 0 3, 1 cat, 2 dog"),
    ],
)
def test_folders_that_are_numbers_are_their_labels(tmp_path, names, labels, told):
    write_pictures(tmp_path, [f"{name}/1.png" for name in names.split()])
    loaded = data.load(f"folder:{tmp_path}")
    images, found = (
        np.concatenate([split[name] for split in (loaded.train, loaded.test)])
        for name in ("image", "label")
    )
    # Picture i has 10 i as its gray.
    assert dict(zip(images[:, 0, 0, 0] // 10, found, strict=True)) == dict(
        enumerate(labels)
    )
    assert loaded.note == f"{len(labels)} images of {tmp_path}{told}"


def test_a_subfolder_without_images_is_no_class(tmp_path):
    write_pictures(tmp_path, ["3/1.png", "7/1.png"])
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").touch()
    assert files.read_folder(tmp_path)[2] == {"3": 3, "7": 7}


def test_of_many_classes_the_first_are_told(tmp_path):
    write_pictures(tmp_path, [f"class{i:02}/1.png" for i in range(24)], size=(2, 2))
    note = data.load(f"folder:{tmp_path}").note
    assert note.endswith(", 19 class19, ... 23 class23")


def test_bytes_of_zero_and_one_are_black_and_white():
    image = np.eye(4, dtype=np.uint8)[None]
    assert np.unique(files.make_split(image, None, "here")["image"]).tolist() == [
        0,
        255,
    ]
    image = 2 * image
    assert np.unique(files.make_split(image, None, "here")["image"]).tolist() == [0, 2]


def test_folders_that_cannot_serve_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        data.load(f"folder:{tmp_path}/none")
    with pytest.raises(ValueError, match="holds no images"):
        data.load(f"folder:{tmp_path}")
    write_pictures(tmp_path, ["a.png"])
    write_pictures(tmp_path, ["b.png"], size=(9, 8))
    with pytest.raises(ValueError, match="one size"):
        data.load(f"folder:{tmp_path}")
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="not a readable image"):
        data.load(f"folder:{tmp_path}")


def save_levels(path, levels):
    from PIL import Image

    Image.fromarray(levels).save(path)


def test_sixteen_bits_are_scaled_to_bytes(tmp_path):
    levels = np.array([[0, 257, 32896, 65535]], np.uint16)
    save_levels(tmp_path / "a.png", levels)
    assert data.read_images(tmp_path)[0, 0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pixels_of_no_known_range_are_refused(tmp_path, kind):
    save_levels(tmp_path / "a.tif", np.ones((4, 4), kind))
    with pytest.raises(ValueError, match="a.tif .* pixels have 32 bits; save them"):
        data.read_images(tmp_path)


@pytest.mark.parametrize("ending", ["tif", "pgm"])
def test_other_formats_of_sixteen_bits_are_scaled_too(tmp_path, ending):
    save_levels(tmp_path / f"a.{ending}", np.full((4, 4), 32896, np.uint16))
    assert np.unique(data.read_images(tmp_path)).tolist() == [128]


def test_opaque_images_lose_their_alpha_and_others_are_refused(tmp_path):
    levels = np.full((4, 4, 4), 255, np.uint8)
    levels[..., 0] = 7
    save_levels(tmp_path / "a.png", levels)
    assert data.read_images(tmp_path)[0, 0, 0].tolist() == [7, 255, 255]
    levels[0, 0, 3] = 254
    save_levels(tmp_path / "a.png", levels)
    with pytest.raises(ValueError, match="a.png.* transparent.* background"):
        data.read_images(tmp_path)


def test_hold_out_keeps_every_image_once():
    split = files.make_split(np.zeros((25, 4, 4), np.uint8), np.arange(25), "here")
    train, test = files.hold_out(split, "here")
    assert sorted([*train["label"], *test["label"]]) == list(range(25))
    assert len(test["label"]) == 2
    assert files.hold_out(split, "here")[1]["label"].tolist() == test["label"].tolist()


def test_what_is_held_out_has_every_class_of_a_file_in_order():
    split = files.make_split(np.zeros((500, 4, 4), np.uint8), np.arange(500) % 10, "x")
    assert set(files.hold_out(split, "here")[1]["label"]) == set(range(10))


def test_a_batch_is_a_function_of_its_key(dataset):
    on_device = jax.device_put(dataset)
    one, two = (data.draw(on_device, jax.random.key(1), 8) for _ in range(2))
    np.testing.assert_array_equal(one["image"], two["image"])
    other = data.draw(on_device, jax.random.key(2), 8)
    assert not np.array_equal(one["image"], other["image"])
    images = np.asarray(one["image"])
    rows = [np.flatnonzero((dataset["image"] == x).all((1, 2, 3)))[0] for x in images]
    np.testing.assert_array_equal(dataset["label"][rows], one["label"])


def test_draws_cover_the_dataset_evenly():
    counting = {"image": jax.numpy.arange(10)}
    rows = data.draw(counting, jax.random.key(0), 20_000)
    counts = np.bincount(rows["image"], minlength=10)
    assert abs(counts - 2000).max() < 5 * np.sqrt(2000)


def test_the_hash_of_a_dataset_is_of_all_that_is_in_it(dataset):
    def hashed(train, test):
        return data.Dataset("it", train, test, "").sha256

    image, label = dataset["image"], dataset["label"]
    turned = dataset | {"label": (label + 1) % 3}
    flat = {"image": image.reshape(64, 4, 16, 1), "label": label}
    found = {
        hashed(dataset, dataset),
        hashed(turned, dataset),
        hashed(dataset, turned),
        hashed(flat, flat),
    }
    assert len(found) == 4


def test_classes_may_be_links_to_folders_elsewhere(tmp_path):
    from PIL import Image

    for name in ("real/a", "elsewhere/b"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(10):
            Image.new("L", (4, 4), number).save(tmp_path / name / f"{number}.png")
    (tmp_path / "real" / "b").symlink_to(tmp_path / "elsewhere" / "b")
    (tmp_path / "real" / "a" / "loop").symlink_to(tmp_path / "real")
    loaded = data.load(f"folder:{tmp_path / 'real'}")
    labels = np.concatenate([loaded.train["label"], loaded.test["label"]])
    assert np.bincount(labels).tolist() == [10, 10]
    # A link takes nothing from the folder that it leads to.
    (tmp_path / "real" / "0").symlink_to(tmp_path / "real" / "a")
    names = [path.parent.name for path in data.list_images(tmp_path / "real")]
    assert names == ["0"] * 10 + ["a"] * 10 + ["b"] * 10


def test_a_photo_is_turned_as_its_camera_says(tmp_path):
    from PIL import Image

    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    picture = Image.fromarray(pixels)
    turned = picture.getexif()
    turned[0x0112] = 6  # Its first row is the right-hand side.
    picture.save(tmp_path / "a.png", exif=turned)
    found = data.read_images(tmp_path)[0, ..., 0]
    np.testing.assert_array_equal(found, np.rot90(pixels, -1))


@pytest.mark.parametrize("damage", [b"IDAT", b"IHDR"])
def test_a_damaged_picture_is_named(tmp_path, damage):
    from PIL import Image

    path = tmp_path / "a.png"
    Image.new("L", (4, 4)).save(path)
    path.write_bytes(path.read_bytes().replace(damage, b"\x00\x01\x02\x03"))
    with pytest.raises(ValueError, match="a.png is not a readable image"):
        data.read_images(tmp_path)


def test_a_source_without_a_path_is_refused():
    with pytest.raises(ValueError, match="folder: names no path; write folder:PATH"):
        data.load("folder:")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MNIST", "mnist"),
        ("Bundled", "bundled"),
        ("Bundeld", "bundled"),
        ("NPZ:a.npz", "npz:a.npz"),
        ("Folder:a", "folder:a"),
        ("here", "folder:here"),
        ("digits.npz", "npz:digits.npz"),
    ],
)
def test_a_name_that_is_nearly_right_is_put_right(tmp_path, monkeypatch, name, meant):
    (tmp_path / "here").mkdir()
    (tmp_path / "MNIST").mkdir()  # As another library keeps it.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"Did you mean '{meant}'"):
        data.load(name)


def test_factors_wider_than_they_are_kept_are_refused(tmp_path):
    classes = np.zeros((4, 6), np.int64)
    classes[2, 3] = 2**31
    np.savez(
        tmp_path / "x.npz", imgs=np.zeros((4, 8, 8), np.uint8), latents_classes=classes
    )
    with pytest.raises(ValueError, match="x.npz: a factor is 2147483648"):
        data.load(f"npz:{tmp_path}/x.npz")


def test_images_without_pixels_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", image=np.zeros((4, 0, 8), np.uint8))
    with pytest.raises(ValueError, match="N, H and W at least 1"):
        data.load(f"npz:{tmp_path}/x.npz")


def test_a_single_image_is_refused_by_its_name(tmp_path):
    write_pictures(tmp_path, ["a.tif"])
    with pytest.raises(ValueError, match=f"{tmp_path}: 1 image cannot be split"):
        data.load(f"folder:{tmp_path}")


def test_a_transparent_palette_is_refused(tmp_path):
    from PIL import Image

    Image.new("P", (4, 4), 0).save(tmp_path / "a.png", transparency=0)
    with pytest.raises(ValueError, match="a.png.* transparent"):
        data.read_images(tmp_path)


def test_an_opaque_gray_image_has_one_channel(tmp_path):
    from PIL import Image

    Image.new("LA", (4, 4), (7, 255)).save(tmp_path / "a.png")
    assert data.read_images(tmp_path).tolist() == np.full((1, 4, 4, 1), 7).tolist()


def test_the_four_arrays_of_an_archive_are_two_splits(tmp_path):
    image = np.arange(5 * 64, dtype=np.uint8).reshape(5, 8, 8)
    arrays = {"x_train": image[:3], "y_train": np.array([4, 0, 2])}
    arrays |= {"x_test": image[3:], "y_test": np.array([1, 3])}
    np.savez(tmp_path / "x.npz", **arrays)
    loaded = data.load(f"npz:{tmp_path}/x.npz")
    for part, split in (("train", loaded.train), ("test", loaded.test)):
        assert split["label"].tolist() == arrays[f"y_{part}"].tolist()
        np.testing.assert_array_equal(split["image"][..., 0], arrays[f"x_{part}"])


def test_the_cache_lies_where_the_system_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data.default_dir() == tmp_path / "infogan_jax"


def test_images_of_a_folder_are_in_the_order_of_their_paths(tmp_path):
    write_pictures(tmp_path, ["b.png", "a.png", "c/a.png", "B.PNG"])
    names = [p.relative_to(tmp_path).as_posix() for p in data.list_images(tmp_path)]
    assert names == ["B.PNG", "a.png", "b.png", "c/a.png"]


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


def test_a_file_that_may_be_written_is_not_begun(tmp_path):
    (tmp_path / "empty").touch()
    paths.check_new(tmp_path / "new", tmp_path / "empty")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_an_npy_holds_images_alone(tmp_path):
    images = np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8)
    np.save(tmp_path / "x.npy", images)
    np.testing.assert_array_equal(data.read_images(tmp_path / "x.npy")[..., 0], images)
    assert len(data.load(f"npz:{tmp_path}/x.npy").train["label"]) == 18
