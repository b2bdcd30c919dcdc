"""A user's own images: archives, folders, pictures of every kind."""

import numpy as np
import pytest

from infogan_jax import data
from infogan_jax.data import files


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


@pytest.mark.parametrize("names", ["train val", "Train Test", "train", "ants test"])
def test_a_split_is_no_class(names, tmp_path):
    for name in names.split():
        write_pictures(tmp_path / name, ["ant/1.png", "bee/1.png"])
    with pytest.raises(
        ValueError, match="is a split by its name, and would be a class"
    ):
        data.load(f"folder:{tmp_path}")


def test_an_image_of_several_is_refused(tmp_path):
    write_pictures(tmp_path, ["a/1.tif", "b/1.tif"])
    data.load(f"folder:{tmp_path}")
    from PIL import Image

    pages = [Image.new("L", (8, 8), shade) for shade in (1, 2, 3)]
    pages[0].save(tmp_path / "b/1.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match="holds 3 images; save each by itself"):
        data.load(f"folder:{tmp_path}")


def test_what_interpolation_rounds_is_no_error(tmp_path):
    image = np.full((20, 8, 8), np.nextafter(np.float32(1), np.float32(2)))
    np.savez(tmp_path / "x.npz", image=image)
    assert (data.load(f"npz:{tmp_path}/x.npz").train["image"] == 255).all()
    np.savez(tmp_path / "x.npz", image=image + np.float32(1e-5))
    with pytest.raises(ValueError, match=r"not \[1.00001"):
        data.load(f"npz:{tmp_path}/x.npz")


def test_hidden_files_and_folders_are_no_images(tmp_path):
    names = ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]
    hidden = [".cache/1.png", "__MACOSX/cat/1.png", "cat/._1.png"]
    write_pictures(tmp_path, names + hidden)
    loaded = data.load(f"folder:{tmp_path}")
    labels = np.concatenate([loaded.train["label"], loaded.test["label"]])
    assert sorted(labels) == [0, 0, 1, 1]


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


def test_images_of_a_folder_are_in_the_order_of_their_paths(tmp_path):
    write_pictures(tmp_path, ["b.png", "a.png", "c/a.png", "B.PNG"])
    names = [p.relative_to(tmp_path).as_posix() for p in data.list_images(tmp_path)]
    assert names == ["B.PNG", "a.png", "b.png", "c/a.png"]


def test_an_npy_holds_images_alone(tmp_path):
    images = np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8)
    np.save(tmp_path / "x.npy", images)
    np.testing.assert_array_equal(data.read_images(tmp_path / "x.npy")[..., 0], images)
    assert len(data.load(f"npz:{tmp_path}/x.npy").train["label"]) == 18
