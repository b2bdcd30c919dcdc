"""Every experiment imports, explains itself, and refuses nonsense."""

import contextlib
import dataclasses
import functools
import importlib
import json
import pathlib
import signal
import subprocess
import sys
import urllib.error

import arms
import chex
import figure1
import jax
import mnist
import mnist_vat
import numpy as np
import pytest
import tries
from flax import linen as nn

import infogan_jax
from infogan_jax import networks, presets, schedules
from infogan_jax.host import console
from infogan_jax.runs import loop

FOLDER = pathlib.Path(mnist.__file__).parent
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if "def main(" in p.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_the_docstring_with_its_command(name, capsys):
    module = importlib.import_module(name)
    with pytest.raises(SystemExit) as stopped:
        module.main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert f"python experiments/{name}.py" in shown and "results:" in shown.lower()
    # Ctrl-C, a full device and a full disk are told in a line there.
    assert (FOLDER / f"{name}.py").read_text().endswith("    console.run(main)\n")


@pytest.mark.parametrize("name", NAMES)
def test_the_beginning_of_an_option_is_none(name, capsys):
    """It may be the beginning of another command's: `--seed` is no `--seeds`."""
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(name).main(["--hel"])
    assert stopped.value.code == 2


def test_ctrl_c_is_one_line_and_the_end(tmp_path):
    code = f"""
import runpy, signal, sys
from infogan_jax import data
signal.signal(signal.SIGINT, signal.default_int_handler)  # It may be ignored here.
data.load = lambda *_: signal.raise_signal(signal.SIGINT)
sys.path.insert(0, {str(FOLDER)!r})
sys.argv = ["tries.py", "quick"]
runpy.run_path({str(FOLDER / "tries.py")!r}, run_name="__main__")
"""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGINT
    assert (ended.stdout, ended.stderr) == ("", "interrupted.\n")


def test_mnist_is_the_papers_setting_with_the_category_first():
    options = mnist.defaults(False)
    assert (options.steps, options.batch_size) == (5000, 128)
    config = mnist.build(options, (28, 28, 1))
    game, information = config.objective
    paper = dataclasses.replace(config, objective=presets.PAPER.objective)
    assert paper == presets.PAPER and game == presets.PAPER.objective[0]
    for step, expected in ((2499, [0.1, 0.001, 0.001]), (2500, [1.0, 0.3, 0.3])):
        weights = [float(weight(step)) for weight in information.weight]
        assert weights == pytest.approx(expected)


def test_quick_is_the_same_experiment_with_a_small_network():
    config = mnist.build(mnist.defaults(True), (32, 32, 3))
    assert config.image_shape == (32, 32, 3)
    assert config.architecture.width < presets.PAPER.architecture.width
    assert config.codes == presets.PAPER.codes and config.noise == presets.PAPER.noise
    for mine, papers in zip(config.objective, presets.PAPER.objective, strict=True):
        assert type(mine) is type(papers)
    assert [weight.after for weight in config.objective[1].weight] == [1, 1, 1]
    for mine, papers in zip(config.updates, presets.PAPER.updates, strict=True):
        assert (mine.name, mine.nets) == (papers.name, papers.nets)


