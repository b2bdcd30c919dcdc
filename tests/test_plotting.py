import dataclasses
import functools
import io
import math
import sys

import numpy as np
import pytest

import infogan_jax
from infogan_jax import latents, plotting


@pytest.fixture(scope="module")
def config(tiny):
    codes = latents.Product(
        (latents.Categorical(3), latents.Uniform(), latents.Gaussian())
    )
    return dataclasses.replace(tiny, codes=codes)


@pytest.fixture(scope="module")
def model(config, key):
    return infogan_jax.init(config, key)


def pixels(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba")
    return buffer.getvalue()


def test_same_key_draws_the_same_pictures_without_a_display(
    config, model, key, monkeypatch
):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    first, second = (plotting.figures(config, model, key) for _ in range(2))
    expected = {"categories.png", "sweep_1.png", "sweep_2.png", "plane.png"}
    assert set(first) == expected
    for name in expected:
        assert pixels(first[name]) == pixels(second[name])
    assert "matplotlib.pyplot" not in sys.modules  # no window system is ever asked


def test_a_category_after_other_codes_has_the_name_of_a_first_one(config, key):
    codes = latents.Product(config.codes.parts[::-1] + (latents.Categorical(2),))
    config = dataclasses.replace(config, codes=codes)
    drawn = plotting.figures(config, infogan_jax.init(config, key), key)
    assert {"categories.png", "categories_3.png"} == {n for n in drawn if "cat" in n}


def test_another_key_draws_another_picture(config, model, key):
    import jax

    one = plotting.sweep(config, model, key, 1)
    assert pixels(one) != pixels(plotting.sweep(config, model, jax.random.key(5), 1))


def test_sweep_marks_the_range_of_a_uniform_prior_only(config, model, key):
    uniform, gaussian = (plotting.sweep(config, model, key, i) for i in (1, 2))
    # 13 columns from -2 to 2, 8 pixels each: -1 is the fourth, 1 the tenth.
    edges = [line.get_xdata()[0] for line in uniform.axes[0].lines]
    assert edges == [3 * 8 - 0.5, 10 * 8 - 0.5]
    assert len(gaussian.axes[0].lines) == 0
    ends = plotting.sweep(config, model, key, 1, steps=2)  # -2 and 2 alone.
    assert len(ends.axes[0].lines) == 0


def test_pictures_lay_codes_out_as_they_say(config, model, key, monkeypatch):
    def shown(dim, draw, *codes):
        """The value of one dimension of c in every tile."""

        def paint(config, state, z, c):
            grey = np.asarray(c)[:, dim, None, None, None]
            return np.broadcast_to(grey, (len(c), 8, 8, 1))

        monkeypatch.setattr(plotting.inference, "generate", paint)
        (image,) = draw(config, model, key, *codes).axes[0].images
        return np.asarray(image.get_array())[::8, ::8]

    close = functools.partial(np.testing.assert_allclose, atol=1e-6)
    for category in range(3):
        rows = np.eye(3)[:, [category]] * np.ones((3, 10))
        close(shown(category, plotting.categories, 0), rows)
    across = np.linspace(-2, 2, 13) * np.ones((10, 13))
    close(shown(3, plotting.sweep, 1), across)
    down, across = shown(3, plotting.plane, 1, 2), shown(4, plotting.plane, 1, 2)
    close(down, np.linspace(-1, 1, 10)[:, None] * np.ones((10, 10)))
    close(across, np.linspace(-2, 2, 10) * np.ones((10, 10)))


def test_grid_lays_images_out_in_rows():
    images = np.linspace(0, 1, 6).reshape(2, 3, 1, 1, 1) * np.ones((2, 3, 4, 4, 1))
    (shown,) = plotting.grid(images).axes[0].images
    data = np.asarray(shown.get_array())
    assert data.shape == (8, 12)
    assert data[0, 0] == 0 and data[7, 11] == 1 and data[0, 11] == pytest.approx(0.4)


def test_bytes_are_drawn_as_bytes_and_other_shapes_refused():
    images = np.array([0, 127, 255], np.uint8).reshape(1, 3, 1, 1, 1)
    (shown,) = plotting.grid(images).axes[0].images
    assert np.asarray(shown.get_array()).ravel() == pytest.approx([0, 127 / 255, 1])
    with pytest.raises(
        ValueError, match=r"\[rows, columns, H, W, C\], not \[3, 1, 1, 1\]"
    ):
        plotting.grid(images[0])


def test_a_picture_says_whose_parameters_drew_it(config, model, key):
    """As `generate` goes by what the state holds, whatever its config asks for."""
    averaged = model.replace(ema={"g": model.nets["g"]})
    averaging = dataclasses.replace(config, ema_decay=0.9)
    for of, state, words in (
        (averaging, model, "(live G)"),
        (config, averaged, "(averaged G)"),
    ):
        figure = plotting.categories(of, state, key, 0)
        assert figure.axes[0].get_title().endswith(words)


def test_categories_are_named_by_their_label(config, model, key):
    figure = plotting.categories(config, model, key, 0, label_of=[7, 3, 5])
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["0 (is 7)", "1 (is 3)", "2 (is 5)"]
    with pytest.raises(ValueError, match="code 1 has no categories: it is Uniform"):
        plotting.categories(config, model, key, 1)


def test_codes_that_cannot_be_drawn_are_refused(config, model, key):
    for draw, codes in ((plotting.sweep, [0]), (plotting.plane, [1, 0])):
        with pytest.raises(ValueError, match="code 0 has nothing between its values"):
            draw(config, model, key, *codes)
    with pytest.raises(ValueError, match="of two codes, not of code 1 alone"):
        plotting.plane(config, model, key, 1, 1)
    with pytest.raises(ValueError, match="2 labels cannot name 3 categories"):
        plotting.categories(config, model, key, 0, label_of=[7, 3])
    for draw, codes in (
        (plotting.categories, [9]),
        (plotting.sweep, [-1]),
        (plotting.plane, [1, 9]),
        (plotting.plane, [9, 1]),
    ):
        with pytest.raises(ValueError, match=r"there is no code .* are 0 \.\. 2"):
            draw(config, model, key, *codes)


def test_curves_draw_the_entropy_of_discrete_codes_only(config):
    lines = [
        {"step": s, "d/NonSaturating": 1.0, "info/0": 0.5, "info/1": 0.1, "info/2": 0.0}
        for s in (1, 2)
    ]
    *_, right = plotting.curves(config, lines).axes
    dashed = [line for line in right.lines if line.get_linestyle() == "--"]
    assert [line.get_ydata()[0] for line in dashed] == [pytest.approx(np.log(3))]


def test_one_step_far_off_does_not_flatten_the_curves(config):
    lines = [{"step": n, "info/0": n / 400, "info/1": 0.5} for n in range(400)]
    lines[200] |= {"info/0": -60.0, "info/1": math.nan}
    *_, right = plotting.curves(config, lines).axes
    low, high = right.get_ylim()
    assert -1 < low < 0 and math.log(3) < high < 2


def test_curves_of_what_teaches_no_code_have_no_empty_legend(config):
    lines = [{"step": step, "d/NonSaturating": 1.0} for step in (1, 2)]
    _, _, right = plotting.curves(config, lines).axes
    assert not right.lines and right.get_legend() is None


def test_curves_keep_losses_and_shares_apart(config):
    names = ("d/NonSaturating", "d/accuracy", "d/gradient", "g/spread", "info/0")
    lines = [{"step": step, **dict.fromkeys(names, 0.5)} for step in (1, 2)]
    drawn = [
        [line.get_label() for line in panel.lines]
        for panel in plotting.curves(config, lines).axes[:2]
    ]
    assert drawn == [["d/NonSaturating"], ["d/accuracy", "g/spread"]]


def test_what_cannot_be_drawn_is_said(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert plotting.skip_without_matplotlib(plotting.new_figure)(1, 1) is None
    assert 'pip install "infogan_jax[figures]"' in capsys.readouterr().out


def test_all_figures_name_the_categories_too(tiny, state, key):
    figure = plotting.figures(tiny, state, key, label_of=[7, 3, 5])["categories.png"]
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["0 (is 7)", "1 (is 3)", "2 (is 5)"]
