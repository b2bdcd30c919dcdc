"""Two processes on this machine: the same run as one, by the same command."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import agreement
import jax
import numpy as np
import pytest
import tiny_experiment

import infogan_jax
from infogan_jax import checkpoint

# After so many every gradient has been more than noise, which Adam takes full steps of.
FIRST, LAST = 30, 34
# All that the transport prints: "[Gloo] Rank 0 is connected to 1 peer ranks. ...".
GLOO = (
    r"\[Gloo\] Rank",
    "is connected to",
    r"peer ranks\.",
    "Expected number of connected peer ranks is :",
    r"\d+",
    r"\s",
)


def start(*arguments):
    """A process of two devices."""
    flags = os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=2")
    return subprocess.Popen(
        [sys.executable, tiny_experiment.__file__, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"XLA_FLAGS": flags},
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def two(*arguments, outs):
    """Two processes of two devices each; what they printed."""
    address = f"localhost:{free_port()}"
    processes = [
        start(*arguments, "--out", out, "--distributed", f"{address},2,{i}")
        for i, out in enumerate(outs)
    ]
    try:
        printed = [process.communicate(timeout=180) for process in processes]
    finally:
        kill(processes)
    return [process.returncode for process in processes], printed


def kill(processes):
    """What a failed test may have left."""
    for process in processes:
        process.kill()


@pytest.fixture(scope="module")
def runs(dataset, tmp_path_factory):
    """A run of this process, and one that two processes took over after `FIRST`."""
    folder = tmp_path_factory.mktemp("runs")
    np.savez(folder / "images.npz", image=dataset["image"], label=dataset["label"])
    one, both = folder / "one", folder / "both"
    options = ["--data", f"npz:{folder}/images.npz", "--save-every", "4"]
    options += ["--seed", "7", "--out", str(one)]
    assert tiny_experiment.main([*options, "--steps", str(FIRST)]) == 0
    squares = [opt.nu for opt in infogan_jax.restore(one)[1].opt.values()]
    assert min(float(nu.min()) for nu in jax.tree.leaves(squares)) > 1e-8**2  # epsilon
    shutil.copytree(one, both)
    more = ["--out", str(one), "--resume", "--steps", str(LAST)]
    assert tiny_experiment.main(more) == 0
    # The second process sees another file system: all it needs comes from the first.
    outs = (both, folder / "elsewhere")
    codes, printed = two("--resume", "--steps", LAST, "--devices", 4, outs=outs)
    assert codes == [0, 0], printed
    return one, both, printed


def test_two_processes_take_the_steps_of_one(runs):
    one, both, _ = runs
    assert checkpoint.steps(both)[-1] == LAST
    (config, ours), (_, theirs) = infogan_jax.restore(one), infogan_jax.restore(both)
    assert config.ema_decay
    agreement.assert_same_arrays(ours, theirs)
    agreement.assert_same_moments(ours, theirs)


def test_the_logs_are_those_of_one_process(runs):
    one, both, _ = runs
    for name in ("metrics.jsonl", "accuracy.jsonl"):
        ours, theirs = (
            [json.loads(line) for line in (run / name).read_text().splitlines()]
            for run in (one, both)
        )
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert a == pytest.approx(b, rel=1e-4, abs=1e-5)


def test_only_the_first_process_writes_and_speaks(runs):
    _, both, printed = runs
    assert (both / "evaluation.json").exists()
    assert not (both.parent / "elsewhere").exists()
    (first, _), (second, _) = printed
    assert "devices: 4 of 2 processes" in first
    # The transport's threads print too, piece by piece into one another's lines.
    assert not re.sub("|".join(GLOO), "", second)


def test_what_stops_the_first_stops_the_second(tmp_path):
    codes, printed = two("--resume", outs=[tmp_path / "none", tmp_path / "none"])
    assert codes == [2, 2]
    for _, errors in printed:
        assert "no run to resume" in errors and "Traceback" not in errors


def test_a_failure_of_the_first_ends_both(dataset, tmp_path):
    np.savez(tmp_path / "images.npz", image=dataset["image"], label=dataset["label"])
    options = ["--data", f"npz:{tmp_path}/images.npz", "--devices", 4]
    options += ["--steps", 100, "--seed", tiny_experiment.SICK]
    codes, printed = two(*options, outs=[tmp_path / "run"] * 2)
    assert codes == [1, 1], printed
    (_, first), (_, second) = printed
    assert "training has failed" in first
    assert "the first process has failed" in second


def test_a_signal_to_one_saves_and_ends_both(dataset, tmp_path):
    np.savez(tmp_path / "images.npz", image=dataset["image"], label=dataset["label"])
    out, address = tmp_path / "run", f"localhost:{free_port()}"
    options = ["--data", f"npz:{tmp_path}/images.npz", "--devices", 4, "--out", out]
    options += ["--steps", 10**6, "--save-every", 10**6]
    processes = [start(*options, "--distributed", f"{address},2,{i}") for i in (0, 1)]
    deadline = time.monotonic() + 120
    try:
        while not (out / "accuracy.jsonl").exists():
            assert time.monotonic() < deadline
            assert all(process.poll() is None for process in processes)
            time.sleep(0.1)
        processes[1].send_signal(signal.SIGTERM)
        printed, _ = processes[0].communicate(timeout=180)
        processes[1].communicate(timeout=180)
    finally:
        kill(processes)
    assert [process.returncode for process in processes] == [143, 143]
    assert f"saved after {checkpoint.steps(out)[-1]} of" in printed
