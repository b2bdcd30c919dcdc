"""Reports over seeds, and tables: every run is counted, once, and nothing is mixed."""

import argparse
import dataclasses
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import mnist
import mnist_seeds
import mnist_vat
import numpy as np
import pytest
import seeds
import seeds_report
import table

QUICK = pathlib.Path(mnist_seeds.__file__).parent / "results" / "quick"


def test_table_of_what_is_no_run_is_status_two(tmp_path, capsys):
    assert table.main([str(tmp_path)]) == 2
    assert "not a finished run" in capsys.readouterr().err


def test_table_shows_every_run_and_the_median(tmp_path, capsys):
    for seed, accuracy in enumerate((0.5, 0.9, 0.8)):
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
    assert table.main([str(run) for run in sorted(tmp_path.iterdir())]) == 0
    shown = capsys.readouterr().out
    assert "| 0 | 0.5000 |" in shown and "| 1 | 0.9000 |" in shown
    assert "Median accuracy 0.8000 of 3 runs" in shown


def test_the_seconds_of_a_run_are_those_of_all_its_processes():
    def of(*seconds):
        return table.seconds([{"seconds": value} for value in seconds])

    assert of(10.0) == 10 and of(10.0, 50.0) == 50
    assert of(10.0, 50.0, 5.0, 30.0, 8.0) == 50 + 30 + 8  # A resumed one begins anew.


def test_seeds_are_numbers_and_ranges():
    assert seeds.parse("0-3,7,2") == [0, 1, 2, 3, 7]
    for text in ("", "a", "3-1", "5-", "1-2-3", "0-4294967296", "5,9-7"):
        with pytest.raises(argparse.ArgumentTypeError):
            seeds.parse(text)


def test_merged_and_split_digits_are_named():
    confusion = [[50, 40, 0], [48, 0, 2], [2, 10, 98]]
    found = seeds_report.failures(confusion)
    # Category 0 holds digits 0 and 1; digit 0 lies in categories 0 and 1, 1 in 0 and 2.
    assert found == {"merged": [[0, 1]], "split": {0: [0, 1], 1: [0, 2]}}


@pytest.fixture
def finished_seeds(tmp_path):
    """Three finished runs, as their committed results have them."""
    for seed in (0, 1, 2):
        name = f"seed-{seed}"
        shutil.copytree(QUICK / name, tmp_path / name)
    return tmp_path


def test_a_report_shows_every_seed_and_skips_what_is_finished(finished_seeds, capsys):
    main = mnist_seeds.main
    assert main(["--quick", "--seeds", "0,1", "--out", str(finished_seeds)]) == 0
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
    config = mnist.build(mnist.defaults(True), (28, 28, 1))
    (finished_seeds / "seed-0" / "config.json").write_text(config.to_json())
    asked = ["--quick", "--seeds", "0", "--out", str(finished_seeds)]
    assert mnist_seeds.main([*asked, *wish]) == 2
    assert message in capsys.readouterr().err
    assert mnist_seeds.main(asked) == 0


@pytest.mark.parametrize(
    ("began", "message"),
    [
        ({}, "seed-0 began with quick True, where this command has False"),
        ({"quick": False, "batch_size": 32}, "batch_size 32, where .* has 128"),
        ({"quick": False, "batch_size": 128, "bfloat16": True}, "bfloat16 True, where"),
    ],
)
def test_what_a_command_does_not_say_is_asked_for_too(
    began, message, finished_seeds, capsys
):
    edit(finished_seeds / "seed-0" / "run.json", lambda run: run.update(began))
    argv = ["--seeds", "7,0", "--out", str(finished_seeds)]
    assert mnist_seeds.main(argv) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (finished_seeds / "seed-7").exists()  # It was not trained first.


