"""What pages say: snippets run, commands exist, tables are what commands print."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import seeds_report
import sprites_report
import sprites_scores
import tries

ROOT = pathlib.Path(__file__).parent.parent
README, NOTES = ((ROOT / name).read_text() for name in ("README.md", "BUILD_NOTES.md"))
# As a reader has it: without the eight devices of the tests.
DEVICES = "--xla_force_host_platform_device_count=8"
ENVIRONMENT = os.environ | {"XLA_FLAGS": os.environ["XLA_FLAGS"].replace(DEVICES, "")}
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with the run that the snippets restore, by the README's own command."""
    folder = tmp_path_factory.mktemp("readme")
    command = [sys.executable, str(ROOT / "experiments" / "mnist.py"), "--quick"]
    command += ["--steps", "2", "--data", "bundled", "--out", "runs/quick"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_there_is_a_snippet_for_importing_and_one_for_restoring():
    assert len(SNIPPETS) == 2


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippet_runs_as_it_stands(run, number):
    code = SNIPPETS[number]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=run,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr


def test_shell_commands_name_files_that_exist():
    named = re.findall(r"python (experiments/\w+\.py)", README)
    assert "experiments/mnist.py" in named
    assert all((ROOT / name).is_file() for name in named)


@pytest.mark.parametrize("page", ["README.md", "experiments/results/README.md"])
def test_what_a_page_shows_or_links_to_exists(page):
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    names = [link.partition("#")[0] for link in links if "://" not in link]
    assert any(name.endswith(".png") for name in names)
    assert all(((ROOT / page).parent / name).exists() for name in names)


def test_the_table_of_results_is_what_its_command_prints():
    [command] = re.findall(r"`cd (\S+) &&\s+python ([^`]+)`", README)
    done = subprocess.run(
        [sys.executable, *command[1].split()],
        cwd=ROOT / command[0],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout in README and done.stdout in NOTES


@pytest.mark.parametrize(
    "name",
    "trunk weights category late continuous images vat networks codes".split(),
)
def test_every_row_of_a_table_of_tries_is_what_its_command_prints(name):
    files = sorted((ROOT / "experiments" / "results" / name).glob("*.jsonl"))
    rows = tries.table(files).splitlines()
    assert len(rows) > 2 and all(row in README + NOTES for row in rows)


@pytest.mark.parametrize("name", ["quick", "mnist-paper", "mnist-vat"])
def test_a_committed_report_is_what_its_command_writes(name, tmp_path, monkeypatch):
    monkeypatch.setattr(seeds_report, "draw", lambda *_: None)
    committed = ROOT / "experiments" / "results" / name
    seeds_report.write(tmp_path, seeds_report.collect(committed))
    assert (tmp_path / "report.md").read_text() == (committed / "report.md").read_text()


def test_a_committed_report_of_sprites_follows_from_its_numbers(tmp_path, monkeypatch):
    committed = ROOT / "experiments" / "results" / "sprites" / "0.025-modified-three"
    found, ends = json.loads((committed / "report.json").read_text()), {}
    for end in found["runs"]:
        run = tmp_path / f"seed-{end['seed']}"
        run.mkdir()
        lines = map(json.dumps, found["curves"][run.name])
        (run / "scores.jsonl").write_text("\n".join(lines))
        ends[run] = end
    choices = found["model_centrality"], found["udr"]
    monkeypatch.setattr(sprites_scores, "centrality", lambda *_: choices)
    monkeypatch.setattr(sprites_report, "_draw", lambda *_: None)
    sprites_report.write(tmp_path, ends, found["variant"], found["fraction"], None)
    ours, theirs = (
        (directory / "report.md").read_text().splitlines()[1:]
        for directory in (tmp_path, committed)
    )
    assert ours == theirs  # But for the first line, which was worded otherwise.
