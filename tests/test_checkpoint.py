import concurrent.futures
import dataclasses
import errno
import gc
import logging
import os
import pathlib
import shutil
import subprocess
import sys
import types

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from helpers import assert_equal

import infogan_jax
from infogan_jax import checkpoint, latents, networks, registry
from infogan_jax.checkpoint import storage
from infogan_jax.host import locks


@pytest.fixture(scope="module")
def averaged(tiny):
    return dataclasses.replace(tiny, ema_decay=0.9)


@pytest.fixture(scope="module")
def saved(averaged, batch, key, tmp_path_factory):
    """A directory with steps 0 and 1, and the state of step 1."""
    directory = tmp_path_factory.mktemp("run")
    state = infogan_jax.init(averaged, key)
    with checkpoint.Writer(directory, averaged) as writer:
        writer.save(state)
        state, _ = infogan_jax.train_step(averaged, state, batch, key)
        writer.save(state)
    return directory, state


def test_restore_needs_only_the_path(saved, averaged):
    directory, state = saved
    config, restored = infogan_jax.restore(directory)
    assert config == averaged
    assert_equal(restored, state)


def test_path_may_be_the_checkpoints_folder_and_a_string(saved):
    directory, state = saved
    assert_equal(infogan_jax.restore(str(directory / "checkpoints"))[1], state)


def test_a_step_can_be_chosen(saved):
    directory, _ = saved
    assert checkpoint.steps(directory) == [0, 1]
    assert infogan_jax.restore(directory, step=0)[1].step == 0


def test_sampling_loads_g_alone(saved, key):
    directory, state = saved
    config, light = infogan_jax.restore(directory, nets=("g",))
    assert set(light.nets) == {"g"} and light.opt == {} and set(light.ema) == {"g"}
    ours, theirs = (infogan_jax.sample(config, s, key, 3) for s in (light, state))
    np.testing.assert_array_equal(ours.images, theirs.images)


def test_a_state_from_eight_devices_restores_on_one(averaged, batch, key, tmp_path):
    step = infogan_jax.pmap_step(averaged)
    state, _ = step(infogan_jax.init(averaged, key), batch, key)
    infogan_jax.save(tmp_path, averaged, state)
    _, restored = infogan_jax.restore(tmp_path)
    assert_equal(jax.tree.map(np.asarray, restored), jax.tree.map(np.asarray, state))
    assert all(len(leaf.devices()) == 1 for leaf in jax.tree.leaves(restored))
    step(restored, batch, key)  # and goes on, on eight


def test_a_restored_state_goes_where_a_fresh_one_does(saved, batch, key):
    config, restored = infogan_jax.restore(saved[0])
    mesh = jax.make_mesh((4,), ("data",), devices=jax.devices()[4:])
    split = jax.NamedSharding(mesh, jax.P("data"))
    step = jax.jit(infogan_jax.step, static_argnums=0)
    step.lower(config, restored, jax.device_put(batch, split), key)  # Else it raises.


def test_a_restored_state_needs_no_program_of_its_own(saved, batch, key):
    config, restored = infogan_jax.restore(saved[0])
    step = jax.jit(infogan_jax.step, static_argnums=0)
    text = [
        step.lower(config, state, batch, key).as_text()
        for state in (infogan_jax.init(config, key), restored)
    ]
    assert text[0] == text[1]


def test_saving_survives_donation_of_the_state(tiny, dataset, key, tmp_path):
    # `train` reuses the yielded state's memory while the save is still being written.
    expected = {}
    with checkpoint.Writer(tmp_path, tiny) as writer:
        for state, _ in infogan_jax.train(tiny, dataset, key, batch_size=16):
            expected[int(state.step)] = jax.tree.map(np.array, state)
            writer.save(state)
            if state.step == 4:
                break
    for step, state in expected.items():
        assert_equal(infogan_jax.restore(tmp_path, step=step)[1], state)


def test_saving_the_same_step_twice_changes_nothing(tiny, state, tmp_path):
    infogan_jax.save(tmp_path, tiny, state)
    infogan_jax.save(tmp_path, tiny, state)
    assert checkpoint.steps(tmp_path) == [0]