def test_a_seed_that_went_on_for_more_updates_is_finished(finished_seeds, capsys):
    options = mnist.defaults(True)
    began = dataclasses.replace(options, steps=options.steps // 2)
    run = finished_seeds / "seed-0"
    # Its schedules are of half the length that run.json tells since.
    (run / "config.json").write_text(mnist.build(began, (28, 28, 1)).to_json())
    asked = ["--quick", "--seeds", "0", "--out", str(finished_seeds)]
    assert mnist_seeds.main(asked) == 2
    assert "another experiment" in capsys.readouterr().err
    edit(run / "environment.json", lambda place: place.update(steps=began.steps))
    assert mnist_seeds.main(asked) == 0


def test_seeds_of_two_lengths_are_not_begun_unawares(finished_seeds, capsys):
    for seed in (0, 1):
        edit(
            finished_seeds / f"seed-{seed}" / "run.json",
            lambda run: run.update(steps=500),
        )
    wish = ["--quick", "--out", str(finished_seeds), "--seeds"]
    assert mnist_seeds.main([*wish, "0,1,7"]) == 2
    assert "is of 500 updates, where a new seed would be of 10000" in (
        capsys.readouterr().err
    )
    assert not (finished_seeds / "seed-7").exists()
    assert mnist_seeds.main([*wish, "0,1"]) == 0  # None of these is new.


@pytest.mark.parametrize("way", [[], ["--at-once"]])
def test_seeds_of_other_images_are_not_joined(way, finished_seeds, tmp_path, capsys):
    """Whatever their place is called: here it is that of the finished seeds' images."""
    images = tmp_path.with_suffix(".npz")
    label = np.arange(40) % 10
    np.savez(images, image=np.zeros((40, 28, 28), np.uint8), label=label)
    for run in finished_seeds.glob("seed-*"):
        edit(run / "run.json", lambda options: options.update(data=f"npz:{images}"))
    wish = ["--quick", "--data", f"npz:{images}", "--out", str(finished_seeds), *way]
    assert mnist_seeds.main([*wish, "--seeds", "0,7"]) == 2
    assert "is not the data that this run began with" in capsys.readouterr().err
    assert not (finished_seeds / "seed-7").exists()


def test_a_copy_is_not_taken_for_the_seed_of_its_name(finished_seeds, capsys):
    copy = finished_seeds / "seed-7"
    shutil.copytree(finished_seeds / "seed-1", copy)
    wish = ["--quick", "--seeds", "7", "--out", str(finished_seeds)]
    assert mnist_seeds.main(wish) == 2
    assert f"{copy} is a copy of seed 1's run, not of seed 7" in capsys.readouterr().err


@pytest.mark.parametrize("way", [[], ["--at-once"]])
def test_images_without_labels_are_refused_before_the_first_seed(way, tmp_path, capsys):
    images, out = tmp_path / "images.npz", tmp_path / "out"
    np.savez(images, image=np.zeros((20, 28, 28), np.uint8))
    argv = ["--data", f"npz:{images}", "--seeds", "0", "--out", str(out), *way]
    assert mnist_seeds.main(argv) == 2
    assert "images.npz has no labels" in capsys.readouterr().err
    assert not out.exists()


def test_a_report_over_different_settings_says_so(finished_seeds, capsys):
    path = finished_seeds / "seed-1" / "run.json"
    assert not table.differences(sorted(finished_seeds.iterdir()))
    options = json.loads(path.read_text())
    # Which not all of them name: older runs do not.
    path.write_text(json.dumps(options | {"bfloat16": True}))
    differences = table.differences(sorted(finished_seeds.iterdir()))
    assert "the runs differ in bfloat16" in differences
    path.write_text(json.dumps(options | {"bfloat16": False}))
    assert not table.differences(sorted(finished_seeds.iterdir()))
    path.write_text(json.dumps(options | {"steps": options["steps"] + 1}))
    assert (
        mnist_seeds.main(["--quick", "--seeds", "0", "--out", str(finished_seeds)]) == 0
    )
    assert "Not one experiment: the runs differ in steps." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value"), [("batch_size", 7), ("data", "mnist"), ("quick", False)]
)
def test_what_runs_differ_in_is_named(name, value, finished_seeds):
    edit(finished_seeds / "seed-1" / "run.json", lambda run: run.update({name: value}))
    found = table.differences(sorted(finished_seeds.iterdir()))
    assert f"the runs differ in {name}." in found


