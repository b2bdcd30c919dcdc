"""Every experiment imports, explains itself, and refuses nonsense."""

import argparse
import dataclasses
import importlib.util
import json
import operator
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import svm

import infogan_jax
from infogan_jax import data, latents, networks, presets, schedules

FOLDER = pathlib.Path(__file__).parent.parent / "experiments"
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if "def main(" in p.read_text())


@pytest.fixture(autouse=True)
def beside_each_other(monkeypatch):
    """As in `python experiments/NAME.py`: they import one another."""
    monkeypatch.syspath_prepend(FOLDER)


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_the_docstring_with_its_command(name, capsys):
    module = load(name)
    with pytest.raises(SystemExit) as stopped:
        module.main(["--help"])
    assert stopped.value.code == 0
    assert f"python experiments/{name}.py" in capsys.readouterr().out


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
    mnist = load("mnist")
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
    mnist = load("mnist")
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
    mnist, mnist_vat = load("mnist"), load("mnist_vat")
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
    mnist_vat = load("mnist_vat")
    options = dataclasses.replace(mnist_vat.defaults(True), steps=steps)
    assert mnist_vat.build(options, (28, 28, 1)).objective


def test_help_of_mnist_shows_every_option_with_both_defaults(capsys):
    with pytest.raises(SystemExit):
        load("mnist").main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for option in dataclasses.asdict(load("mnist").defaults(False)):
        assert "--" + option.replace("_", "-") in shown
    assert "(default: 128, with --quick 64)" in shown


@pytest.mark.parametrize("name", ["mnist", "mnist_vat", "figure1"])
def test_misspelled_dataset_is_status_two(name, capsys, tmp_path):
    out = tmp_path / "run"
    assert load(name).main(["--data", "mnits", "--out", str(out)]) == 2
    assert "unknown dataset 'mnits'" in capsys.readouterr().err
    assert not out.exists()


def test_figure1_summary_takes_the_named_iterations():
    curves = {"InfoGAN": [1.0] * 99 + [2.5] * 901, "GAN": [0.0] * 299 + [0.1] * 701}
    found = load("figure1").summary(curves)
    assert found["InfoGAN, mean over 400 to 900"] == pytest.approx(2.5)
    assert found["GAN, mean over 300 to 900"] == pytest.approx(0.1)
    assert found["InfoGAN, first update above 2.0"] == 100
    shorter = {name: bounds[:450] for name, bounds in curves.items()}
    means = [
        value
        for name, value in load("figure1").summary(shorter).items()
        if "mean" in name
    ]
    assert means == [None, None]


def test_figure1_follows_the_bound_through_every_update(tiny, dataset, monkeypatch):
    figure1, key = load("figure1"), jax.random.key(3)
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


def test_table_of_what_is_no_run_is_status_two(tmp_path, capsys):
    assert load("table").main([str(tmp_path)]) == 2
    assert "not a finished run" in capsys.readouterr().err


def test_table_shows_every_run_and_the_median(tmp_path, capsys):
    for seed, accuracy in enumerate((0.5, 0.9, 0.7)):
        run = tmp_path / f"run-{seed}"
        run.mkdir()
        code = {"information": 2.0, "recovered": 0.99}
        report = {"accuracy": accuracy, "hungarian": 0.5, "nmi": 0.4, "ari": 0.3}
        files = {
            "evaluation.json": report | {"codes": [code]},
            "run.json": {"seed": seed, "steps": 10},
            "environment.json": {
                "versions": {"jax": "0"},
                "dataset": {"name": "d", "train": 1, "test": 1, "sha256": "0" * 64},
                "cpus": 2,
                "backend": "cpu",
                "started": "2026-01-01 00:00:00",
            },
            "timings.jsonl": {"step": 10, "seconds": 90},
        }
        for name, content in files.items():
            (run / name).write_text(json.dumps(content) + "\n")
    assert load("table").main([str(run) for run in sorted(tmp_path.iterdir())]) == 0
    shown = capsys.readouterr().out
    assert "| 0 | 0.5000 |" in shown and "| 1 | 0.9000 |" in shown
    assert "Median accuracy 0.7000 of 3 runs" in shown


