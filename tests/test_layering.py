"""The layers of the package, checked from its imports, and what `import` may cost."""

import ast
import graphlib
import pathlib
import subprocess
import sys
from importlib import metadata

import infogan_jax

ROOT = pathlib.Path(infogan_jax.__file__).parent
RANKS = {
    "host": 0,
    "registry": 0,
    "rules": 0,
    "sharding": 0,
    "types": 0,
    "data": 1,
    "latents": 1,
    "metrics": 1,
    "ops": 1,
    "schedules": 1,
    "networks": 2,
    "objectives": 2,
    "config": 3,
    "presets": 4,
    "state": 5,
    "checks": 6,
    "forward": 6,
    "descent": 7,
    "training": 8,
    "watch": 8,
    "checkpoint": 9,
    "inference": 9,
    "parallel": 9,
    "population": 9,
    "evaluation": 10,
    "plotting": 10,
    "runs": 11,
    "__main__": 13,
    "": 12,
}


def module(path):
    """The dotted name of a file below the package's; a package's own is its name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module(path): path for path in ROOT.rglob("*.py")}


def imported(path):
    """The package's modules that a file imports, anywhere but for annotations alone."""
    names, tree = set(), ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known = (alias.name.partition(".") for alias in node.names)
            names |= {rest for first, _, rest in known if first == "infogan_jax"}
        elif isinstance(node, ast.ImportFrom) and node.module:
            first, *rest = node.module.split(".")
            if first == "infogan_jax":
                names |= {".".join([*rest, alias.name]) for alias in node.names}
    members = names - MODULES.keys()
    return names & MODULES.keys() | {name.rpartition(".")[0] for name in members}


def test_every_module_imports_only_from_lower_ranks():
    for name, path in MODULES.items():
        home = name.partition(".")[0]
        for other in imported(path):
            there = other.partition(".")[0]
            assert there == home or RANKS[there] < RANKS[home], f"{name}: {other}"


def test_no_imports_go_round_within_a_package_either():
    graph = {name: imported(path) for name, path in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()


def test_only_networks_imports_linen_and_only_checkpoint_orbax():
    for word, home in (("linen", "networks"), ("orbax", "checkpoint")):
        importing = {
            path.relative_to(ROOT).parts[0].removesuffix(".py")
            for path in ROOT.rglob("*.py")
            for line in path.read_text().splitlines()
            if word in line and "import" in line.split("#")[0].split('"')[0]
        }
        assert importing - {"__init__"} == {home}


def test_importing_the_package_leaves_heavy_libraries_alone():
    code = (
        "import sys, infogan_jax; heavy = {'tensorflow_datasets', 'matplotlib', "
        "'sklearn', 'scipy', 'orbax', 'PIL'}; "
        "sys.exit(str(heavy & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert sorted(infogan_jax.__all__) == infogan_jax.__all__
    assert set(infogan_jax.__all__) <= set(dir(infogan_jax))
    assert all(hasattr(infogan_jax, name) for name in infogan_jax.__all__)


def test_the_version_is_that_of_the_package():
    assert infogan_jax.__version__ == metadata.version("infogan_jax")