@pytest.mark.parametrize(
    "changes", [{"devices": 2}, {"evaluate_every": 7}, {"data": "npz:elsewhere.npz"}]
)
def test_what_a_resumed_run_may_change_makes_no_other_experiment(
    changes, finished_seeds
):
    runs = sorted(finished_seeds.iterdir())
    for run in runs:
        edit(run / "run.json", lambda options: options.update(data="npz:x.npz"))
    edit(runs[1] / "run.json", lambda options: options.update(changes))
    assert not table.differences(runs)
    edit(runs[1] / "environment.json", lambda at: at["dataset"].update(sha256="00"))
    assert table.differences(runs).endswith("differ in their images.")


def test_a_table_says_what_is_shown_twice_and_what_was_trained_at_once(
    finished_seeds, capsys
):
    first, second, _ = sorted(map(str, finished_seeds.iterdir()))
    assert table.main([first, second]) == 0
    shown = capsys.readouterr().out
    assert "More than one" not in shown and "at once" not in shown
    at = finished_seeds / "seed-0" / "environment.json"
    edit(at, lambda place: place.update(seeds_at_once=16))
    assert table.main([first, first, second]) == 0
    shown = capsys.readouterr().out
    assert "More than one run is of seed 0." in shown
    assert "Where 16 seeds were trained at once, the minutes are of all." in shown


def test_the_confusions_shown_are_the_median_runs_and_the_worst_ones(
    finished_seeds, monkeypatch
):
    drawn = []
    monkeypatch.setattr(seeds_report, "draw", lambda *args: drawn.append(args))
    reports = seeds_report.collect(finished_seeds)
    seeds_report.write(finished_seeds, reports)
    [(_, accuracies, median, worst)] = drawn
    assert len(accuracies) == 3
    assert median["accuracy"] == sorted(accuracies)[1]
    assert worst["accuracy"] == min(accuracies)


def test_a_copy_of_a_run_is_counted_once(finished_seeds, capsys):
    shutil.copytree(finished_seeds / "seed-1", finished_seeds / "seed-1 copy")
    argv = ["--quick", "--seeds", "0", "--out", str(finished_seeds)]
    assert mnist_seeds.main(argv) == 0
    shown = capsys.readouterr().out
    assert "of 3 runs" in shown and "seed-1 copy is left out" in shown


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("evaluation.json", '{"codes": []}', "seed-1 was evaluated without labels"),
        ("evaluation.json", '{"codes', "evaluation.json is damaged"),
        ("timings.jsonl", "", "timings.jsonl is damaged"),
        ("run.json", None, "run.json cannot be read: No such file or directory"),
        ("run.json", "{}", "run.json is damaged: it has no '"),
        ("run.json", "[]", "run.json is damaged: it is no object"),
        ("timings.jsonl", "{}", "timings.jsonl is damaged: it has no 'seconds'"),
        ("environment.json", "{}", "environment.json is damaged: it has no '"),
    ],
)
def test_a_report_or_table_names_the_run_that_it_cannot_read(
    name, content, message, finished_seeds, capsys
):
    path = finished_seeds / "seed-1" / name
    path.unlink() if content is None else path.write_text(content)
    argv = ["--quick", "--seeds", "0", "--out", str(finished_seeds)]
    assert mnist_seeds.main(argv) == 2
    assert table.main([str(path.parent)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and all(message in error for error in errors)


def test_groups_have_a_row_for_each_directory(finished_seeds, capsys):
    path = finished_seeds / "seed-0" / "environment.json"
    environment = json.loads(path.read_text()) | {"processor": "Z80"}
    path.write_text(json.dumps(environment))
    groups = ["--groups", str(finished_seeds), str(finished_seeds / "seed-0")]
    assert table.main(groups) == 2
    assert "seed-0 holds no runs" in capsys.readouterr().err
    assert table.main(groups[:2]) == 0
    row = capsys.readouterr().out.splitlines()[-1].split(" | ")
    reports = [
        json.loads((finished_seeds / f"seed-{seed}" / "evaluation.json").read_text())
        for seed in range(3)
    ]
    by_seed = [f"{report['accuracy']:.4f}"[1:] for report in reports]
    assert row[0] == f"| `{finished_seeds}`"
    data, versions = environment["dataset"], environment["versions"]
    assert row[1:4] == [f"0{sorted(by_seed)[place]}" for place in (1, 0, 2)]
    assert row[4] == f"{sorted(report['nmi'] for report in reports)[1]:.3f}"
    assert row[5:7] == ["0 to 2", " ".join(by_seed)]
    assert row[8] == f"{data['name']} {data['sha256'][:12]}"
    assert row[9] == "Z80, cpu"  # The other runs recorded no model.
    assert row[10] == f"jax {versions['jax']}, flax {versions['flax']}"
    path = finished_seeds / "seed-1" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"steps": 7}))
    assert table.main(groups[:2]) == 2
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
    assert table.main(["--groups", str(finished_seeds)]) == 2
    assert message in capsys.readouterr().err


