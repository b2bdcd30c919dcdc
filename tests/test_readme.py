"""The README's snippets run as they stand, and its commands exist."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
# As a reader has it: without the eight devices of the tests.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
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
    assert done.stdout in README