@pytest.mark.parametrize("is_quick", [False, True])
def test_a_q_taught_by_images_is_all_that_its_experiment_adds(is_quick):
    options = dataclasses.replace(mnist_vat.defaults(is_quick), steps=1000)
    config = mnist_vat.build(options, (28, 28, 1))
    plain = mnist.build(options, (28, 28, 1))
    game, of_g, of_q, smooth, sure = config.objective
    d, g, q = config.updates
    assert game == plain.objective[0]
    assert dataclasses.replace(d, begin=0) == plain.updates[0]
    both = ("g", "q")
    assert dataclasses.replace(g, nets=both, begin=0) == plain.updates[1]
    assert dataclasses.replace(q, name="g", nets=both, lr=g.lr) == plain.updates[1]
    assert (d.begin, g.begin, q.begin) == (625, 625, 0)
    dense = {"shared": False, "q_trunk": (400,), "q_hidden": 400}
    architecture = dataclasses.replace(plain.architecture, **dense)
    assert config.architecture == architecture
    assert config.codes == plain.codes and config.noise == plain.noise
    taught = [term.updates for term in (of_g, of_q, smooth, sure)]
    assert taught == [("g",), ("q",), ("q",), ("q",)] and q.nets == ("q",)
    assert (sure.weight, smooth.probe) == (0.1, 10.0)
    assert config.from_json(config.to_json()) == config

    def course(value, *at):
        return [float(schedules.at(value, step)) for step in at]

    # First far around every image, then near by; L_I teaches G at once, and Q last.
    assert course(smooth.radius, 0, 300) == pytest.approx([2.5, 0.5])
    assert course(sure.balance, 150, 300) == pytest.approx([8.0, 4.0])
    assert course(smooth.weight, 150, 300) == pytest.approx([1.0, 3.0])
    assert of_g.weight[0] == 0.1
    assert course(of_q.weight[0], 800, 900) == pytest.approx([0.001, 0.1])
    for weight in (*of_g.weight[1:], *of_q.weight[1:]):
        assert course(weight, 624, 625) == pytest.approx([0.001, 0.3])
    assert course(q.lr, 750, 1000) == pytest.approx([2e-3, 2e-4])


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_q_taught_by_images_has_a_schedule_for_any_number_of_steps(steps):
    options = dataclasses.replace(mnist_vat.defaults(True), steps=steps)
    assert mnist_vat.build(options, (28, 28, 1)).objective


def test_help_of_mnist_shows_every_option_with_both_defaults(capsys):
    with pytest.raises(SystemExit):
        mnist.main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for option in dataclasses.asdict(mnist.defaults(False)):
        assert "--" + option.replace("_", "-") in shown
    assert "(default: 128, with --quick 64)" in shown


def test_figure1_summary_takes_the_named_iterations():
    curves = {"InfoGAN": [1.0] * 99 + [2.5] * 901, "GAN": [0.0] * 299 + [0.1] * 701}
    found = figure1.summary(curves)
    assert found["InfoGAN, mean over 400 to 900"] == pytest.approx(2.5)
    assert found["GAN, mean over 300 to 900"] == pytest.approx(0.1)
    assert found["InfoGAN, first update above 2.0"] == 100
    shorter = {name: bounds[:450] for name, bounds in curves.items()}
    means = [
        value for name, value in figure1.summary(shorter).items() if "mean" in name
    ]
    assert means == [None, None]


def test_figure1_follows_the_bound_through_every_update(tiny, dataset, monkeypatch):
    key = jax.random.key(3)
    monkeypatch.setattr(figure1, "BATCH", 16)
    monkeypatch.setattr(figure1, "EVERY", 5)
    found = figure1.information(tiny, dataset, 12, 3, "tiny")  # 5, 5 and 2 updates.
    state, alone = infogan_jax.init(tiny, key), []
    for _ in range(12):
        batch = infogan_jax.training.draw(dataset, key, state.step, 16)
        state, metrics = infogan_jax.train_step(tiny, state, batch, key)
        alone.append(float(metrics["info/0"]))
    assert found == pytest.approx(alone, rel=1e-3)
    assert len(set(alone)) == 12


def test_only_a_stop_of_ours_names_an_exit_status(capsys):
    lost = urllib.error.HTTPError("http://x", 404, "Not Found", {}, None)
    assert console.tell(lost) == 2
    assert console.tell(console.Stop("seeds have failed", status=1)) == 1
    assert console.tell(console.Stop("saved", status=130)) == 130
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "error: HTTP Error 404: Not Found",
        "error: seeds have failed",
        "saved",
    ]


