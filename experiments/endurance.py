"""Quick runs one after another in one process: memory and open files must not grow.

    python experiments/endurance.py --minutes 60 --out runs/endurance

Every run is `mnist.py --quick` with the next seed, in `OUT/seed-N`; other options go to
it. The last run is finished, however late. Samples every few seconds to samples.jsonl:
resident memory, what of it is allocated (with glibc: the rest is free, kept for later),
open files, threads, and what JAX's arrays hold on the device. At the end the medians of
each run, in growth.json, and a figure. Results: `experiments/results/endurance.json`.
"""

import contextlib
import ctypes
import json
import statistics
import threading
import time
from pathlib import Path

import jax
import mnist
import psutil
import seeds

from infogan_jax import plotting
from infogan_jax.host import console, json_files, paths
from infogan_jax.runs import options as options_lib

UNITS = {
    "host_mb": "resident memory [MB]",
    "allocated_mb": "allocated memory [MB]",
    "device_mb": "arrays on the device [MB]",
    "files": "open files",
    "threads": "threads",
}


class _Mallinfo(ctypes.Structure):
    """glibc's struct mallinfo2, of all arenas together; see mallinfo(3)."""

    _names = (
        "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    )
    _fields_ = [(name, ctypes.c_size_t) for name in _names.split()]


def allocated_mb() -> float:
    """What has been allocated and not freed; 0 where the C library does not tell."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallinfo = ctypes.CDLL(None).mallinfo2
        mallinfo.restype = _Mallinfo
        found = mallinfo()
        return (found.uordblks + found.hblkhd) / 1e6  # In arenas, and mapped alone.
    return 0.0


class Sampler(threading.Thread):
    """Measures this process until it is told to stop."""

    def __init__(self, path: Path, every: float):
        super().__init__(daemon=True)
        self.run_number, self.samples, self._path = 0, [], path
        self._every, self._enough = every, threading.Event()
        self.error: OSError | None = None  # That ended it before its time.

    def run(self):
        """Appends a sample every so many seconds."""
        try:
            self._measure()
        except OSError as error:
            self.error = error

    def _measure(self):
        process, began = psutil.Process(), time.monotonic()
        with self._path.open("a") as file:
            while not self._enough.wait(self._every):
                sample = {
                    "minutes": round((time.monotonic() - began) / 60, 3),
                    "run": self.run_number,
                    "host_mb": round(process.memory_info().rss / 1e6, 1),
                    "allocated_mb": round(allocated_mb(), 1),
                    "device_mb": round(
                        sum(x.nbytes for x in jax.live_arrays()) / 1e6, 1
                    ),
                    "files": process.num_fds(),
                    "threads": process.num_threads(),
                }
                self.samples.append(sample)
                file.write(json.dumps(sample) + "\n")
                file.flush()

    def stop(self):
        """Waits for the last sample."""
        self._enough.set()
        self.join()


def growth(samples: list[dict]) -> dict:
    """For each quantity its median in each run that was long enough for a sample.

    The first run's end loads what evaluation and figures need, once: what grows is what
    grows from the second run on. Of the resident memory the least as well: what a run
    has freed may stay resident for a while.
    """
    runs = sorted({sample["run"] for sample in samples})

    def of_each(name, what):
        return [what(s[name] for s in samples if s["run"] == number) for number in runs]

    found = {"runs": runs[-1] + 1, "minutes": samples[-1]["minutes"]}
    found |= {name: of_each(name, statistics.median) for name in UNITS}
    return found | {"host_mb_least": of_each("host_mb", min)}


@plotting.skip_without_matplotlib
def draw(out: Path, samples: list[dict]) -> None:
    """Every quantity over time, with a line where a run ends."""
    drawing, panels = plotting.new_figure(12, 5, columns=3, rows=2)
    minutes = [sample["minutes"] for sample in samples]
    ends = [
        after["minutes"]
        for before, after in zip(samples, samples[1:], strict=False)
        if after["run"] != before["run"]
    ]
    panels.flat[-1].axis("off")
    for axes, (name, label) in zip(panels.flat, UNITS.items(), strict=False):
        axes.plot(minutes, [sample[name] for sample in samples])
        for end in ends:
            axes.axvline(end, color="gray", linewidth=0.5, linestyle=":")
        axes.set(title=label, ylim=(0, None), xlabel="minutes")
    plotting.save(drawing, out / "endurance.png")


def parse(argv):
    """The options, and those of `mnist.py`; ends the process where some are wrong."""
    parser = options_lib.command(
        __doc__, usage="%(prog)s [options] [options of mnist.py]"
    )
    parser.add_argument(
        "--minutes",
        type=options_lib.positive,
        default=60,
        help="(default: %(default)s)",
    )
    parser.add_argument(
        "--first-seed", type=options_lib.seed, default=0, help="(default: %(default)s)"
    )
    parser.add_argument(
        "--every",
        type=options_lib.positive,
        default=5,
        help="seconds (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=options_lib.path,
        default=Path("runs/endurance"),
        help="(default: %(default)s)",
    )
    options, rest = parser.parse_known_args(argv)
    seeds.refuse_own(parser, rest, "--first-seed")
    return options, rest


def main(argv=None) -> int:
    """Trains until the time is over; returns the exit status."""
    options, rest = parse(argv)
    samples = options.out / "samples.jsonl"
    try:
        given = seeds.given_options(mnist, ["--quick", *rest])
        options_lib.chosen(mnist.defaults, given)
        options.out.mkdir(parents=True, exist_ok=True)
        paths.check_new(samples)
    except (console.Stop, OSError) as error:
        return console.tell(error)
    began = time.monotonic()
    sampler = Sampler(samples, options.every)
    sampler.start()
    status = 0
    while not status:
        seed = options.first_seed + sampler.run_number
        run = seeds.run_of(options.out, seed)
        words = ["--quick", *rest, "--seed", str(seed), "--out", str(run)]
        try:
            status = mnist.main(words)
        except RuntimeError as error:  # As of full memory, which is what it looks for.
            status = console.tell_of_device(error)
        if sampler.error or time.monotonic() - began >= 60 * options.minutes:
            break
        sampler.run_number += 1
    sampler.stop()
    if sampler.error:
        return console.tell(sampler.error)
    if not sampler.samples:
        print(f"no sample was due: it ended before {options.every:g} seconds")
        return status
    found = growth(sampler.samples)
    for name, label in UNITS.items():
        medians = ", ".join(f"{value:g}" for value in found[name])
        print(f"{label}, median of each run: {medians}")
    print(f"{found['runs']} runs in {found['minutes']:.0f} minutes; see {options.out}")
    try:
        json_files.write(options.out / "growth.json", found)
        draw(options.out, sampler.samples)
    except OSError as error:
        return console.tell(error)
    return status


if __name__ == "__main__":
    console.run(main)
