"""Sprites: the drawn shapes, their factors, and files of dSprites' layout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infogan_jax import data
from infogan_jax.data import sprites

SPACE = sprites.Space()


def drawn(shape, scale=1.0, turn=0.0, x=0.5, y=0.5):
    """One image, bool [64, 64]."""
    image = sprites.render(jnp.array([[shape, scale, turn, x, y]], jnp.float32))
    return np.asarray(image)[0, :, :, 0] > 0


def test_there_are_as_many_combinations_as_in_dsprites():
    indices = SPACE.all()
    assert indices.shape == (737_280, 5)
    assert np.array_equal(indices[1], [0, 0, 0, 0, 1])  # y is fastest


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.0])
def test_areas_are_those_of_the_square_and_the_ellipse(scale):
    assert drawn(0, scale).sum() == pytest.approx((19.2 * scale) ** 2, rel=0.12)
    ellipse = np.pi * 12.8 * 7.2 * scale**2
    assert drawn(1, scale).sum() == pytest.approx(ellipse, rel=0.05)


@pytest.mark.parametrize("turn", [0.4, np.pi / 4, 1.2])
def test_a_turned_shape_keeps_its_area_and_the_ellipse_points_along_the_turn(turn):
    areas = 19.2**2, np.pi * 12.8 * 7.2, drawn(2).sum()
    for shape, area in enumerate(areas):
        assert drawn(shape, turn=turn).sum() == pytest.approx(area, rel=0.03)
    for image, sign in ((drawn(1, turn=turn), -1), (drawn(1, turn=-turn), 1)):
        rows, columns = np.nonzero(image)
        _, axes = np.linalg.eigh(np.cov(columns, rows))
        x, y = axes[:, 1]
        assert y / x == pytest.approx(sign * np.tan(turn), rel=0.05)


def test_the_ellipse_lies_and_the_heart_is_as_wide_as_the_square():
    rows, columns = np.nonzero(drawn(1))
    assert np.ptp(columns) + 1 == pytest.approx(2 * 12.8, abs=1)
    assert np.ptp(rows) + 1 == pytest.approx(2 * 7.2, abs=1)
    for scale in (0.5, 1.0):
        _, columns = np.nonzero(drawn(2, scale))
        assert np.ptp(columns) + 1 == pytest.approx(19.25 * scale, abs=1)
    assert 4 * drawn(2, 0.5).sum() == pytest.approx(drawn(2).sum(), rel=0.06)


def test_the_square_returns_after_90_degrees_the_ellipse_after_180_the_heart_never():
    degrees = np.pi / 180
    assert (drawn(0) != drawn(0, turn=90 * degrees)).sum() <= 2
    assert (drawn(1) != drawn(1, turn=180 * degrees)).sum() <= 2
    assert (drawn(1) != drawn(1, turn=90 * degrees)).sum() > 100
    for turn in (90, 180, 270):
        assert (drawn(2) != drawn(2, turn=turn * degrees)).sum() > 50
    assert (drawn(2) != drawn(2, turn=360 * degrees)).sum() <= 2


def test_the_heart_stands_on_its_tip_and_is_symmetric():
    rows = drawn(2).sum(1)
    filled = np.flatnonzero(rows)
    assert rows[filled[-1]] < rows[filled[0]] <= rows[filled[len(filled) // 3]]
    assert (drawn(2) != drawn(2)[:, ::-1]).sum() <= 6


def test_a_shape_lies_where_its_factors_say():
    for x, y in ((0.0, 0.0), (1.0, 0.25), (0.5, 1.0)):
        rows, columns = np.nonzero(drawn(1, x=x, y=y))
        assert columns.mean() + 0.5 == pytest.approx(16 + 32 * x, abs=0.3)
        assert rows.mean() + 0.5 == pytest.approx(16 + 32 * y, abs=0.3)


def outline(shape):
    """A shape's outline at scale 1, unturned, about its centre: [P, 2], y down."""
    a = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    if shape == 0:
        return np.array([[-9.6, -9.6], [9.6, -9.6], [9.6, 9.6], [-9.6, 9.6]])
    if shape == 1:
        return np.stack([12.8 * np.cos(a), 7.2 * np.sin(a)], 1)
    up = 13 * np.cos(a) - 5 * np.cos(2 * a) - 2 * np.cos(3 * a) - np.cos(4 * a)
    y = (-up - 2.5) * 9.625 / 14.5 + 0.2
    return np.stack([9.625 * np.sin(a) ** 3, y], 1)


def filled(polygon):
    """Pixels whose centres have an odd number of edges on their left, bool [64, 64]."""
    (x, y), (x_next, y_next) = polygon.T, np.roll(polygon, -1, 0).T
    centres = np.arange(64) + 0.5
    row, edge = np.nonzero((y <= centres[:, None]) != (y_next <= centres[:, None]))
    share = (centres[row] - y[edge]) / (y_next - y)[edge]
    crossed = x[edge] + share * (x_next - x)[edge]
    n_left = np.zeros((64, 64), int)
    np.add.at(n_left, row, crossed[:, None] < centres)
    return n_left % 2 == 1


# Rounding may take a pixel; the heart's table of 1,024 radii takes four in all.
@pytest.mark.parametrize(("shape", "each", "all_"), [(0, 1, 1), (1, 1, 1), (2, 2, 10)])
def test_thirty_poses_are_the_polygons_of_the_calibrated_outlines(shape, each, all_):
    rng = np.random.default_rng(0)
    poses = rng.uniform([0.5, 0, 0, 0], [1, 2 * np.pi, 1, 1], (30, 4))
    values = np.c_[np.full(30, shape), poses].astype(np.float32)
    images, apart = np.asarray(sprites.render(values))[..., 0] == 255, []
    for image, (scale, turn, x, y) in zip(images, poses, strict=True):
        cos, sin = np.cos(turn), np.sin(turn)
        turned = outline(shape) @ np.array([[cos, -sin], [sin, cos]])
        polygon = scale * turned + [16 + 32 * x, 16 + 32 * y]
        apart.append((filled(polygon) != image).sum())
    assert max(apart) <= each and sum(apart) <= all_