def test_every_try_is_a_configuration_that_fits():
    quick = mnist.quick(1000)
    for name, change in arms.CHANGES.items():
        assert (change(quick) == quick) == (name == "quick"), name


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("sprites", ["--variant", "modified", "--after", "."]),
        ("sprites", ["--fraction", "0"]),
        ("sprites", ["--fraction", "1.5"]),
        ("sprites", ["--votes", "2"]),
        ("mnist_seeds", ["--seeds", "x"]),
        ("mnist_seeds", ["--distributed"]),
        ("benchmark", ["--json", "/no/such/place.json"]),
        ("benchmark", ["--growth", "--figure", "/no/such/place.png"]),
        ("benchmark", ["--figure", "growth.png"]),
        ("accelerator", ["--out", "/no/such/place.json"]),
        ("accelerator", ["--seeds", "0"]),
        ("benchmark", ["--batch-size", "1"]),
        ("tries", ["quick", "--steps", "0"]),
        ("tries", ["quick", "--steps", "9", "--until", "10"]),
        ("tries", ["quick", "--batch-size", "0"]),
        ("tries", ["quick", "--batch-size", "1"]),
        ("tries", ["quick", "--seed", "-1"]),
        ("tries", ["noise-4+narrow"]),
        ("figure1", ["--seed", str(2**32)]),
        ("sprites", ["--fraction", "nan"]),
        ("sprites", ["--fraction", "0.00001"]),
    ],
)
def test_impossible_options_are_exit_status_two(name, argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(name).main(argv)
    assert stopped.value.code == 2
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "argv", "words"),
    [
        ("benchmark", ["--growth", "--width", "8"], "--width: the growth table has"),
        ("benchmark", ["--growth", "--float32"], "--float32: the growth table has"),
        ("benchmark", ["--growth", "--figure", "growth"], "names no picture"),
        ("benchmark", ["--growth", "--json", "x.a", "--figure", "x.a"], "one file"),
        ("tries", ["quick", "--table", "x.jsonl"], "one of the two"),
        ("tries", [], "one of the two"),
        ("endurance", ["--minutes", "nan"], "must be finite, above 0, not nan"),
        ("endurance", ["--every", "0"], "must be finite, above 0, not 0"),
        ("endurance", ["--seed", "1"], "set for each seed by --first-seed"),
        ("endurance", ["--first-sede", "1"], "unrecognized arguments: --first-sede"),
        ("mnist_seeds", ["--seed=1"], "set for each seed by --seeds"),
        ("mnist_seeds", ["--distributed=auto"], "joins a cluster once"),
        *(
            (name, [*argv, "~nobody-of-this-name/x.png"], "Write the whole path")
            for name, *argv in (
                ("mnist_seeds", "--out"),
                ("figure1", "--out"),
                ("accelerator", "--out"),
                ("benchmark", "--json"),
                ("benchmark", "--growth", "--figure"),
                ("sweeps", "a run", "--json"),
            )
        ),
    ],
)
def test_a_refused_option_says_why_and_leaves_nothing(
    name, argv, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(name).main(argv)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("script", "argv", "update"),
    [
        (tries, ["quick", "--steps", "600"], 50),
        (figure1, ["--data", "bundled", "--out", "HERE"], 10),
    ],
)
def test_training_that_diverges_says_when(
    script, argv, update, tmp_path, monkeypatch, capsys
):
    def diverging(config, state, *arguments, steps, **options):
        weights = jax.tree.map(lambda x: x * np.nan, state.nets["q"].params)
        nets = state.nets | {"q": state.nets["q"].replace(params=weights)}
        return state.replace(nets=nets, step=state.step + steps), {}

    monkeypatch.setattr(loop.training, "train_steps", diverging)
    monkeypatch.setattr(figure1, "CONFIGS", {"InfoGAN": tiny_mnist()})
    out = tmp_path / "out"
    assert script.main([word.replace("HERE", str(out)) for word in argv]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"a parameter is not finite after update {update}: training" in line
    assert line.endswith("; nothing was saved.")
    assert not list(out.glob("*"))


def test_instance_noise_is_each_image_s_own_and_of_training_alone():
    class Same(nn.Module):
        @nn.compact
        def __call__(self, images, *, train):
            return images

    entrance, images = arms.NoisyEntrance(Same(), 0.3), np.full((50, 8, 8, 1), 0.5)
    keys = jax.random.split(jax.random.key(0), 50)
    seen = np.asarray(entrance.apply({}, images, train=True, keys=keys)) - images
    # Of 3,200 draws; a deviation's own is .3 / sqrt(6,400) = .004.
    assert abs(seen.std() - 0.3) < 0.016 and abs(seen.mean()) < 4 * 0.3 / 3200**0.5
    assert len(np.unique(seen)) > 3000
    np.testing.assert_array_equal(entrance.apply({}, images, train=False), images)


def test_an_average_keeps_its_share_and_is_of_q_and_the_trunk(state):
    moved = state.replace(nets=jax.tree.map(lambda x: x + 1, state.nets))
    found = tries.averaged(tries.averaged(None, state), moved)
    wanted = {name: state.nets[name] for name in ("trunk", "q")}
    wanted = jax.tree.map(lambda x: x + 0.05, wanted)
    chex.assert_trees_all_close(found, wanted, atol=1e-6)


def tiny_mnist():
    """A config of the digits' size that is initialised in no time."""
    small = networks.Dcgan(width=2, dense=4, init_std=None)
    return infogan_jax.Config(architecture=small)


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        *((name, ["--out", "HERE"]) for name in ("mnist", "mnist_vat", "figure1")),
        ("sweeps", ["a run", "--json", "HERE"]),
        ("fakes", ["a run", "--json", "HERE"]),
        ("tries", ["quick", "--out", "HERE"]),
    ],
)
def test_a_misspelled_dataset_is_one_line_and_leaves_nothing(
    name, argv, tmp_path, capsys
):
    out = tmp_path / "out"
    argv = [word.replace("HERE", str(out)) for word in argv]
    assert importlib.import_module(name).main([*argv, "--data", "bundld"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "unknown dataset 'bundld'" in line and "Did you mean 'bundled'" in line
    assert not out.exists()


@pytest.mark.parametrize("name", ["figure1", "tries", "mnist_seeds"])
def test_a_folder_without_pillow_is_one_line(name, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.png").touch()
    monkeypatch.setitem(sys.modules, "PIL", None)
    what = {"tries": ["quick"], "mnist_seeds": ["--at-once", "--seeds", "0"]}
    out = [] if name == "tries" else ["--out", str(tmp_path / "out")]
    argv = [*what.get(name, []), "--data", f"folder:{tmp_path}", *out]
    assert importlib.import_module(name).main(argv) == 2
    assert "pip install" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["codes-3+weights-1-.1"], "do not join in this order"),
        (["spectral+spectral"], "do not join in this order"),
        (["quick", "--out", "HERE"], "name a new directory by --out"),
        (["quick", "--data", "npz:HERE/unlabelled.npz"], "no labels to compare with"),
        (["--table", "HERE/letter.txt"], "letter.txt is damaged"),
        (["--table", "HERE/cut.jsonl"], "cut.jsonl is damaged: it has no 'nmi'"),
        (["--table", "HERE/five.jsonl"], "five.jsonl is damaged: a line is no object"),
        (["--table", "HERE/empty.jsonl"], "has no lines, as where a try was stopped"),
        (["--table", "HERE/none.jsonl"], "there is no file"),
        (["--table", *["HERE/0-64.jsonl"] * 2], "several files of seed 0"),
        (["--table", "HERE/0-64.jsonl", "HERE/1-128.jsonl"], "differ in batch_size"),
    ],
)
def test_a_try_that_cannot_end_well_does_not_begin(argv, message, tmp_path, capsys):
    for name, text in (("letter.txt", "dear\n"), ("five.jsonl", "5\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "empty.jsonl").touch()
    line = {"arm": "quick", "step": 500, "steps": 500, "seed": 0, "hungarian": 0.5}
    (tmp_path / "cut.jsonl").write_text(json.dumps(line) + "\n")
    images = np.zeros((20, 28, 28), np.uint8)
    np.savez(tmp_path / "unlabelled.npz", image=images)
    for seed, batch_size in ((0, 64), (1, 128)):
        line = {"arm": "quick", "step": 500, "steps": 500, "hungarian": 0.5, "nmi": 0.4}
        line |= {"seed": seed, "batch_size": batch_size, "d/NonSaturating": 0.7}
        (tmp_path / f"{seed}-{batch_size}.jsonl").write_text(json.dumps(line) + "\n")
    argv = [word.replace("HERE", str(tmp_path)) for word in argv]
    assert tries.main(argv) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line


def test_a_try_saves_where_one_was_interrupted_and_nowhere_else(tiny, state, tmp_path):
    begun, foreign = tmp_path / "begun" / "checkpoints", tmp_path / "foreign"
    begun.mkdir(parents=True)
    with contextlib.ExitStack() as held:
        writer = tries.open_writer(held, begun.parent, tiny)
        with pytest.raises(console.Stop, match="is being written"):
            tries.open_writer(held, begun.parent, tiny)
        writer.save(state)
    foreign.mkdir()
    (foreign / "notes.txt").touch()
    for directory in (begun.parent, foreign):
        with contextlib.ExitStack() as held:
            with pytest.raises(ValueError, match="name a new directory by --out"):
                tries.open_writer(held, directory, tiny)
    assert [path.name for path in foreign.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("arm", ["noise-8+paper", "instance-.1+spectral"])
def test_an_arm_whose_change_is_undone_is_refused(arm):
    lost, _, later = arm.partition("+")
    with pytest.raises(ValueError, match=f"{lost} makes no difference in"):
        arms.configuration(arm, 100, (28, 28, 1))
    together = arms.configuration(f"quick+{later}", 100, (28, 28, 1))
    assert together == arms.configuration(later, 100, (28, 28, 1))


def test_every_arm_of_the_committed_tries_can_still_be_made():
    results = pathlib.Path(__file__).parents[1] / "experiments" / "results"
    named = set()
    for path in results.rglob("*.jsonl"):
        first = path.read_text().partition("\n")[0]
        named.add(json.loads(first).get("arm"))
    # Of the oldest, which BUILD_NOTES tells.
    gone = {"head", "rates-2", "rates-2-head", "rates-4-head"}
    assert gone < named
    for arm in named - gone - {None}:
        arms.configuration(arm, 10_000, (28, 28, 1))


def test_instance_noise_is_at_the_entrance_of_a_q_of_its_own_too():
    config = arms.configuration("instance-.1+q-own", 100, (28, 28, 1))
    state = jax.eval_shape(lambda: infogan_jax.init(config, jax.random.key(0)))
    batch = {"image": jax.ShapeDtypeStruct((4, 28, 28, 1), "uint8")}
    step = functools.partial(infogan_jax.step, config)
    jax.eval_shape(step, state, batch, jax.random.key(0))


def test_what_a_try_with_instance_noise_saves_is_read_by_sweeps():
    code = (
        "import sys, sweeps, infogan_jax; "
        "print(infogan_jax.Config.from_json(sys.stdin.read()).architecture)"
    )
    text = arms.configuration("instance-.1", 100, (28, 28, 1)).to_json()
    ended = subprocess.run(
        [sys.executable, "-c", code],
        input=text,
        capture_output=True,
        text=True,
        cwd=pathlib.Path(__file__).parents[1] / "experiments",
    )
    assert "instance_noise=0.1" in ended.stdout, ended.stderr


def test_a_try_is_measured_on_test_digits_by_q_and_by_its_average(
    tiny, state, monkeypatch, capsys
):
    splits = [{"image": np.zeros((2, 8, 8, 1)), "label": np.zeros(2)} for _ in "ab"]
    whole = infogan_jax.data.Dataset("it", *splits, "")
    asked, measured = [], []

    def dispatches(config, dataset, seed, **numbers):
        asked.append((dataset, seed, numbers["steps"]))
        for step in (50, 100):
            nets = jax.tree.map(lambda x, step=step: x + step, state.nets)
            moved = state.replace(step=jax.numpy.int32(step), nets=nets)
            yield moved, {"info/0": np.array([0.1, step])}

    def clustering(config, state, split):
        measured.append(split)
        bias = float(state.nets["q"].params["Dense_1"]["bias"][0])
        return dict.fromkeys(("hungarian", "nmi", "image_information"), bias)

    monkeypatch.setattr(tries.loop, "dispatches", dispatches)
    monkeypatch.setattr(tries.evaluation, "clustering", clustering)
    argv = ["quick", "--seed", "3", "--until", "100"]
    tries.train(tiny, whole, tries.parse(argv))
    line = json.loads(capsys.readouterr().out)
    bias = float(state.nets["q"].params["Dense_1"]["bias"][0])
    assert asked == [(whole.train, 3, 100)] and all(x is whole.test for x in measured)
    assert line["seed"] == 3 and line["step"] == 100 and line["info/0"] == 100
    assert line["hungarian"] == line["nmi"] == pytest.approx(100 + bias)
    average = 0.95 * 50 + 0.05 * 100 + bias
    assert line["hungarian_of_average"] == pytest.approx(average)