def test_seeds_are_numbers_and_ranges():
    seeds_of = load("mnist_seeds").seeds_of
    assert seeds_of("0-3,7") == [0, 1, 2, 3, 7]
    for text in ("", "a", "3-1", "1-2-3"):
        with pytest.raises(argparse.ArgumentTypeError):
            seeds_of(text)


def test_merged_and_split_digits_are_named():
    confusion = [[50, 40, 0], [48, 0, 2], [2, 10, 98]]
    found = load("mnist_seeds").failures(confusion)
    # Category 0 holds digits 0 and 1; digit 0 lies in categories 0 and 1, 1 in 0 and 2.
    assert found == {"merged": [[0, 1]], "split": {0: [0, 1], 1: [0, 2]}}


@pytest.fixture
def finished_seeds(tmp_path):
    """Three finished runs, as their committed results have them."""
    for seed in (0, 1, 2):
        name = f"seed-{seed}"
        shutil.copytree(FOLDER / "results" / "quick" / name, tmp_path / name)
    return tmp_path


def test_a_report_shows_every_seed_and_skips_what_is_finished(finished_seeds, capsys):
    main = load("mnist_seeds").main
    assert main(["--seeds", "0,1", "--out", str(finished_seeds)]) == 0
    shown = capsys.readouterr().out
    reports = json.loads((finished_seeds / "report.json").read_text())
    assert [report["seed"] for report in reports] == [0, 1, 2]
    for report in reports:
        assert f"| {report['seed']} | {report['accuracy']:.4f} |" in shown
    worst = min(report["accuracy"] for report in reports)
    assert f"worst {worst:.4f}" in (finished_seeds / "report.md").read_text()
    for name in ("accuracy.png", "confusions.png"):
        assert (finished_seeds / name).stat().st_size > 5000


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (["--data", "mnist"], "--data mnist conflicts with the run's bundled"),
        (["--vat"], "another experiment, or of another version of mnist_vat.py"),
        (["--batch-size", "32"], "--batch-size 32 conflicts with the run's 64"),
    ],
)
def test_seeds_of_another_experiment_are_not_taken_for_finished(
    wish, message, finished_seeds, capsys
):
    mnist = load("mnist")
    config = mnist.build(mnist.defaults(True), (28, 28, 1))
    (finished_seeds / "seed-0" / "config.json").write_text(config.to_json())
    asked = ["--quick", "--seeds", "0", "--out", str(finished_seeds)]
    assert load("mnist_seeds").main([*asked, *wish]) == 2
    assert message in capsys.readouterr().err
    assert load("mnist_seeds").main(asked) == 0


def test_a_report_over_different_settings_says_so(finished_seeds, capsys):
    mnist_seeds, path = load("mnist_seeds"), finished_seeds / "seed-1" / "run.json"
    assert not mnist_seeds.table.differences(sorted(finished_seeds.iterdir()))
    options = json.loads(path.read_text())
    path.write_text(json.dumps(options | {"steps": options["steps"] + 1}))
    assert mnist_seeds.main(["--seeds", "0", "--out", str(finished_seeds)]) == 0
    assert "Not one experiment: the runs differ in steps." in capsys.readouterr().out