def test_an_earlier_step_is_refused_where_keeping_the_newest_would_delete_one(
    tiny, state, stepped, tmp_path
):
    with checkpoint.Writer(tmp_path, tiny, keep=1) as writer:
        writer.save(stepped[0])
        with pytest.raises(ValueError, match="holds step 1, later than 0"):
            writer.save(state)
    assert checkpoint.steps(tmp_path) == [1]
    infogan_jax.save(tmp_path, tiny, state)  # All are kept.
    assert checkpoint.steps(tmp_path) == [0, 1]


def test_a_writer_saves_only_within_its_with(tiny, state, tmp_path):
    writer = checkpoint.Writer(tmp_path, tiny)
    with pytest.raises(ValueError, match="this Writer is closed"):
        writer.save(state)
    with writer:
        writer.save(state)
    with pytest.raises(ValueError, match="this Writer is closed"):
        writer.save(state.replace(step=state.step + 1))
    assert checkpoint.steps(tmp_path) == [0]


def test_a_second_writer_is_refused_and_spoils_no_save(tiny, state, stepped, tmp_path):
    pytest.importorskip("fcntl")
    with checkpoint.Writer(tmp_path, tiny) as writer:
        writer.save(state)
        with pytest.raises(OSError, match="written by another Writer here; save by"):
            infogan_jax.save(tmp_path, tiny, stepped[0])
        (tmp_path / "checkpoints" / ".lock").write_text("4711")
        with pytest.raises(OSError, match="written by process 4711; wait for it"):
            infogan_jax.save(tmp_path, tiny, stepped[0])
    assert checkpoint.steps(tmp_path) == [0]
    infogan_jax.save(tmp_path, tiny, stepped[0])
    assert checkpoint.steps(tmp_path) == [0, 1]


def test_a_lock_that_finds_no_room_is_told_with_its_place(
    tiny, state, tmp_path, monkeypatch
):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(locks, "hold", full)
    words = (
        f"cannot save to {tmp_path}/checkpoints: .*No space left on device; see that"
    )
    with pytest.raises(OSError, match=words):
        infogan_jax.save(tmp_path, tiny, state)


FULL = """
import os, pathlib, resource, sys
import conftest, jax, tiny_experiment, infogan_jax
from infogan_jax import checkpoint
from infogan_jax.runs import records

config = tiny_experiment.build(tiny_experiment.defaults(True), (8, 8, 1))
state = infogan_jax.init(config, jax.random.key(0))

def told(what, *arguments):
    try:
        what(*arguments)
    except (OSError, records.Stop) as error:
        print(error, flush=True)

with checkpoint.Writer("run", config) as writer:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), -1))
    writer.save(state)
    told(writer.save, state)  # Which hears of the one before.
resource.setrlimit(resource.RLIMIT_FSIZE, (0, -1))
told(checkpoint.save, "another", config, state)
with records.lock(pathlib.Path("locked")):
    print("not locked")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="files grow without limit there")
@pytest.mark.parametrize("room", [0, 2000])
def test_what_finds_no_room_is_told_once_and_with_its_place(tmp_path, room):
    """As on a full disk, in Orbax's threads and in the files of locks."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(room)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    first, second = done.stdout.splitlines()
    for line, place in ((first, "run"), (second, "another")):
        assert line.startswith(f"cannot save to {tmp_path / place}/checkpoints: ")
        assert "File too large; see that there is room" in line
    *others, last = done.stderr.splitlines()
    assert "Stop: cannot write to locked: File too large" in last
    assert not any("ERROR" in line for line in others)


def test_nothing_is_saved_beside_the_steps_of_another_directory(tiny, state, tmp_path):
    infogan_jax.save(tmp_path, tiny, state)
    with pytest.raises(ValueError, match=f"give {tmp_path}, in which"):
        infogan_jax.save(tmp_path / "checkpoints", tiny, state)
    # A name like another, as long as no steps lie there.
    infogan_jax.save(tmp_path / "mine" / "checkpoints", tiny, state)
    assert checkpoint.steps(tmp_path / "mine" / "checkpoints") == [0]


