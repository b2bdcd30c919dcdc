"""Runs from the command line: what they leave, how they resume, how they refuse."""

import dataclasses
import errno
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

import jax
import numpy as np
import pytest
import table
import tiny_experiment
from helpers import read_lines

import infogan_jax
from infogan_jax import __main__ as cli
from infogan_jax import checkpoint, data, schedules
from infogan_jax.host import console
from infogan_jax.runs import loop, program, records
from infogan_jax.runs import options as options_lib

HERE = pathlib.Path(__file__).parent


SCRIPT = str(HERE / "tiny_experiment.py")


@pytest.fixture(scope="session")
def images(tmp_path_factory, dataset):
    path = tmp_path_factory.mktemp("images") / "images.npz"
    np.savez(path, image=dataset["image"], label=dataset["label"])
    return path


def run(*arguments):
    """A process of its own, as a user starts it."""
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True
    )


@pytest.fixture(scope="session")
def finished(images, tmp_path_factory):
    """A run of four updates that nothing interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    done = run("--data", f"npz:{images}", "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_a_run_leaves_all_that_it_promises(finished):
    out, printed = finished
    assert "no checkpoint" not in printed  # It is a resumed run that says so.
    left = {path.name for path in out.iterdir()}
    assert left >= {
        "config.json",
        "run.json",
        "environment.json",
        "metrics.jsonl",
        "timings.jsonl",
        "accuracy.jsonl",
        "evaluation.json",
        "checkpoints",
        "categories.png",
        "sweep_1.png",
        "sweep_2.png",
        "plane.png",
        "curves.png",
    }
    assert "held-out accuracy" in printed and "category -> label" in printed
    # Of the 64 images six are held out, and nothing is measured on the others.
    assert json.loads((out / "evaluation.json").read_text())["test_images"] == 6
    for row in read_lines(out / "accuracy.jsonl"):
        assert 6 * row["hungarian"] == pytest.approx(round(6 * row["hungarian"]))
    assert f"python -m infogan_jax sample {out}" in printed


def test_metrics_have_a_line_per_update_and_no_clock(finished):
    lines = read_lines(finished[0] / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert not any(re.search("time|second|clock", name) for name in lines[0])
    assert all(np.isfinite(list(line.values())).all() for line in lines)


def test_environment_names_versions_devices_data_and_seed(finished):
    environment = json.loads((finished[0] / "environment.json").read_text())
    assert environment["versions"]["jax"] == jax.__version__
    assert len(environment["dataset"]["sha256"]) == 64
    assert environment["seed"] == 0 and environment["devices"]
    assert environment["processor"] in subprocess.getoutput("cat /proc/cpuinfo; arch")


def refused(capsys, status, *words):
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.startswith("error: ") and "Traceback" not in captured.err
    for word in words:
        assert word in captured.err


def test_an_existing_run_is_not_overwritten(finished, images, capsys):
    out, _ = finished
    before = (out / "metrics.jsonl").read_bytes()
    status = tiny_experiment.main(["--data", f"npz:{images}", "--out", str(out)])
    refused(capsys, status, "exists", "--resume")
    assert (out / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--batch-size", "8"], "--batch-size 8 conflicts with the run's 16"),
        (["--seed", "1"], "--seed 1 conflicts with the run's 0"),
        (["--steps", "2"], "--steps 2 conflicts with the run's 4"),
        (["--quick"], "--quick True conflicts"),
        (["--data", "bundled"], "--data bundled conflicts"),
        (["--evaluate-every", "1"], "--evaluate-every 1 conflicts with the run's 2"),
        (["--save-every", "1"], "--save-every 1 conflicts with the run's 2"),
        (["--bfloat16"], "--bfloat16 True conflicts with the run's False"),
    ],
)
def test_a_resumed_run_refuses_other_options(finished, capsys, arguments, word):
    status = tiny_experiment.main(["--out", str(finished[0]), "--resume", *arguments])
    refused(capsys, status, word)


def copy_run(finished, tmp_path):
    import shutil

    return pathlib.Path(shutil.copytree(finished[0], tmp_path / "copy"))


def test_a_resumed_run_refuses_other_data(finished, tmp_path, capsys, dataset):
    out = copy_run(finished, tmp_path)
    other = tmp_path / "other.npz"
    np.savez(other, image=255 - dataset["image"], label=dataset["label"])
    options = json.loads((out / "run.json").read_text()) | {"data": f"npz:{other}"}
    (out / "run.json").write_text(json.dumps(options))
    status = tiny_experiment.main(["--out", str(out), "--resume"])
    refused(capsys, status, "not the data that this run began with")


def test_a_resumed_run_refuses_another_kind_of_keys(finished, tmp_path, capsys):
    out = copy_run(finished, tmp_path)
    others = {
        "rbg": jax.default_prng_impl("rbg"),
        "threefry2x32, not partitionable": jax.threefry_partitionable(False),
    }
    names = "JAX_DEFAULT_PRNG_IMPL", "JAX_THREEFRY_PARTITIONABLE"
    for kind, setting in others.items():
        with setting:
            status = tiny_experiment.main(["--out", str(out), "--resume"])
        words = f"began with keys of 'threefry2x32', not '{kind}'"
        refused(capsys, status, words, *names)
    with jax.default_prng_impl("rbg"), jax.threefry_partitionable(False):
        assert records.kind_of_keys() == "rbg, not partitionable"


def test_a_run_goes_on_with_data_that_have_moved(finished, images, tmp_path, capsys):
    out, moved = copy_run(finished, tmp_path), tmp_path / "moved.npz"
    options = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(options | {"data": "npz:gone.npz"}))
    status = tiny_experiment.main(["--out", str(out), "--resume"])
    refused(capsys, status, "gone.npz")
    moved.write_bytes(images.read_bytes())
    again = ["--out", str(out), "--resume", "--data", f"npz:{moved}"]
    assert tiny_experiment.main(again) == 0
    assert json.loads((out / "run.json").read_text())["data"] == f"npz:{moved}"


STARTED = """
import jax
from infogan_jax.host import console
console.run(lambda: len(jax.devices()))
"""


@pytest.mark.parametrize("platform", ["cuda", "nonsense"])
def test_a_device_that_jax_does_not_find_is_one_line(platform, images, tmp_path):
    environment = os.environ | {"JAX_PLATFORMS": platform}
    words = [sys.executable, SCRIPT, "--data", f"npz:{images}", "--out", tmp_path / "r"]
    for command in (words, [sys.executable, "-c", STARTED]):
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        line = ended.stderr.splitlines()[-1]
        assert ended.returncode == 2 and line.startswith("error: "), ended.stderr
        assert line.endswith(
            "see to it, or name another by JAX_PLATFORMS, such as cpu."
        )
        assert "Traceback" not in ended.stderr
        if platform == "cuda":  # Of which JAX itself says nothing at all.
            assert "JAX finds no such device" in line


def test_without_a_home_the_cache_is_a_temporary_one(monkeypatch, tmp_path):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pathlib.Path, "home", nobody)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert data.default_dir() == tmp_path / "infogan_jax"


def test_a_shortened_option_is_refused(capsys):
    with pytest.raises(SystemExit):
        tiny_experiment.main(["--ou", "elsewhere"])
    assert "unrecognized arguments: --ou" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "2>&1 | head -c 1"])
def test_a_run_goes_on_when_nobody_listens(images, tmp_path, closed):
    words = [sys.executable, SCRIPT, "--data", f"npz:{images}", "--out", tmp_path / "r"]
    command = f"{shlex.join(map(str, words))} {closed}"
    subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], check=True)
    assert (tmp_path / "r" / "evaluation.json").exists()
    assert (tmp_path / "r" / "curves.png").exists()


def test_a_directory_that_is_no_run_is_not_to_be_resumed(tmp_path, images, capsys):
    (tmp_path / "letter.txt").write_text("dear")
    status = tiny_experiment.main(["--data", f"npz:{images}", "--out", str(tmp_path)])
    refused(capsys, status, "exists. It is no run; name another by --out.")


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    images, tmp_path, capsys, monkeypatch
):
    blown = schedules.Switch(1e-3, tiny_experiment.Infinite(), at=2)
    d, g = tiny_experiment.CONFIG.updates
    updates = dataclasses.replace(d, lr=blown), g
    wild = dataclasses.replace(tiny_experiment.CONFIG, updates=updates)
    monkeypatch.setattr(tiny_experiment, "CONFIG", wild)
    out = tmp_path / "run"
    wish = ["--data", f"npz:{images}", "--out", str(out), "--save-every", "1"]
    assert tiny_experiment.main([*wish, "--steps", "20"]) == 1
    assert re.search(r"is (nan|-?inf) at update 3", capsys.readouterr().err)
    assert checkpoint.steps(out) == [1, 2]
    arrays = jax.tree.leaves(infogan_jax.restore(out)[1])
    assert all(np.isfinite(array).all() for array in arrays)


@infogan_jax.register
@dataclasses.dataclass(frozen=True)
class FiniteButSteep:
    """A loss of 0 whose gradient is not a number."""

    def __call__(self, p):
        return {"g": jax.numpy.sqrt(0.0 * p.d_fooled.sum())}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objective": (FiniteButSteep(),)}, "g/gradient is nan at update 1"),
        (
            {"updates": (tiny_experiment.CONFIG.updates[0], tiny_experiment.INFINITE)},
            "not finite after update 1",
        ),
    ],
)
def test_what_is_not_finite_is_named_and_never_saved(
    images, tmp_path, capsys, monkeypatch, change, words
):
    sick = dataclasses.replace(tiny_experiment.CONFIG, **change)
    monkeypatch.setattr(tiny_experiment, "CONFIG", sick)
    out = tmp_path / "run"
    arguments = ["--data", f"npz:{images}", "--out", str(out), "--save-every", "1"]
    assert tiny_experiment.main(arguments) == 1
    assert words in capsys.readouterr().err
    assert checkpoint.steps(out) == []


# The command line on a finished run.


def test_sample_by_digit_draws_its_category(finished, tmp_path, capsys):
    out, _ = finished
    report = json.loads((out / "evaluation.json").read_text())
    for category, digit in enumerate(report["label_of"]):
        path = tmp_path / f"{digit}.npz"
        arguments = ["sample", str(out), "--digit", str(digit), "--n", "5"]
        assert cli.main([*arguments, "--out", str(path)]) == 0
        with np.load(path) as arrays:
            expected = [np.eye(3)[category]] * 5
            np.testing.assert_array_equal(arrays["c"][:, :3], expected)
        shown, counts = capsys.readouterr().out, report["confusion"][category]
        share = counts[digit] / max(sum(counts), 1)
        assert f"{share:.0%} of its test images are a {digit}\nwrote {path}" in shown
    picture = tmp_path / "picture.png"
    assert cli.main([*arguments, "--out", str(picture)]) == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_sample_as_arrays_fixes_what_was_asked(finished, tmp_path):
    path = str(tmp_path / "s.npz")
    arguments = ["sample", str(finished[0] / "checkpoints"), "--set", "0=2"]
    assert cli.main([*arguments, "--set", "1=0.5", "--n", "3", "--out", path]) == 0
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays["c"][:, :4], [[0, 0, 1, 0.5]] * 3)
        assert arrays["images"].shape == (3, 8, 8, 1)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--out", "threes"], "'threes' names no picture; give it an ending"),
        (["--out", "."], "'.' names no picture"),
        (["--out", "~nobody-of-this-name/x.png"], "Write the whole path"),
        (["--import", "my/terms.py"], "'my/terms.py' is no module's name, such as"),
        (["--seed", "-1"], "must lie in 0 .. 2**32 - 1, not -1"),
        (["--seed", str(2**32)], "must lie in 0 .. 2**32 - 1"),
    ],
)
def test_wrong_options_of_a_command_are_told_at_once(option, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["sample", "a run", *option])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[1]", "{}", '{"data": ', '{"data": 5}'])
def test_a_damaged_file_of_a_run_is_named_by_evaluate(finished, tmp_path, text, capsys):
    out = copy_run(finished, tmp_path)
    (out / "run.json").write_text(text)
    assert cli.main(["evaluate", str(out)]) == 2
    assert f"{out}/run.json is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda report: report.pop("confusion"), "it has no 'confusion'"),
        (lambda report: report.update(confusion=[]), "list index out of range"),
        (lambda report: report.update(label_of=3), "'int' object is not iterable"),
    ],
)
def test_a_damaged_report_is_named_by_sample(finished, tmp_path, change, what, capsys):
    out = copy_run(finished, tmp_path)
    report = json.loads((out / "evaluation.json").read_text())
    digit = str(report["label_of"][0])
    change(report)
    (out / "evaluation.json").write_text(json.dumps(report))
    assert cli.main(["sample", str(out), "--digit", digit]) == 2
    assert f"evaluation.json is damaged: {what}." in capsys.readouterr().err


def test_a_run_without_labels_knows_no_digits(finished, tmp_path, capsys):
    out = copy_run(finished, tmp_path)
    report = json.loads((out / "evaluation.json").read_text())
    del report["label_of"]
    (out / "evaluation.json").write_text(json.dumps(report))
    status = cli.main(["sample", str(out), "--digit", "1"])
    refused(capsys, status, f"{out} knows no digits", "no labels, or", "--set 0=3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"dataset": {}}', "is damaged: it has no 'sha256'"),
        ('{"dataset": 3}', "names no dataset's hash"),
        ("{}", "is damaged: it has no 'dataset'"),
    ],
)
def test_evaluate_needs_the_hash_of_its_runs_data(
    finished, tmp_path, text, message, capsys
):
    out = copy_run(finished, tmp_path)
    (out / "environment.json").write_text(text)
    assert cli.main(["evaluate", str(out)]) == 2
    assert f"environment.json {message}" in capsys.readouterr().err


def test_evaluate_refuses_data_that_have_changed(images, finished, tmp_path, capsys):
    out = copy_run(finished, tmp_path)
    arrays = dict(np.load(images))
    changed = tmp_path / "changed.npz"
    np.savez(changed, image=255 - arrays["image"], label=arrays["label"])
    options = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(options | {"data": f"npz:{changed}"}))
    assert cli.main(["evaluate", str(out)]) == 2
    assert "not the data that this run began with" in capsys.readouterr().err
    environment = json.loads((out / "environment.json").read_text())
    environment["dataset"]["sha256"] = 5
    (out / "environment.json").write_text(json.dumps(environment))
    assert cli.main(["evaluate", str(out)]) == 2
    assert "then 5; give --data to evaluate" in capsys.readouterr().err
    assert cli.main(["evaluate", str(out), "--data", f"npz:{changed}"]) == 0


def test_evaluate_says_where_it_looked_for_a_runs_images(
    finished, tmp_path, monkeypatch, capsys
):
    out = copy_run(finished, tmp_path)
    options = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(options | {"data": "npz:digits.npz"}))
    monkeypatch.chdir(tmp_path)
    status = cli.main(["evaluate", str(out)])
    refused(capsys, status, f"no file digits.npz in {tmp_path};", "By --data you can")


def test_traverse_infer_and_evaluate_work_on_a_run(finished, images, tmp_path, capsys):
    out = str(finished[0])
    picture, table = tmp_path / "t.png", tmp_path / "codes.csv"
    assert cli.main(["traverse", out, "--code", "1", "--out", str(picture)]) == 0
    assert picture.stat().st_size > 1000
    assert cli.main(["infer", out, str(images), "--out", str(table)]) == 0
    arrays = tmp_path / "codes.npz"
    assert cli.main(["infer", out, str(images), "--out", str(arrays)]) == 0
    codes = np.load(arrays)["codes"]
    assert codes.shape == (64, 5)
    read = np.loadtxt(table, delimiter=",", skiprows=1)
    np.testing.assert_allclose(read[:, 1:], codes, atol=1e-5)
    assert read[:, 0].tolist() == list(range(64))
    head = table.read_text().splitlines()[0]
    assert head == "image,code0_0,code0_1,code0_2,code1,code2"
    assert cli.main(["evaluate", out]) == 0
    assert "held-out accuracy" in capsys.readouterr().out


def test_a_table_of_codes_has_files_of_any_name(finished, tmp_path):
    from PIL import Image

    folder, table = tmp_path / "pictures", tmp_path / "codes.csv"
    folder.mkdir()
    name = os.fsdecode(b"\xff\xe9.png")  # No UTF-8.
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / name)
    run = [sys.executable, "-m", "infogan_jax", "infer", finished[0], folder]
    subprocess.run([*run, "--out", table], check=True, env=os.environ | {"LC_ALL": "C"})
    assert table.read_bytes().splitlines()[1].startswith(b"\xff\xe9.png,")


def test_a_table_ends_as_one(capsys):
    with pytest.raises(SystemExit):
        cli.main(["infer", "a run", "a folder", "--out", "codes.json"])
    assert "'codes.json' must end in .csv or .npz" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["x.jpg", "x.npz"])
def test_a_full_disk_leaves_the_file_that_was_there(
    finished, tmp_path, name, monkeypatch, capsys
):
    """And a link that leads to it."""

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / name).write_text("mine")
    (tmp_path / "link").symlink_to(name)
    link = (tmp_path / "link").rename(tmp_path / f"link-{name}")
    monkeypatch.setattr(os, "fsync", full)
    arguments = ["sample", str(finished[0]), "--out", str(link)]
    refused(capsys, cli.main(arguments), f"cannot write {link}: No space left")
    assert (tmp_path / name).read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {name, link.name}
    monkeypatch.undo()
    assert cli.main(arguments) == 0
    assert link.is_symlink() and (tmp_path / name).stat().st_size > 1000


def test_a_device_is_written_to_as_it_stands(finished, images, capsys):
    if not pathlib.Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    arguments = ["infer", str(finished[0]), str(images), "--out", "/dev/full"]
    refused(capsys, cli.main(arguments), "cannot write /dev/full: No space left")
    assert not pathlib.Path("/dev/full").is_file()


def test_images_that_are_missing_are_told_as_such_again(finished, tmp_path, capsys):
    table = tmp_path / "codes.csv"
    table.touch()
    words = ["infer", str(finished[0]), str(tmp_path / "typo"), "--out", str(table)]
    refused(capsys, cli.main(words), f"there is no file {tmp_path / 'typo'}; give a")


def test_what_no_run_has_saved_is_used_without_a_runs_files(
    finished, images, tmp_path, monkeypatch, capsys
):
    infogan_jax.save(tmp_path / "own", *infogan_jax.restore(finished[0]))
    monkeypatch.chdir(tmp_path)
    status = cli.main(["evaluate", "own"])
    refused(capsys, status, "run.json is missing", "name the images by --data.")
    assert cli.main(["evaluate", "own", "--data", f"npz:{images}"]) == 0
    status = cli.main(["sample", "own", "--digit", "1"])
    refused(capsys, status, "evaluation.json is missing", "--set 0=3.")
    assert cli.main(["sample", "own", "--set", "0=1"]) == 0


def test_what_is_read_is_not_written_over(finished, tmp_path, capsys):
    path = tmp_path / "x.npz"
    np.savez(path, image=np.zeros((2, 8, 8), np.uint8))
    before = path.read_bytes()
    status = cli.main(["infer", str(finished[0]), str(path), "--out", str(path)])
    refused(capsys, status, f"{path} is what is to be read")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sample", "RUN", "--digit", "77"], ["no category", "digit 77"]),
        (["sample", "RUN", "--set", "1=7"], ["outside"]),
        (["sample", "RUN", "--out", "no/such/dir/x.png"], ["cannot write"]),
        (["evaluate", "RUN", "--data", "mnits"], ["unknown dataset"]),
        (["evaluate", "RUN", "--data", "bundled"], ["do not fit"]),
    ],
)
def test_wrong_wishes_are_one_clear_line(finished, capsys, arguments, words):
    arguments = [str(finished[0]) if a == "RUN" else a for a in arguments]
    refused(capsys, cli.main(arguments), *words)


def test_the_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "infogan_jax", "sample", "nowhere"],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 2 and done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("error", [OSError, AttributeError, TypeError])
def test_memory_that_cannot_be_given_back_stops_no_run(monkeypatch, error):
    def missing(_):
        raise error

    monkeypatch.setattr(loop.ctypes, "CDLL", missing)
    loop.give_memory_back()


def test_a_run_logs_what_tables_and_reports_read(finished, capsys):
    out = finished[0]
    report = json.loads((out / "evaluation.json").read_text())
    *_, last = read_lines(out / "accuracy.jsonl")
    for name in ("hungarian", "nmi", "ari", "image_information"):
        assert last[name] == report[name]
    assert table.main([str(out), "--curve"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert len(rows) == 2
    assert rows[-1] == f"| 4 | {report['hungarian']:.4f} | {report['nmi']:.3f} |"


def test_traverse_shows_what_its_options_say(finished, monkeypatch):
    seen = []
    monkeypatch.setattr(cli, "_save_grid", lambda *shown: seen.append(shown))
    run = str(finished[0])
    wish = ["--code", "1", "--rows", "2", "--steps", "3", "--seed", "5"]
    assert cli.main(["traverse", run, *wish]) == 0
    config, state = infogan_jax.restore(run)
    expected = infogan_jax.traverse(
        config, state, jax.random.key(5), 1, rows=2, steps=3
    )
    [(images, title, _, names)] = seen
    np.testing.assert_allclose(images, expected, atol=1e-6)
    assert title == "code 1, noise of seed 5" and names == ["-1", "0", "1"]


def test_sample_draws_by_its_seed_row_by_row(finished, monkeypatch):
    seen = []
    monkeypatch.setattr(cli, "_save_grid", lambda *shown: seen.append(shown))
    run = str(finished[0])
    assert cli.main(["sample", run, "--n", "5", "--seed", "7"]) == 0
    config, state = infogan_jax.restore(run)
    drawn = infogan_jax.sample(config, state, jax.random.key(7), 5).images
    [(images, title, _)] = seen
    assert images.shape == (2, 3, 8, 8, 1) and title == "5 samples, noise of seed 7"
    np.testing.assert_allclose(images.reshape(6, 8, 8, 1)[:5], drawn, atol=1e-6)
    assert (images[1, 2] == 1).all()  # White where there is none.


def test_files_of_a_folder_are_told_apart_by_their_paths(finished, tmp_path):
    from PIL import Image

    for name, grey in (("b/1.png", 200), ("a/1.png", 0)):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        Image.fromarray(np.full((8, 8), grey, np.uint8)).save(tmp_path / "in" / name)
    codes = tmp_path / "codes.csv"
    argv = ["infer", str(finished[0]), str(tmp_path / "in"), "--out", str(codes)]
    assert cli.main(argv) == 0
    config, state = infogan_jax.restore(finished[0])
    pictures = np.stack([np.full((8, 8, 1), grey, np.uint8) for grey in (0, 200)])
    expected = config.codes.mean(infogan_jax.infer(config, state, pictures))
    rows = [line.split(",") for line in codes.read_text().splitlines()[1:]]
    assert [row[0] for row in rows] == ["a/1.png", "b/1.png"]
    found = [[*map(float, row[1:])] for row in rows]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_compiled_programs_are_kept_in_the_users_cache(tmp_path, monkeypatch, capsys):
    name = "jax_compilation_cache_dir"
    before, where = jax.config.values[name], tmp_path / "infogan_jax" / "compiled"
    (tmp_path / "file").touch()
    try:
        for cache, kept in ((tmp_path / "file", None), (tmp_path, str(where))):
            monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
            jax.config.update(name, None)
            program.keep_compiled_programs()
            assert jax.config.values[name] == kept
    finally:
        jax.config.update(name, before)
    refused, said = capsys.readouterr().out.splitlines()
    assert "are not kept" in refused and said.endswith(str(where)) and where.is_dir()


def test_a_run_may_go_on_with_data_and_devices_elsewhere(tmp_path):
    began = options_lib.Options(False, "mnist", None, 4, 16, 0, 2, 2, 1)
    (tmp_path / "run.json").write_text(json.dumps(dataclasses.asdict(began)))
    given = {"data": "auto", "data_dir": "there", "devices": 2}
    expected = dataclasses.replace(began, data_dir="there", devices=2)
    assert options_lib.resumed(tmp_path, given) == expected


@pytest.mark.parametrize(
    ("first", "failures", "message"),
    [
        ("the others'", 0, "differs between the processes"),
        ("", 1, "another process lacks"),  # The first one.
        (None, 1, "another process lacks"),
    ],
)
def test_processes_stop_together_where_one_lacks_the_data(
    first, failures, message, images, monkeypatch
):
    """As the second of two sees it."""
    of_first = (lambda make: make()) if first is None else lambda make: first
    monkeypatch.setattr(program.processes, "text_from_first", of_first)
    agreed = []
    monkeypatch.setattr(
        program.processes, "agree", lambda mine: [agreed.append(mine) or failures]
    )
    wish = options_lib.Options(False, f"npz:{images}", None, 4, 16, 0, 2, 2, 1)
    with pytest.raises(console.Stop, match=message):
        program._load(wish)
    with pytest.raises(OSError, match="gone.npz"):
        program._load(dataclasses.replace(wish, data="npz:gone.npz"))
    assert agreed == [not failures, True]
