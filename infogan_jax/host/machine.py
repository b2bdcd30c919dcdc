"""What a number was measured on: hardware and versions."""

import contextlib
import os
import pathlib
import platform
from importlib import metadata

import jax

_PACKAGES = (
    "infogan_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
)


def describe() -> dict:
    """What computes here, and by which versions."""
    return {
        "versions": {name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": _cpus(),
        "devices": [device.device_kind for device in jax.local_devices()],
        "backend": jax.default_backend(),
    }


def version(package: str = "infogan_jax") -> str:
    """Of an installed package; "unknown" without one."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _cpus() -> int:
    """How many cores this process may use: results on a CPU depend on it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    """What the CPU calls itself, as far as the system tells."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