def test_steps_of_another_program_are_not_called_damaged(tmp_path):
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.save(5, args=ocp.args.StandardSave({"w": np.zeros(3)}))
    with pytest.raises(ValueError, match="5 was not saved by infogan_jax"):
        infogan_jax.restore(tmp_path)


def test_only_a_step_that_is_there_is_set_aside(tiny, state, tmp_path):
    checkpoint.save(tmp_path, tiny, state)
    with pytest.raises(FileNotFoundError, match=r"no step 77, only \[0\]"):
        checkpoint.set_aside(tmp_path, 77)
    assert not (tmp_path / "damaged").exists()


def test_another_state_of_a_saved_step_is_refused(tiny, state, tmp_path):
    infogan_jax.save(tmp_path, tiny, state)
    other = infogan_jax.init(tiny, jax.random.key(99))
    slower = dataclasses.replace(tiny, ema_decay=0.0, compute_dtype="bfloat16")
    for config, second in ((tiny, other), (slower, state)):
        with pytest.raises(ValueError, match="holds another state of step 0"):
            infogan_jax.save(tmp_path, config, second)
    assert_equal(infogan_jax.restore(tmp_path)[1], state)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"noise": latents.Uniform(size=5)}, r"Dense_0/kernel is float32\[8, 16\]"),
        ({"codes": latents.Product((latents.Categorical(4),))}, "needs float32"),
        ({"ema_decay": 0.5}, "has no ema/g"),
    ],
)
def test_arrays_that_do_not_fit_the_config_are_refused(
    tiny, state, tmp_path, changed, message
):
    other = dataclasses.replace(tiny, **changed)
    with pytest.raises(ValueError, match=f"the state.*{message}"):
        infogan_jax.save(tmp_path / "refused", other, state)
    save_unchecked(tmp_path, other, state)
    with pytest.raises(ValueError, match=message):
        infogan_jax.restore(tmp_path)


def test_a_wrong_dtype_is_refused_not_cast(tiny, state, tmp_path):
    half = jax.tree.map(lambda x: x.astype("float16") if x.ndim else x, state)
    save_unchecked(tmp_path, tiny, half)
    with pytest.raises(ValueError, match="float16.*needs float32"):
        infogan_jax.restore(tmp_path)


def save_unchecked(path, config, state):
    """What another version, or another program, may have left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "check", lambda *_: None)
        infogan_jax.save(path, config, state)


@infogan_jax.register
@dataclasses.dataclass(frozen=True)
class Prior(latents.Uniform):
    """A user's own."""


@dataclasses.dataclass(frozen=True)
class Unregistered(latents.Uniform):
    """One that JSON could not give back."""


def test_stored_class_that_is_unknown_is_refused(tiny, state, tmp_path, monkeypatch):
    infogan_jax.save(tmp_path, dataclasses.replace(tiny, noise=Prior(4)), state)
    assert infogan_jax.restore(tmp_path)[0].noise == Prior(4)
    monkeypatch.delitem(registry._CLASSES, f"{__name__}:Prior")
    with pytest.raises(ValueError, match=f"import {__name__} first"):
        infogan_jax.restore(tmp_path)


SCRIPT = """
import dataclasses, jax, infogan_jax
from infogan_jax import latents, networks, objectives

@infogan_jax.register
@dataclasses.dataclass(frozen=True)
class Flat:
    def __call__(self, p):
        return {"g": p.fake.mean()}

if __name__ == "__main__":
    config = infogan_jax.Config(
        architecture=networks.Mlp(image_shape=(4, 4, 1), g_widths=(8,), d_widths=(8,)),
        objective=(*infogan_jax.Config().objective, Flat()),
    )
    state = infogan_jax.init(config, jax.random.key(0))
    infogan_jax.save("run", config, state)
    infogan_jax.restore("run")
"""


def test_what_a_script_registered_can_be_sampled_by_a_command(tmp_path):
    (tmp_path / "my_loss.py").write_text(SCRIPT)

    def python(*arguments):
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert python("my_loss.py").returncode == 0
    sampling = ["-m", "infogan_jax", "sample", "run", "--out", "x.npz"]
    refused = python(*sampling)
    assert refused.returncode == 2 and "--import my_loss" in refused.stderr
    assert python(*sampling, "--import", "my_loss").returncode == 0
    assert (tmp_path / "x.npz").is_file()