def test_a_copy_of_a_run_is_counted_once(finished_seeds, capsys):
    shutil.copytree(finished_seeds / "seed-1", finished_seeds / "seed-1 copy")
    argv = ["--seeds", "0", "--out", str(finished_seeds)]
    assert load("mnist_seeds").main(argv) == 0
    shown = capsys.readouterr().out
    assert "of 3 runs" in shown and "seed-1 copy is left out" in shown


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("evaluation.json", '{"codes": []}', "seed-1 was evaluated without labels"),
        ("evaluation.json", '{"codes', "evaluation.json is damaged"),
        ("timings.jsonl", "", "timings.jsonl is damaged"),
        ("run.json", None, "run.json cannot be read (No such file or directory)"),
    ],
)
def test_a_report_or_table_names_the_run_that_it_cannot_read(
    name, content, message, finished_seeds, capsys
):
    path = finished_seeds / "seed-1" / name
    path.unlink() if content is None else path.write_text(content)
    argv = ["--seeds", "0", "--out", str(finished_seeds)]
    assert load("mnist_seeds").main(argv) == 2
    assert load("table").main([str(path.parent)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and all(message in error for error in errors)


def test_groups_have_a_row_for_each_directory(finished_seeds, capsys):
    path = finished_seeds / "seed-0" / "environment.json"
    environment = json.loads(path.read_text()) | {"processor": "Z80"}
    path.write_text(json.dumps(environment))
    groups = ["--groups", str(finished_seeds), str(finished_seeds / "seed-0")]
    assert load("table").main(groups) == 2
    assert "seed-0 holds no runs" in capsys.readouterr().err
    assert load("table").main(groups[:2]) == 0
    row = capsys.readouterr().out.splitlines()[-1].split(" | ")
    reports = [
        json.loads((finished_seeds / f"seed-{seed}" / "evaluation.json").read_text())
        for seed in range(3)
    ]
    by_seed = [f"{report['accuracy']:.4f}"[1:] for report in reports]
    assert row[0] == f"| `{finished_seeds}`"
    data, versions = environment["dataset"], environment["versions"]
    assert row[1:4] == [f"0{sorted(by_seed)[place]}" for place in (1, 0, 2)]
    assert row[5:7] == ["0 to 2", " ".join(by_seed)]
    assert row[8] == f"{data['name']} {data['sha256'][:12]}"
    assert row[9] == "Z80, cpu"  # The other runs recorded no model.
    assert row[10] == f"jax {versions['jax']}, flax {versions['flax']}"
    path = finished_seeds / "seed-1" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"steps": 7}))
    assert load("table").main(groups[:2]) == 2
    assert "the runs differ in steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda runs: shutil.copytree(runs[1], runs[1].parent / "again"), "of seed 1"),
        (lambda runs: (runs[2] / "evaluation.json").unlink(), "not a finished run"),
        (
            lambda runs: edit(
                runs[2] / "environment.json", lambda e: e["dataset"].update(sha256="1")
            ),
            "differ in their images",
        ),
    ],
)
def test_groups_leave_no_seed_out_and_mix_no_images(
    spoil, message, finished_seeds, capsys
):
    spoil(sorted(finished_seeds.iterdir()))
    assert load("table").main(["--groups", str(finished_seeds)]) == 2
    assert message in capsys.readouterr().err


def edit(path, change):
    """Changes what a JSON file holds."""
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def test_a_report_over_two_experiments_says_so(finished_seeds):
    mnist, mnist_vat = load("mnist"), load("mnist_vat")
    options, runs = mnist.defaults(True), sorted(finished_seeds.iterdir())
    for run, experiment in zip(runs, (mnist, mnist, mnist_vat), strict=True):
        config = experiment.build(options, (28, 28, 1))
        (run / "config.json").write_text(config.to_json())
    differences = load("table").differences
    assert not differences(runs[:2])
    assert "differ in their configuration" in differences(runs)


def test_the_surest_run_is_chosen_and_its_place_among_all_is_told():
    reports = [
        {"seed": 4, "accuracy": 0.7, "image_information": 2.0},
        {"seed": 5, "accuracy": 0.8, "image_information": 2.2},
        {"seed": 6, "accuracy": 0.9, "image_information": 2.1},
    ]
    text = load("mnist_seeds").chosen(reports)
    assert "seed 5, accuracy 0.8000, number 2 of 3." in text
    assert text.endswith("over the seeds: 0.50.")  # Ranks 1, 3, 2 beside 1, 2, 3.
    rows = load("mnist_seeds").of_every(reports)
    # Of the pairs 4 and 5, 4 and 6, 5 and 6 the surest have .8, .9, .8.
    assert rows[2:] == [
        "| 1 | 0.8000 | 0.7000 |",
        "| 2 | 0.8333 | 0.8000 |",
        "| 3 | 0.8000 | 0.8000 |",
    ]
    del reports[1]["image_information"]  # As runs of before it have none.
    assert load("mnist_seeds").chosen(reports).startswith("None is chosen")
    assert not load("mnist_seeds").of_every(reports)


