"""Eight CPU devices, strict ranks, one tiny config, one compilation cache for all."""

import importlib.metadata
import os
import tempfile

if "PYTEST_XDIST_WORKER" not in os.environ:  # Workers and subprocesses inherit it.
    _CACHE = tempfile.TemporaryDirectory(prefix="infogan-jax-tests-")
    _FLAGS = [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
        # The same operations in half the time: most of it goes into compiling them.
        "--xla_backend_optimization_level=0",
    ]
    if importlib.metadata.version("jaxlib").startswith("0.10."):
        _FLAGS.append("--xla_cpu_use_fusion_emitters=false")  # Later unknown, fatal.
    os.environ |= {
        "XLA_FLAGS": " ".join(_FLAGS),
        "JAX_PLATFORMS": "cpu",
        # Each program is compiled once in the whole suite.
        "JAX_COMPILATION_CACHE_DIR": _CACHE.name,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

import infogan_jax  # noqa: E402
from infogan_jax import latents, networks  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")


# Each of half a minute and more.
_LONG = (
    "at_once contrastive distributed faults parallel readme runs training watch".split()
)


def pytest_collection_modifyitems(items):
    """Long files come first: no worker is left with one when the others are done."""
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in _LONG)


@pytest.fixture(scope="module", autouse=True)
def _forget_programs():
    """Frees a file's programs: their memory maps are limited (65,530 on Linux)."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def tiny():
    """A config whose step compiles in a few seconds."""
    return infogan_jax.Config(
        codes=latents.Product((latents.Categorical(3), latents.Uniform())),
        noise=latents.Uniform(size=4),
        architecture=networks.Dcgan(
            image_shape=(8, 8, 1), width=4, dense=16, q_hidden=8, init_std=None
        ),
    )


@pytest.fixture(scope="session")
def dataset():
    """Sixty-four small images: stripes of three orientations, their label."""
    rng = np.random.default_rng(0)
    label = np.arange(64, dtype=np.int32) % 3
    y, x = np.mgrid[:8, :8]
    stripes = np.stack([x % 2, y % 2, (x + y) % 2])[label] * 200
    image = (stripes + rng.integers(0, 50, stripes.shape)).astype(np.uint8)[..., None]
    return {"image": image, "label": label}


@pytest.fixture(scope="session")
def batch(dataset):
    return {name: array[:16] for name, array in dataset.items()}


@pytest.fixture(scope="session")
def key():
    return jax.random.key(0)


@pytest.fixture(scope="session")
def state(tiny, key):
    return infogan_jax.init(tiny, key)


@pytest.fixture(scope="session")
def stepped(tiny, state, batch, key):
    """State and metrics after one step."""
    return infogan_jax.train_step(tiny, state, batch, key)


@pytest.fixture(scope="session")
def spoiled(tiny, state, dataset, tmp_path_factory):
    """A folder of what no run can begin from, but `images.npz` and the run `saved`."""
    folder = tmp_path_factory.mktemp("spoiled")
    np.savez(folder / "images.npz", image=dataset["image"], label=dataset["label"])
    np.savez(folder / "odd.npz", image=np.zeros((20, 9, 8), np.uint8))
    np.savez(folder / "words.npz", image=np.array([["a"]]))
    np.savez(folder / "wild.npz", image=np.full((20, 8, 8), 7.0))
    np.savez(folder / "other.npz", x=np.zeros(3))
    np.savez(folder / "pickled.npz", image=np.array([{}], object))
    (folder / "torn.npz").write_bytes((folder / "images.npz").read_bytes()[:300])
    (folder / "empty").mkdir()
    (folder / "file").write_text("mine")
    infogan_jax.save(folder / "saved", tiny, state)
    return folder