def test_sampling_is_uniform_and_values_are_exact():
    indices = np.asarray(SPACE.sample(jax.random.key(0), 30_000))
    for column, size in zip(indices.T, SPACE.sizes, strict=True):
        counts = np.bincount(column, minlength=size)
        expected = len(column) / size
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    values = np.asarray(SPACE.values(jnp.array([[2, 5, 39, 31, 0]])))
    assert values[0] == pytest.approx([2, 1.0, 2 * np.pi, 1.0, 0.0])


def test_a_fixed_factor_is_shared_and_the_others_vary():
    draw = jax.jit(SPACE.sample_fixed, static_argnums=1)
    for factor in range(5):
        indices = np.asarray(draw(jax.random.key(factor), 200, factor))
        n_values = [len(np.unique(column)) for column in indices.T]
        assert n_values[factor] == 1
        assert all(n > 1 for k, n in enumerate(n_values) if k != factor)


def test_a_subset_of_factors_varies_alone():
    space = sprites.Space(shape=(2,), scale=(0.7,), orientation=(0.0,))
    assert space.sizes == (1, 1, 1, 32, 32)
    batch = space.draw(jax.random.key(0), 50)
    assert batch["image"].shape == (50, 64, 64, 1)
    assert batch["image"].dtype == jnp.uint8
    assert np.unique(batch["factors"][:, :3]).tolist() == [0]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("shape", (3,), "shapes are"),
        ("scale", (0.0,), "scale must be finite, above 0, not 0.0"),
        ("x", (), "tuple of values"),
        ("y", [0.5], "tuple of values"),
        ("y", (0.5, 5.0), "y must lie in"),
        ("x", (np.nan,), "x must lie in"),
        ("orientation", (np.inf,), "orientation must be a finite number, not inf"),
    ],
)
def test_impossible_spaces_are_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        sprites.Space(**{field: value})


@pytest.mark.parametrize("factor", [-1, 5, 0.5])
def test_a_vote_on_no_factor_is_refused(factor):
    with pytest.raises(ValueError, match=f"0 .. 4, not {factor}"):
        SPACE.sample_fixed(jax.random.key(0), 10, factor)


def test_a_factor_may_be_an_array_from_outside_of_jit():
    factor, key = jnp.int32(2), jax.random.key(0)
    found = jax.jit(lambda key: SPACE.sample_fixed(key, 50, factor))(key)
    assert np.array_equal(found, SPACE.sample_fixed(key, 50, 2))
    assert len(np.unique(found[:, 2])) == 1


@pytest.fixture
def archive(tmp_path):
    """A small file of the published layout: 0 and 1, a first column of one color.

    Its metadata are a pickled dictionary, which nobody needs.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (30, 64, 64)).astype(np.uint8)
    classes = np.hstack([np.zeros((30, 1), int), rng.integers(0, 3, (30, 5))])
    path = tmp_path / "dsprites.npz"
    arrays = {"imgs": images, "latents_classes": classes}
    metadata = np.array({"title": "dSprites dataset"}, object)
    np.savez(path, metadata=metadata, latents_values=classes * 0.5, **arrays)
    return path, images, classes


def test_the_published_layout_is_read_with_its_factors(archive):
    path, images, classes = archive
    loaded = data.load(f"npz:{path}")
    assert loaded.image_shape == (64, 64, 1)
    assert len(loaded.train["image"]) == 27
    for split in (loaded.train, loaded.test):
        for image, factors in zip(split["image"], split["factors"], strict=True):
            (row,) = np.flatnonzero((255 * images == image[..., 0]).all((1, 2)))
            assert factors.tolist() == classes[row, 1:].tolist()


def test_factors_that_do_not_fit_the_images_are_refused(archive, tmp_path):
    _, images, classes = archive
    path = tmp_path / "bad.npz"
    np.savez(path, imgs=images, latents_classes=classes[:-1])
    with pytest.raises(ValueError, match=r"factors have shape \(29, 5\)"):
        data.load(f"npz:{path}")
    np.savez(path, imgs=images, latents_classes=classes[:, 1:])  # Without the color.
    with pytest.raises(ValueError, match=r"latents_classes \(30, 5\) are not"):
        data.load(f"npz:{path}")
    np.savez(path, imgs=images, latents_classes=classes[:, 0])
    with pytest.raises(ValueError, match=r"latents_classes \(30,\)"):
        data.load(f"npz:{path}")
    np.savez(path, imgs=images, latents_classes=classes * 0.5)
    with pytest.raises(ValueError, match="integers"):
        data.load(f"npz:{path}")


def test_a_batch_shows_the_factors_that_it_names():
    batch = SPACE.draw(jax.random.key(0), 20)
    expected = sprites.render(SPACE.values(batch["factors"]))
    np.testing.assert_array_equal(batch["image"], expected)


@pytest.mark.parametrize("factor", range(5))
def test_what_a_vote_fixes_is_any_value_of_its_factor(factor):
    keys, size = jax.random.split(jax.random.key(1), 4000), SPACE.sizes[factor]
    draw = jax.vmap(lambda key: SPACE.sample_fixed(key, 2, factor)[0, factor])
    counts = np.bincount(draw(keys), minlength=size)
    assert np.abs(counts - 4000 / size).max() < 5 * np.sqrt(4000 / size)