def test_every_try_is_a_configuration_that_fits():
    tries, quick = load("tries"), load("mnist").quick(1000)
    for name, change in tries.CHANGES.items():
        assert (change(quick) == quick) == (name == "quick"), name


@pytest.mark.parametrize("option", ["--seed=3", "--resume"])
def test_seeds_set_what_belongs_to_a_seed(option, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        load("mnist_seeds").main([option, "--out", str(tmp_path)])
    assert stopped.value.code == 2


@pytest.mark.parametrize(("option", "name"), [([], "mnist"), (["--vat"], "mnist_vat")])
def test_seeds_are_of_the_experiment_that_is_asked_for(
    option, name, tmp_path, monkeypatch
):
    mnist_seeds, seen = load("mnist_seeds"), []

    def failing(arguments):
        seen.append(arguments)
        return 3

    monkeypatch.setattr(getattr(mnist_seeds, name), "main", failing)
    wish = [*option, "--seeds", "7-8", "--out", str(tmp_path), "--quick"]
    assert mnist_seeds.main(wish) == 3
    assert seen == [["--quick", "--seed", "7", "--out", str(tmp_path / "seed-7")]]


def test_a_fraction_of_the_sprites_schedule_moves_its_switch():
    sprites = load("sprites")
    whole = sprites.configuration("cr", sprites.STEPS)
    assert whole == presets.infogan_cr(288_000)
    assert sprites.configuration("cr", sprites.STEPS // 40) == presets.infogan_cr(7200)
    assert sprites.configuration("modified", 100) == presets.MODIFIED


def test_sprites_of_other_lengths_and_variants_are_not_pooled(tmp_path):
    sprites = load("sprites")
    modified, cr = (sprites.configuration(v, 100) for v in ("modified", "cr"))
    small = networks.Dcgan(width=4, dense=8, init_std=None)
    begun = dataclasses.replace(modified, architecture=small)
    run = tmp_path / "seed-3"
    infogan_jax.save(run, begun, infogan_jax.init(begun, jax.random.key(0)))
    (run / "begun.json").write_text('{"seed": 3, "steps": 100, "votes": 500}')
    sprites.check_same(tmp_path, begun, 100, 500)
    sprites.check_same(tmp_path, begun, 200, 500)  # It may go on.
    for config, steps, votes, after in (
        (begun, 99, 500, None),
        (begun, 100, 400, None),
        (cr, 100, 500, None),
        (begun, 100, 500, tmp_path),
    ):
        with pytest.raises(ValueError, match="seed-3 is of another experiment"):
            sprites.check_same(tmp_path, config, steps, votes, after)


def test_sprites_scores_of_the_factors_themselves_are_the_highest(monkeypatch):
    sprites = load("sprites")
    monkeypatch.setattr(
        sprites, "represent", lambda config, state, indices: np.float32(indices)
    )
    found = sprites.score(None, None, 60)
    assert found["factor_vae"] == 1
    assert min(found[name] for name in ("dci", "dci_forest", "sap")) > 0.9, found


def test_two_processes_do_not_train_one_sprites_seed(tmp_path, capsys):
    wish = ["--variant", "modified", "--fraction", "0.000025", "--seeds", "0"]
    with infogan_jax.records.lock(tmp_path / "seed-0"):
        assert load("sprites").main([*wish, "--out", str(tmp_path)]) == 2
    assert "is being written by process" in capsys.readouterr().err
    assert not (tmp_path / "seed-0" / "begun.json").exists()


def test_two_sprites_runs_make_no_choice_and_three_do(tmp_path, monkeypatch, capsys):
    sprites = load("sprites")
    monkeypatch.setattr(sprites, "_draw", lambda *_: None)
    monkeypatch.setattr(
        sprites, "centrality", lambda runs, votes: (np.arange(len(runs)), [2, 1, 0])
    )
    for seed in (10, 2, 3):
        scores = dict.fromkeys(sprites.SCORES, seed / 10)
        run = tmp_path / f"seed-{seed}"
        run.mkdir()
        for name, extra in (("finished.json", {"steps": 80}), ("scores.jsonl", {})):
            line = {"seed": seed, "step": 80, **scores, **extra}
            (run / name).write_text(json.dumps(line) + "\n")
        sprites.write_report(tmp_path, "modified", 80, 500)
        chosen = "ModelCentrality chooses seed 10" in capsys.readouterr().out
        assert chosen == (seed == 3)
    report = json.loads((tmp_path / "report.json").read_text())
    assert [run["seed"] for run in report["runs"]] == [2, 3, 10]
    assert report["votes"] == 500 and report["model_centrality"] == [0, 1, 2]


def test_a_finished_sprites_seed_goes_on_to_a_larger_fraction(tmp_path, monkeypatch):
    sprites = load("sprites")
    config = infogan_jax.Config(
        architecture=networks.Dcgan(width=2, dense=4, init_std=None)
    )
    run = tmp_path / "seed-0"
    monkeypatch.setattr(sprites, "score", lambda config, state, votes: {"mig": 0.5})
    monkeypatch.setattr(
        sprites,
        "advance",
        lambda config, state, key, n: dataclasses.replace(state, step=state.step + n),
    )
    sprites.train(run, config, 0, 80, 10)
    assert sprites.is_finished(run, 80)
    assert not sprites.is_finished(run, 100)
    sprites.train(run, config, 0, 100, 10)
    assert sprites.is_finished(run, 100)
    rows = map(json.loads, (run / "scores.jsonl").read_text().splitlines())
    rest_of_80, rest_of_100 = [*range(72, 79), 80], [90, 91, 93, 94, 95, 97, 98, 100]
    expected = [*range(10, 71, 10), *rest_of_80, 87, *rest_of_100]
    assert [row["step"] for row in rows] == expected


def test_a_sprites_seed_begins_at_the_switch_where_its_modified_run_ended(tmp_path):
    sprites = load("sprites")
    small = networks.Dcgan(width=2, dense=4, init_std=None)
    modified, cr = (
        dataclasses.replace(sprites.configuration(v, 112), architecture=small)
        for v in ("modified", "cr")
    )
    old = infogan_jax.init(modified, jax.random.key(7)).replace(step=jnp.array(100))
    run = tmp_path / "modified" / "seed-0"
    infogan_jax.save(run, modified, old)
    (run / "scores.jsonl").write_text('{"step": 100}\n')

    out = tmp_path / "cr" / "seed-0"
    with pytest.raises(ValueError, match="have done 99 iterations.* it has done 100"):
        sprites.begin(out, cr, 0, 99, run.parent)
    assert not out.exists()
    state = sprites.begin(out, cr, 0, sprites.switch_of(112), run.parent)
    infogan_jax.checks.check_state(cr, state)
    assert (out / "scores.jsonl").exists()
    chex.assert_trees_all_equal(state.replace(nets=old.nets, opt=old.opt), old)
    chex.assert_trees_all_equal({n: state.nets[n] for n in old.nets}, old.nets)
    chex.assert_trees_all_equal({n: state.opt[n] for n in old.opt}, old.opt)
    assert state.nets.keys() - old.nets.keys() == {"h"}
    infogan_jax.save(out, cr, state)
    with pytest.raises(ValueError, match="must be of --variant modified"):
        sprites.begin(out, cr, 0, 100, out.parent)


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
        load(name).main(argv)
    assert stopped.value.code == 2
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "what"), [("sweeps", "a run"), ("fakes", "a run"), ("tries", "quick")]
)
def test_a_misspelled_dataset_is_one_line(name, what, capsys):
    assert load(name).main([what, "--data", "bundld"]) == 2
    assert "Did you mean 'bundled'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["figure1", "tries", "mnist_seeds"])
