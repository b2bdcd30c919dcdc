"""MNIST and Fashion-MNIST: four IDX files, at hand or fetched.

Addresses, sizes and hashes are those that TensorFlow Datasets registers; its own
download and preparation need TensorFlow, retry a dead network for minutes and create
files even where nothing is missing, so the bytes are fetched and hashed here.
"""

import contextlib
import gzip
import hashlib
import http.client
import secrets
import shutil
import ssl
import struct
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import numpy as np

from infogan_jax import types
from infogan_jax.data import files

SOURCES = {
    "mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_TIMEOUT = 15.0  # seconds of silence from a server
_CHUNK = 1 << 16
_UNREACHABLE = (
    TimeoutError,
    ConnectionError,
    ssl.SSLError,
    urllib.error.URLError,
    http.client.HTTPException,
)


def read(
    name: str, folder: Path, seconds: float | None = None
) -> tuple[types.Split, types.Split]:
    """Training and test split of a set in `SOURCES`; fetches files that are missing.

    A download is compared with the registered hash; what lies there is parsed strictly,
    so files that somebody else has gzipped will do. A damaged one is fetched anew, and
    kept as `NAME.gz.damaged`.

    Args:
      name: "mnist" or "fashion_mnist".
      folder: holds the four files, as they are or gzipped, or will hold them. A
        complete folder may be read-only.
      seconds: give up fetching after so long; None for as long as bytes arrive.

    Raises:
      OSError: the network, the server or the directory fails.
      ValueError: a file does not hold what it should.
    """
    deadline = None if seconds is None else time.monotonic() + seconds

    def split(parts):
        images, labels = (_read_file(name, folder, part, deadline) for part in parts)
        return files.make_split(images, labels, folder)

    return split(_FILES["train"]), split(_FILES["test"])


def parse(data: bytes, source: str) -> np.ndarray:
    """The uint8 array of an IDX file's bytes.

    Raises:
      ValueError: not IDX, or cut short.
    """
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise ValueError(
            f"{source} is not an IDX file of bytes; put the right one there, or remove "
            "it to have it fetched."
        )
    header = 4 + 4 * data[3]
    if len(data) < header:
        raise ValueError(f"{source} is cut within its header.")
    shape = struct.unpack(f">{data[3]}I", data[4:header])
    expected = header + int(np.prod(shape, dtype=np.int64))
    if len(data) != expected:
        raise ValueError(
            f"{source} has {len(data)} bytes, but its header says {expected}."
        )
    # Of bytes the array would be read-only.
    return np.frombuffer(bytearray(data), np.uint8, offset=header).reshape(shape)


def _read_file(name, folder, part, deadline):
    raw, packed = folder / part, folder / f"{part}.gz"
    if raw.is_file():
        return parse(raw.read_bytes(), str(raw))
    if not packed.is_file():
        _fetch(name, packed, deadline)
        return _unpack(packed)
    try:
        return _unpack(packed)
    except ValueError as damage:
        try:
            _fetch(name, packed, deadline)
        except OSError as error:
            raise OSError(f"{damage} Nor can it be fetched anew: {error}") from error
    return _unpack(packed)


def _unpack(packed):
    try:
        return parse(gzip.decompress(packed.read_bytes()), str(packed))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{packed} cannot be unpacked: {error}.") from error


def _is_damaged(packed):
    """Whether a file lies there, but not the one that another process has fetched."""
    try:
        _unpack(packed)
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False


def _fetch(name, packed, deadline):
    """Puts a whole, verified file at `packed`, or raises; what was there stays."""
    address = SOURCES[name] + packed.name
    info = _registered(address)
    advice = (
        f"Put the four files of {SOURCES[name]} into {packed.parent}, name another "
        "directory that has them (--data-dir), or use --data bundled."
    )
    partial = packed.with_name(f"{packed.name}.{secrets.token_hex(4)}.part")
    with _telling_where(packed.parent):
        packed.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
    try:
        data = _download(address, deadline)
        if len(data) < info.size:
            raise OSError(
                f"{address} was cut at {len(data)} of {info.size} bytes; run again."
            )
        if _hash(data) != info.checksum:
            raise OSError(
                f"{address} gave wrong bytes (SHA-256 {_hash(data)[:12]}..., "
                f"registered {info.checksum[:12]}...): a proxy or login page? Nothing "
                f"was kept. {advice}"
            )
        with _telling_where(packed.parent):
            partial.write_bytes(data)
            if _is_damaged(packed):  # It may be the user's own.
                shutil.copyfile(packed, packed.with_name(f"{packed.name}.damaged"))
            partial.replace(packed)  # Which is never absent for another process.
    except urllib.error.HTTPError as error:
        error.close()
        raise OSError(
            f"{address} answers {error.code} {error.reason}: it may have moved. "
            f"{advice}"
        ) from error
    except _UNREACHABLE as error:
        reason = getattr(error, "reason", error)
        raise OSError(f"{address} cannot be reached ({reason}). {advice}") from error
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _telling_where(folder):
    """A directory that cannot be written, or a full disk, is told by its name."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"cannot write to {folder}: {error.strerror}; name another directory with "
            "--data-dir."
        ) from error


def _download(address, deadline):
    data = bytearray()
    with urllib.request.urlopen(address, timeout=_TIMEOUT) as response:
        # read1 returns what has come: a slow server is not a silent one.
        while chunk := response.read1(_CHUNK):
            data += chunk
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"only {len(data)} bytes had come in time")
    return bytes(data)


def _registered(address):
    """The size and checksum that TensorFlow Datasets knows of an address."""
    from tensorflow_datasets.core.download import checksums

    return checksums.get_all_url_infos()[address]


def _hash(data):
    return hashlib.sha256(data).hexdigest()