def test_a_loop_of_links_is_no_run(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(FileNotFoundError, match="loop"):
        infogan_jax.restore(tmp_path / "loop")


def test_a_scripts_class_has_one_name_in_a_spawned_process_too(monkeypatch):
    script = types.ModuleType("__mp_main__")
    script.__file__ = "/somewhere/my_loss.py"
    monkeypatch.setitem(sys.modules, "__mp_main__", script)
    spawned = type("Mine", (), {"__module__": "__mp_main__"})
    assert registry._module(spawned) == "my_loss"


def test_a_step_that_a_writer_removes_meanwhile_gives_way_to_the_next(
    tiny, state, tmp_path, monkeypatch
):
    infogan_jax.save(tmp_path, tiny, state)
    first, later = int(state.step), state.replace(step=state.step + 1)
    read = storage.read_config

    def overtaken(manager, step):
        if step == first and first in checkpoint.steps(tmp_path):
            shutil.rmtree(tmp_path / "checkpoints" / str(first))
            infogan_jax.save(tmp_path, tiny, later)
        return read(manager, step)

    monkeypatch.setattr(storage, "read_config", overtaken)
    assert_equal(infogan_jax.restore(tmp_path)[1], later)
    with pytest.raises(FileNotFoundError, match=f"no step {first}, only"):
        infogan_jax.restore(tmp_path, step=first)


def test_a_path_may_begin_at_home(tiny, state, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    infogan_jax.save("~/run", tiny, state)
    assert_equal(infogan_jax.restore(tmp_path / "run")[1], state)
    assert checkpoint.steps("~/run") == [0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_logs_are_filtered_only_while_a_checkpoint_is_in_use(
    saved, tiny, state, tmp_path
):
    def filters():
        return [list(logging.getLogger(name).filters) for name in ("absl", "asyncio")]

    before = filters()
    with checkpoint.Writer(tmp_path, tiny) as writer:
        writer.save(state)
        infogan_jax.restore(saved[0])
        assert filters() != before
    shutil.rmtree(tmp_path / "checkpoints" / "0" / "state" / "d")
    with pytest.raises(ValueError, match="damaged"):
        infogan_jax.restore(tmp_path)
    assert filters() == before


def test_a_closed_loop_of_others_is_still_told(tiny, state, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    checkpoint.save(tmp_path, tiny, state)

    class Session:
        def __del__(self):
            raise RuntimeError("Event loop is closed")

    told.clear()  # What earlier tests left may be collected by now.
    Session()
    [seen] = told
    assert "Event loop is closed" in str(seen.exc_value)


def test_an_empty_directory_is_a_clear_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        infogan_jax.restore(tmp_path)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        infogan_jax.restore(tmp_path / "nowhere")


def test_a_step_that_is_not_there_names_those_that_are(saved):
    with pytest.raises(FileNotFoundError, match=r"no step 7, only \[0, 1\]"):
        infogan_jax.restore(saved[0], step=7)


def test_unknown_networks_are_refused(saved):
    for nets in (("generator",), ()):
        with pytest.raises(
            ValueError, match=r"must be some of \['d', 'g', 'q', 'trunk'"
        ):
            infogan_jax.restore(saved[0], nets=nets)


@pytest.mark.parametrize("name", ["a b", "50%", "x*?", "a:b,c=d", "~#&'{}", "größe 数"])
def test_any_name_will_do_for_a_directory(name, tiny, state, tmp_path):
    infogan_jax.save(tmp_path / name, tiny, state)
    assert_equal(infogan_jax.restore(tmp_path / name)[1], state)


@pytest.mark.parametrize("name", ["lr[1e-3]", "a\\b"])
def test_a_name_that_could_not_be_restored_is_refused(name, tiny, state, tmp_path):
    with pytest.raises(ValueError, match="without .* name another"):
        infogan_jax.save(tmp_path / name, tiny, state)
    assert not list(tmp_path.iterdir())


def test_a_config_that_cannot_be_stored_is_refused_before_anything_is(
    tiny, state, tmp_path
):
    config = dataclasses.replace(tiny, noise=Unregistered(4))
    with pytest.raises(TypeError, match="cannot store"):
        infogan_jax.save(tmp_path, config, state)
    assert not list(tmp_path.iterdir())


# Orbax leaves the readers that failed for the garbage collector to find.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_array_file_is_a_clear_error_and_the_step_before_is_right(
    saved, tmp_path
):
    directory = tmp_path / "copy"
    shutil.copytree(saved[0], directory)
    for path in (directory / "checkpoints" / "1" / "state").rglob("*"):
        if path.is_file() and path.name not in ("_METADATA", "_sharding"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="is damaged"):
        infogan_jax.restore(directory)
    gc.collect()
    assert infogan_jax.restore(directory, step=0)[1].step == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_cannot_be_read_is_not_called_damaged(saved, tmp_path, monkeypatch):
    directory = tmp_path / "copy"
    shutil.copytree(saved[0], directory)
    for path in (directory / "checkpoints" / "1" / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")  # As nobody can read it, so for root.

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(pathlib.Path, "read_bytes", refuse)
    with pytest.raises(OSError, match="cannot be read: Permission denied"):
        infogan_jax.restore(directory)
    gc.collect()


def test_a_half_written_step_is_ignored(saved, tmp_path):
    directory = tmp_path / "copy"
    shutil.copytree(saved[0], directory)
    folder = directory / "checkpoints"
    shutil.copytree(folder / "1", folder / "2.orbax-checkpoint-tmp-0")
    assert checkpoint.steps(directory) == [0, 1]
    assert infogan_jax.restore(directory)[1].step == 1


@pytest.mark.parametrize("d_widths", [(8,), ()])  # A trunk may have nothing to learn.
def test_networks_without_statistics_are_saved_too(d_widths, key, tmp_path):
    config = infogan_jax.Config(
        architecture=networks.Mlp((4, 4, 1), g_widths=(8,), d_widths=d_widths)
    )
    images = np.zeros((2, 4, 4, 1), np.uint8)
    state = infogan_jax.init(config, key)
    state, _ = infogan_jax.train_step(config, state, {"image": images}, key)
    infogan_jax.save(tmp_path, config, state)
    assert_equal(infogan_jax.restore(tmp_path)[1], state)


def test_runs_that_are_named_by_numbers_are_no_steps(tiny, state, tmp_path):
    checkpoint.save(tmp_path / "7", tiny, state)
    assert checkpoint.steps(tmp_path) == []
    with pytest.raises(FileNotFoundError, match="holds no checkpoint; give a run's"):
        infogan_jax.restore(tmp_path)


def test_a_step_may_be_set_aside_again(tiny, state, tmp_path):
    for number in range(2):
        checkpoint.save(tmp_path, tiny, state)
        assert checkpoint.set_aside(tmp_path, 0).name == f"0-{number}"
    shutil.rmtree(tmp_path / "damaged" / "0-0")
    for number in (0, 2):  # The second one stays where it is.
        checkpoint.save(tmp_path, tiny, state)
        assert checkpoint.set_aside(tmp_path, 0).name == f"0-{number}"


def test_a_step_is_set_aside_from_another_file_system(
    tiny, state, tmp_path, monkeypatch
):
    def rename(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    checkpoint.save(tmp_path, tiny, state)
    step = tmp_path / "checkpoints" / "0"
    files = {p.relative_to(step) for p in step.rglob("*")}
    monkeypatch.setattr(os, "rename", rename)
    aside = checkpoint.set_aside(tmp_path, 0)
    assert {p.relative_to(aside) for p in aside.rglob("*")} == files
    assert checkpoint.steps(tmp_path) == []


def test_a_step_that_cannot_be_moved_stays(tiny, state, tmp_path, monkeypatch):
    def rename(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    checkpoint.save(tmp_path, tiny, state)
    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(PermissionError):
        checkpoint.set_aside(tmp_path, 0)
    assert_equal(infogan_jax.restore(tmp_path)[1], state)


def test_the_next_save_clears_what_a_kill_has_left(tiny, state, stepped, tmp_path):
    infogan_jax.save(tmp_path, tiny, state)
    folder = tmp_path / "checkpoints"
    left = folder / "7.orbax-checkpoint-tmp-0"
    shutil.copytree(folder / "0", left)
    infogan_jax.save(tmp_path, tiny, stepped[0])
    assert not left.exists() and checkpoint.steps(tmp_path) == [0, 1]


@pytest.mark.parametrize("nets", [None, ("g",)])
def test_arrays_of_another_save_are_not_taken_for_its_own(tiny, state, tmp_path, nets):
    other = infogan_jax.init(tiny, jax.random.key(99))
    for name, saved in (("a", state), ("b", other)):
        infogan_jax.save(tmp_path / name, tiny, saved)
    ours, theirs = (tmp_path / n / "checkpoints" / "0" / "state" for n in "ab")
    shutil.rmtree(ours)
    shutil.copytree(theirs, ours)
    with pytest.raises(ValueError, match="is not what was saved"):
        infogan_jax.restore(tmp_path / "a", nets=nets)


def test_a_config_that_was_edited_is_refused(tiny, state, tmp_path):
    infogan_jax.save(tmp_path, tiny, state)
    path = tmp_path / "checkpoints" / "0" / "config" / "metadata"
    text = path.read_text()
    assert '"leak": 0.1' in text
    path.write_text(text.replace('"leak": 0.1', '"leak": 0.2'))
    with pytest.raises(ValueError, match="its config was changed"):
        infogan_jax.restore(tmp_path)


def test_steps_ascend_whatever_the_order_of_the_folder(tiny, state, tmp_path):
    for step in (10, 9, 2, 1, 100, 11):
        infogan_jax.save(tmp_path, tiny, state.replace(step=state.step + step))
    assert checkpoint.steps(tmp_path) == [1, 2, 9, 10, 11, 100]
    (tmp_path / "checkpoints" / "9").rename(tmp_path / "checkpoints" / "009")
    assert checkpoint.steps(tmp_path) == [1, 2, 10, 11, 100]  # Not our name for it.


def test_the_average_comes_with_g_alone(saved):
    assert infogan_jax.restore(saved[0], nets=("q", "trunk"))[1].ema == {}


def test_a_state_that_is_being_written_may_be_saved_again(tiny, state, tmp_path):
    with checkpoint.Writer(tmp_path, tiny) as writer:
        writer.save(state)
        writer.save(state)
    assert checkpoint.steps(tmp_path) == [0]


def test_a_writer_whose_save_has_failed_keeps_nobody_out(
    tiny, state, tmp_path, monkeypatch
):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = checkpoint.Writer(tmp_path, tiny)
    with pytest.raises(OSError, match="cannot save to"), writer:
        monkeypatch.setattr(writer._manager, "wait_until_finished", full)
    infogan_jax.save(tmp_path, tiny, state)
    assert checkpoint.steps(tmp_path) == [0]


def test_a_state_that_gives_way_to_the_next_is_of_the_same_networks(
    tiny, state, tmp_path, monkeypatch
):
    infogan_jax.save(tmp_path, tiny, state)
    later, read = state.replace(step=state.step + 1), storage.read_config

    def overtaken(manager, step):
        if 0 in checkpoint.steps(tmp_path):
            shutil.rmtree(tmp_path / "checkpoints" / "0")
            infogan_jax.save(tmp_path, tiny, later)
        return read(manager, step)

    monkeypatch.setattr(storage, "read_config", overtaken)
    _, found = infogan_jax.restore(tmp_path, nets=("g",))
    assert found.step == 1 and set(found.nets) == {"g"}


def test_threads_may_save_at_once_each_to_a_directory_of_its_own(tiny, state, tmp_path):
    places = [tmp_path / str(i) for i in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda to: infogan_jax.save(to, tiny, state), places))
    for place in places:
        assert_equal(infogan_jax.restore(place)[1], state)


def test_saving_and_restoring_ask_for_every_transfer(tiny, state, tmp_path):
    with jax.transfer_guard("disallow"):
        infogan_jax.save(tmp_path, tiny, state)
        _, found = infogan_jax.restore(tmp_path, nets="g")
    assert set(found.nets) == {"g"}
    assert not any(x.committed for x in jax.tree.leaves(found))