def edit(path, change):
    """Changes what a JSON file holds."""
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def test_a_report_over_two_experiments_says_so(finished_seeds):
    options, runs = mnist.defaults(True), sorted(finished_seeds.iterdir())
    for run, experiment in zip(runs, (mnist, mnist, mnist_vat), strict=True):
        config = experiment.build(options, (28, 28, 1))
        (run / "config.json").write_text(config.to_json())
    differences = table.differences
    assert not differences(runs[:2])
    assert "differ in their configuration" in differences(runs)


def test_the_surest_run_is_chosen_and_its_place_among_all_is_told():
    reports = [
        {"seed": 4, "accuracy": 0.7, "image_information": 2.0},
        {"seed": 5, "accuracy": 0.8, "image_information": 2.2},
        {"seed": 6, "accuracy": 0.9, "image_information": 2.1},
    ]
    text = seeds_report.chosen(reports)
    assert "seed 5, accuracy 0.8000, number 2 of 3." in text
    assert text.endswith("over the seeds: 0.50.")  # Ranks 1, 3, 2 beside 1, 2, 3.
    rows = seeds_report.of_every(reports)
    # Of the pairs 4 and 5, 4 and 6, 5 and 6 the surest have .8, .9, .8.
    assert rows[2:] == [
        "| 1 | 0.8000 | 0.7000 |",
        "| 2 | 0.8333 | 0.8000 |",
        "| 3 | 0.8000 | 0.8000 |",
    ]
    del reports[1]["image_information"]  # As runs of before it have none.
    assert seeds_report.chosen(reports).startswith("None is chosen")
    assert not seeds_report.of_every(reports)


def with_curves(directory, curves, accuracies):
    """Reports of runs whose information on test images is known at some updates."""
    reports = []
    for seed, (curve, accuracy) in enumerate(zip(curves, accuracies, strict=True)):
        run = directory / f"seed-{seed}"
        run.mkdir()
        lines = [{"step": s, "image_information": nats} for s, nats in curve.items()]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (run / "accuracy.jsonl").write_text(text)
        reports.append({"run": run, "accuracy": accuracy})
    return reports


@pytest.mark.parametrize("k", [2, 4])
def test_how_soon_the_surest_run_shows_is_told(k, tmp_path):
    accuracies = (0.5, 0.9, 0.6, 0.8, 0.7)
    curves = (
        {10: 5.0, 20: 1.0, 30: 2.0},
        {10: 1.0, 20: 5.0, 30: 1.0, 40: 9.0},  # Of 40 the others tell nothing.
        {10: 4.0, 20: 2.0, 30: 3.0},
        {10: 2.0, 20: 4.0, 30: 4.0},
        {10: 3.0, 20: 3.0, 30: 5.0},
    )
    reports, expected = with_curves(tmp_path, curves, accuracies), []
    # The other way round; in the accuracies' order; and 1 - 6 (1 + 16 + 1 + 4) / 120.
    for step, together in ((10, "-1.00"), (20, "1.00"), (30, "-0.10")):
        sets = itertools.combinations(range(5), k)
        kept = [max(runs, key=lambda run, at=step: curves[run][at]) for runs in sets]
        mean = np.mean([accuracies[run] for run in kept])
        expected.append(f"| {step} | {mean:.4f} | {together} |")
    assert seeds_report.how_soon(reports, k)[2:] == expected
    assert not seeds_report.how_soon(reports[:k], k)  # The surest of all is no choice.