def test_a_folder_without_pillow_is_one_line(name, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.png").touch()
    monkeypatch.setitem(sys.modules, "PIL", None)
    what = {"tries": ["quick"], "mnist_seeds": ["--at-once", "--seeds", "0"]}
    out = [] if name == "tries" else ["--out", str(tmp_path / "out")]
    argv = [*what.get(name, []), "--data", f"folder:{tmp_path}", *out]
    assert load(name).main(argv) == 2
    assert "pip install" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["codes-3+weights-1-.1"], "do not join in this order"),
        (["spectral+spectral"], "do not join in this order"),
        (["quick", "--save", "HERE"], "name a new directory by --save"),
        (["quick", "--data", "npz:HERE/unlabelled.npz"], "no labels to compare with"),
        (["--table", "HERE/letter.txt"], "letter.txt is no file of this script"),
        (["--table", "HERE/none.jsonl"], "No such file"),
    ],
)
def test_a_try_that_cannot_end_well_does_not_begin(argv, message, tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("dear\n")
    images = np.zeros((20, 28, 28), np.uint8)
    np.savez(tmp_path / "unlabelled.npz", image=images)
    argv = [word.replace("HERE", str(tmp_path)) for word in argv]
    assert load("tries").main(argv) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line


def test_a_run_that_cannot_be_studied_leaves_the_others_their_rows(
    tmp_path, monkeypatch, capsys
):
    sweeps = load("sweeps")
    monkeypatch.setattr(sweeps, "judge", lambda dataset: (None, 0.95))

    def study(run, dataset, digits_of):
        if run == "bad":
            raise ValueError("all its fakes are a 7.")
        return [{"run": run, "share": 0.5}]

    path = tmp_path / "rows.json"
    argv = ["one", "bad", "two", "--json", str(path)]
    assert sweeps.report(argv, "", study, ("run", "share"), 2) == 2
    shown = capsys.readouterr()
    assert shown.err == "error: bad: all its fakes are a 7.\n"
    assert "| one | 0.50 |" in shown.out and "| two | 0.50 |" in shown.out
    assert [row["run"] for row in json.loads(path.read_text())] == ["one", "two"]
    nowhere = ["one", "--json", str(tmp_path / "no" / "rows.json")]
    assert sweeps.report(nowhere, "", study, ("run", "share"), 2) == 2
    assert "| one" not in capsys.readouterr().out


def test_a_judge_needs_labels():
    dataset = data.load("bundled")
    unlabelled = dataset.train | {"label": np.full_like(dataset.train["label"], -1)}
    with pytest.raises(ValueError, match="no labels of two classes"):
        load("sweeps").judge(dataclasses.replace(dataset, train=unlabelled))


def test_fakes_that_are_real_digits_teach_what_digits_teach(monkeypatch):
    fakes, dataset = load("fakes"), data.load("bundled")
    images, digits = dataset.train["image"][:600] / 255, dataset.train["label"][:600]
    category = (digits + 3) % 10  # Digits by other names.
    c = np.eye(12)[category]  # Two more codes are 0.
    for module, name, found in (
        (fakes.infogan_jax, "restore", (presets.PAPER, None)),
        (fakes.infogan_jax, "sample", (images, None, c)),
        (fakes.evaluation, "clustering", {"hungarian": 0.5}),
    ):
        monkeypatch.setattr(module, name, lambda *_, found=found: found)
    [row] = fakes.study("a run", dataset, lambda images: digits)
    read = svm.SVC(C=10).fit(images.reshape(600, -1), digits)
    flat = dataset.test["image"].reshape(2000, -1) / 255
    right = read.score(flat, dataset.test["label"])
    assert row == {
        "run": "a run",
        "q": 0.5,
        "pure": 1.0,
        "taught_categories": pytest.approx(right, abs=0.005),  # Ties fall otherwise.
        "taught_digits": pytest.approx(right),
    }
    # Of 600 fakes every sixth now has the category of another digit.
    c[::6] = np.eye(12)[(category[::6] + 1) % 10]
    [row] = fakes.study("a run", dataset, lambda images: digits)
    assert row["pure"] == pytest.approx(5 / 6, abs=1e-6)
    assert row["taught_categories"] < row["taught_digits"] == pytest.approx(right)


def race(benchmark, folder, *argv):
    """The rows that the benchmark writes, by name."""
    path = folder / "rows.json"
    turns = ["--rounds", "2", "--steps", "1", "--json", str(path)]
    assert benchmark.main([*turns, *argv]) == 0
    return {row["name"]: row for row in json.loads(path.read_text())}


def test_the_benchmark_gives_ratios_to_pytorch_eager(tmp_path, monkeypatch, capsys):
    benchmark, contenders = load("benchmark"), load("contenders")
    racing = [
        contenders.Contender(name, 128, lambda n, s=seconds: time.sleep(n * s))
        for name, seconds in (("pytorch-eager", 0.1), ("infogan_jax", 0.01))
    ]
    monkeypatch.setattr(benchmark, "compare", lambda *sizes: racing)
    rows, shown = race(benchmark, tmp_path), capsys.readouterr().out
    eager, mine = rows["pytorch-eager"], rows["infogan_jax"]
    assert eager["ratio_to_pytorch_eager"] == 1
    ratio = eager["ms_per_step"] / mine["ms_per_step"]
    assert mine["ratio_to_pytorch_eager"] == pytest.approx(ratio) and ratio > 1
    for name, row in rows.items():
        assert row["images_per_s"] == pytest.approx(128e3 / row["ms_per_step"])
        assert row["machine"]["versions"]["jax"] and f"| {name} | 128 |" in shown


@pytest.mark.slow
def test_the_benchmark_lets_every_form_of_the_step_race(tmp_path):
    tiny = ["--width", "4", "--dense", "8", "--batch-size", "4"]
    rows = race(load("benchmark"), tmp_path, *tiny)
    ours = {"infogan_jax", "infogan_jax train_steps", "infogan_jax bfloat16", "flax"}
    assert ours | {"sample", "infer"} <= rows.keys()
    assert rows["infogan_jax"]["gflop_per_step"] > 0


def test_endurance_tells_what_is_allocated_from_what_is_free():
    endurance = load("endurance")
    if endurance.allocated_mb() == 0:
        pytest.skip("this C library does not tell what is allocated")
    before = endurance.allocated_mb()
    held = [bytearray(1 << 20) for _ in range(50)]
    during = endurance.allocated_mb()
    del held
    assert during - before == pytest.approx(52.4, abs=2)
    assert endurance.allocated_mb() == pytest.approx(before, abs=2)


def test_endurance_measures_one_run_after_the_other(tmp_path, monkeypatch, capsys):
    endurance, seen = load("endurance"), []

    def run(arguments):
        seen.append(arguments)
        time.sleep(0.3)  # For some samples.
        return 0

    clock = types.SimpleNamespace(monotonic=lambda: 0.0 if len(seen) < 2 else 1e3)
    monkeypatch.setattr(endurance, "time", clock)
    monkeypatch.setattr(endurance.mnist, "main", run)
    out = tmp_path / "out"
    wish = ["--minutes", "1", "--every", "0.01", "--out", str(out), "--steps", "7"]
    assert endurance.main(wish) == 0
    assert [a[a.index("--seed") + 1] for a in seen] == ["0", "1"]
    assert all("--quick" in a and "--steps" in a for a in seen)
    found = json.loads((out / "growth.json").read_text())
    assert found["runs"] == len(found["files"]) == 2 and min(found["files"]) > 0
    assert all(map(operator.lt, found["allocated_mb"], found["host_mb"]))
    assert (out / "endurance.png").stat().st_size > 1000
    assert "open files" in capsys.readouterr().out
    with pytest.raises(SystemExit):  # Its samples are not mixed with others.
        endurance.main(["--out", str(out)])


def test_the_growth_of_a_run_is_its_median_and_its_least():
    endurance = load("endurance")
    samples = [
        dict.fromkeys(endurance.UNITS, value) | {"run": run, "minutes": minutes}
        for minutes, (run, value) in enumerate([(0, 3.0), (0, 9.0), (0, 4.0), (1, 5.0)])
    ]
    found = endurance.growth(samples)
    assert found["runs"] == 2 and found["minutes"] == 3
    assert found["host_mb"] == [4.0, 5.0] and found["host_mb_least"] == [3.0, 5.0]


def test_a_code_that_bends_one_way_in_half_the_categories_is_seen_within_them():
    rng = np.random.default_rng(0)
    values, category = rng.uniform(-1, 1, 400), np.arange(400) % 2
    sign = np.where(category == 0, 1, -1)
    found = load("sweeps").bent(
        values,
        {"one": values**3, "turned": sign * values, "none": rng.random(400)},
        category,
    )
    for name in ("one", "one_within", "turned_within"):
        assert found[name] == pytest.approx(1), name
    assert abs(found["turned"]) < 0.2
    assert found["none_within"] < 0.2


def test_sweeps_measure_the_bars_that_a_generator_draws(monkeypatch):
    sweeps = load("sweeps")
    parts = latents.Categorical(3), latents.Uniform(), latents.Uniform()
    config = infogan_jax.Config(codes=latents.Product(parts))
    row, column = np.mgrid[13.5:-14.5:-1, :28]

    def generate(config, state, z, c):
        """A bar: code 1 is its slant, code 2 its brightness; every category alike."""
        _, lean, bright = (np.asarray(x)[:, :, None] for x in config.codes.split(c))
        bar = np.exp(-((column - 13.5 - 0.5 * lean * row) ** 2))
        return ((0.5 + 0.4 * bright) * bar)[..., None]

    def sample(config, state, key, n):
        c = jax.vmap(config.codes.sample)(jax.random.split(key, n))
        return generate(config, state, None, c), None, c

    def read(config, state, images):
        """Q takes what leans far to the left for category 2."""
        far = sweeps.metrics.slant(images) < -0.25
        return np.pad(np.where(far[:, None], [0, 0, 1], [1, 0, 0]), [(0, 0), (0, 4)])

    def digits_of(images):
        """The judge takes what is bright for a 7."""
        limit = 0.7 * np.sqrt(np.pi) / 28
        return np.where(sweeps.metrics.stroke_area(images) > limit, 7, 1)

    monkeypatch.setattr(sweeps.infogan_jax, "generate", generate)
    monkeypatch.setattr(sweeps.infogan_jax, "sample", sample)
    monkeypatch.setattr(sweeps.infogan_jax, "restore", lambda run: (config, None))
    monkeypatch.setattr(sweeps.evaluation, "read", read)
    shape = types.SimpleNamespace(image_shape=config.image_shape)
    lean, bright = sweeps.study("a run", shape, digits_of)
    assert (lean["code"], bright["code"]) == (1, 2)
    assert lean["slant"] > 0.99 and bright["stroke_area"] > 0.99
    for found, others in ((lean, "stroke_area"), (bright, "slant")):
        assert abs(found[others]) < 0.1 and found[f"{others}_within"] < 0.1
    # Of ten steps beside the middle three pass the limit of one, none of the other.
    assert lean["kept_by_q"] == pytest.approx(0.7) and lean["kept_by_svm"] == 1
    assert bright["kept_by_svm"] == pytest.approx(0.7) and bright["kept_by_q"] == 1
