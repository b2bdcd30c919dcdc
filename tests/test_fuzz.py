"""What Hypothesis cannot break: configs through JSON, damaged JSON, damaged files."""

import builtins
import importlib
import io
import json
import pathlib
import pickle

import numpy as np
import pytest
from helpers import idx_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import infogan_jax
from infogan_jax import (
    Config,
    Update,
    latents,
    networks,
    objectives,
    presets,
    schedules,
)
from infogan_jax.data import files, idx

fuzz = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
numbers = st.floats(0, 10, allow_nan=False)
positive = st.floats(1e-3, 10)
sizes = st.integers(1, 5)

codes = st.one_of(
    st.builds(latents.Categorical, st.integers(2, 30)),
    st.builds(latents.Bernoulli, size=sizes, p=st.floats(0.01, 0.99)),
    st.builds(
        latents.Uniform, size=sizes, sigma=st.none() | positive, sigma_min=positive
    ),
    st.builds(latents.Gaussian, size=sizes, sigma=st.none() | positive),
)
schedule = st.one_of(
    numbers,
    st.builds(schedules.Cosine, numbers, st.integers(1, 10**6), numbers),
    st.builds(schedules.Linear, numbers, numbers, st.just(3), st.integers(4, 10**6)),
)
architectures = st.one_of(
    st.builds(
        networks.Dcgan,
        image_shape=st.tuples(
            st.sampled_from([8, 28, 64]),
            st.sampled_from([8, 32]),
            st.sampled_from([1, 3]),
        ),
        width=sizes,
        dense=sizes,
        leak=numbers,
        init_std=st.none() | positive,
        shared=st.booleans(),
    ),
    st.just(networks.Spectral()),
)


@st.composite
def configs(draw):
    parts = tuple(draw(st.lists(codes, min_size=1, max_size=4)))
    updates = (
        Update("d", ("trunk", "d"), lr=draw(schedule), beta1=draw(st.floats(0, 0.99))),
        Update("g", ("g", "q"), lr=(draw(schedule), draw(schedule))),
    )
    weight = st.none() | positive | st.tuples(*[positive] * len(parts))
    return Config(
        codes=latents.Product(parts),
        noise=draw(codes),
        architecture=draw(architectures),
        objective=(
            draw(st.sampled_from([objectives.NonSaturating(), objectives.Minimax()])),
            objectives.MutualInformation(weight=draw(weight)),
        ),
        updates=updates,
        ema_decay=draw(st.floats(0, 0.999)),
        compute_dtype=draw(st.sampled_from(["float32", "bfloat16"])),
    )


@fuzz
@given(configs())
def test_json_gives_back_the_config_and_its_hash(config):
    text = config.to_json()
    again = Config.from_json(text)
    assert again == config and hash(again) == hash(config)
    assert again.to_json() == text
    assert {config: "program"}[again] == "program"  # as jit looks it up


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["Config", "Update", "Dcgan", "Uniform", "os:system", "builtins:eval"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "n", "parts", "lr", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def places(tree, path=()):
    """Every path into nested lists and dicts."""
    yield path
    if isinstance(tree, dict | list):
        names = tree if isinstance(tree, dict) else range(len(tree))
        for name in names:
            yield from places(tree[name], (*path, name))


def replaced(tree, path, value):
    if not path:
        return value
    first, *rest = path
    copied = tree.copy()
    copied[first] = replaced(tree[first], rest, value)
    return copied


@fuzz
@given(st.data())
def test_damaged_json_is_a_config_or_a_value_error_and_runs_nothing(data):
    preset = data.draw(st.sampled_from([presets.PAPER, presets.infogan_cr()]))
    tree = json.loads(preset.to_json())
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(places(tree))))
        tree = replaced(tree, path, data.draw(json_values))
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (builtins, "eval"),
            (builtins, "exec"),
            (importlib, "import_module"),
        ):
            patch.setattr(
                module, name, lambda *_, **__: pytest.fail("it ran something")
            )
        try:
            config = Config.from_json(json.dumps(tree))
        except ValueError:
            return
    assert isinstance(config, Config)


@fuzz
@given(st.text() | st.integers(1, 4000).map(lambda n: "[" * n) | st.binary().map(str))
def test_text_that_is_no_config_is_a_value_error(text):
    with pytest.raises(ValueError):
        Config.from_json(text)


@fuzz
@given(st.data())
def test_truncated_or_flipped_json_is_a_config_or_a_value_error(data):
    text = presets.PAPER.to_json()
    position = data.draw(st.integers(0, len(text) - 1))
    flipped = chr(ord(text[position]) ^ (1 << data.draw(st.integers(0, 6))))
    end = data.draw(st.sampled_from([position, len(text)]))
    try:
        Config.from_json(text[:position] + flipped + text[position + 1 : end])
    except ValueError:
        pass


@fuzz
@given(st.data())
def test_idx_readers_give_back_an_array_or_a_value_error(data):
    shape = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    array = np.arange(np.prod(shape, dtype=int), dtype=np.uint8).reshape(shape)
    content = bytearray(idx_bytes(array))
    np.testing.assert_array_equal(idx.parse(bytes(content), "it"), array)
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    end = data.draw(st.sampled_from([position, len(content)]))
    try:
        parsed = idx.parse(bytes(content[:end]), "it")
    except ValueError as error:
        assert "it" in str(error)
    else:
        assert parsed.dtype == np.uint8


@fuzz
@given(st.binary(max_size=64))
def test_any_bytes_are_an_idx_array_or_a_value_error(content):
    try:
        idx.parse(content, "it")
    except ValueError:
        pass


@fuzz
@given(data=st.data())
def test_npz_readers_give_back_images_or_a_value_error(data, tmp_path):
    file = io.BytesIO()
    save = data.draw(st.sampled_from([np.savez, np.savez_compressed]))
    images = np.arange(5 * 8 * 8, dtype=np.uint8).reshape(5, 8, 8)
    save(file, image=images, label=np.arange(5))
    content = bytearray(file.getvalue())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    end = data.draw(st.sampled_from([position, len(content)]))
    path = tmp_path / "damaged.npz"
    path.write_bytes(content[:end])
    try:
        train, test = files.read_npz(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:  # The archive's own checksums vouch for the arrays.
        for split in (train, test):
            np.testing.assert_array_equal(
                split["image"][..., 0], images[split["label"]]
            )
        assert len(train["label"]) + len(test["label"]) == 5


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


def test_pickles_are_refused_and_not_run(tmp_path):
    np.savez(tmp_path / "bomb.npz", image=np.array([Bomb()], object))
    (tmp_path / "bomb.npy").write_bytes(pickle.dumps(Bomb()))
    for name in ("bomb.npz", "bomb.npy"):
        with pytest.raises(ValueError, match=name):
            files.read_npz(tmp_path / name)


def test_the_library_never_unpickles():
    root = pathlib.Path(infogan_jax.__file__).parent
    for path in root.rglob("*.py"):
        text = path.read_text()
        assert "allow_pickle=True" not in text and "import pickle" not in text, path