def test_ten_evaluations_of_a_long_run_are_shown_at_most_with_the_last(tmp_path):
    curves = [{s: float(s + seed) for s in range(100, 2400, 100)} for seed in range(5)]
    rows = seeds_report.how_soon(with_curves(tmp_path, curves, np.arange(5) / 10))[2:]
    assert [row.split(" | ")[0] for row in rows] == [
        f"| {step:,}" for step in range(200, 2400, 300)
    ]


@pytest.mark.parametrize("option", ["--seed=3", "--resume"])
def test_seeds_set_what_belongs_to_a_seed(option, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        mnist_seeds.main([option, "--out", str(tmp_path)])
    assert stopped.value.code == 2


@pytest.mark.parametrize(("option", "name"), [([], "mnist"), (["--vat"], "mnist_vat")])
def test_seeds_are_of_the_experiment_that_is_asked_for(
    option, name, tmp_path, monkeypatch
):
    seen = []

    def failing(arguments):
        seen.append(arguments)
        return 3

    monkeypatch.setattr(getattr(mnist_seeds, name), "main", failing)
    wish = [*option, "--seeds", "7-8", "--out", str(tmp_path), "--data", "bundled"]
    assert mnist_seeds.main([*wish, "--quick"]) == 3
    of_each = ["--data", "bundled", "--quick"]
    assert seen == [[*of_each, "--seed", "7", "--out", str(tmp_path / "seed-7")]]


def test_all_seeds_have_the_data_that_the_first_one_found(
    finished_seeds, tmp_path, monkeypatch
):
    bundled, asked, seen = mnist_seeds.data.load("bundled"), [], []

    def slow_network(name, data_dir=None):
        asked.append(name)
        assert len(asked) == 1  # By now all of MNIST would be there.
        return bundled

    def named(arguments):
        seen.append(arguments[arguments.index("--data") + 1])
        return 1

    monkeypatch.setattr(mnist_seeds.data, "load", slow_network)
    monkeypatch.setattr(mnist_seeds.mnist, "main", named)
    words = ["--quick", "--seeds", "7-8", "--out"]
    assert mnist_seeds.main([*words, str(tmp_path / "new")]) == 1
    assert asked == ["auto"] and seen == ["bundled", "bundled"]
    # Where seeds have begun, theirs.
    assert mnist_seeds.main([*words, str(finished_seeds)]) == 1
    assert asked == ["auto"] and seen == ["bundled"] * 4


def test_what_no_report_will_hold_is_not_compared(finished_seeds, capsys):
    """A copy, a seed that has only begun, and one that never came to its options."""
    for name, change in (
        ("seed-0 old", {"batch_size": 7}),
        ("seed-5", {"data": "mnist"}),
        ("seed-6", {}),
    ):
        shutil.copytree(finished_seeds / "seed-1", finished_seeds / name)
        edit(finished_seeds / name / "run.json", lambda run, to=change: run.update(to))
    (finished_seeds / "seed-5" / "evaluation.json").unlink()
    (finished_seeds / "seed-6" / "evaluation.json").unlink()
    (finished_seeds / "seed-6" / "run.json").write_text("{")
    argv = ["--quick", "--seeds", "0", "--out", str(finished_seeds)]
    assert mnist_seeds.main(argv) == 0
    assert "of 3 runs" in capsys.readouterr().out
    assert mnist_seeds.main([*argv[:2], "5,0", *argv[3:]]) == 2
    assert "holds seeds of bundled and mnist" in capsys.readouterr().err


def test_a_device_that_is_missing_is_told_once(tmp_path):
    script = pathlib.Path(mnist_seeds.__file__)
    words = ["--quick", "--data", "bundled", "--seeds", "0-1", "--out", tmp_path / "x"]
    ended = subprocess.run(
        [sys.executable, script, *words],
        env=os.environ | {"JAX_PLATFORMS": "nonsense"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2 and ended.stderr.count("error: ") == 1


def test_seeds_of_another_experiment_beside_those_asked_for_are_told_first(
    finished_seeds, monkeypatch, capsys
):
    monkeypatch.setattr(mnist_seeds.mnist, "main", None)
    argv = ["--quick", "--seeds", "7", "--data", "mnist", "--out", str(finished_seeds)]
    assert mnist_seeds.main(argv) == 2
    assert "--data mnist conflicts with the run's bundled" in capsys.readouterr().err
