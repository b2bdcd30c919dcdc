"""The layers of the package, checked from its imports, and what `import` may cost."""

import ast
import pathlib
import subprocess
import sys
from importlib import metadata

import infogan_jax

ROOT = pathlib.Path(infogan_jax.__file__).parent
RANKS = {
    "types": 0,
    "machine": 0,
    "rules": 0,
    "paths": 0,
    "signals": 0,
    "silence": 0,
    "processes": 1,
    "initialisers": 0,
    "registry": 0,
    "console": 0,
    "json_files": 1,
    "locks": 0,
    "metrics": 1,
    "products": 0,
    "winograd": 0,
    "ops": 1,
    "sharding": 0,
    "data": 1,
    "latents": 1,
    "networks": 2,
    "progress": 1,
    "schedules": 1,
    "objectives": 2,
    "config": 3,
    "adam": 4,
    "presets": 4,
    "state": 5,
    "forward": 6,
    "checks": 6,
    "descent": 7,
    "training": 8,
    "parallel": 9,
    "population": 9,
    "inference": 9,
    "checkpoint": 9,
    "evaluation": 10,
    "plotting": 10,
    "options": 8,
    "watch": 8,
    "records": 9,
    "loop": 11,
    "resuming": 12,
    "runs": 13,
    "__main__": 14,
    "__init__": 14,
}


def imported(path):
    """The package's modules that a file imports, anywhere but for annotations alone."""
    names, tree = set(), ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "infogan_jax":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            first, _, rest = node.module.partition(".")
            names |= {rest.partition(".")[0]} if first == "infogan_jax" else set()
    return names


def test_every_module_imports_only_from_lower_ranks():
    for path in ROOT.rglob("*.py"):
        file = path.relative_to(ROOT)
        home = file.parts[0].removesuffix(".py")
        for name in imported(path) - {home}:
            assert RANKS[name] < RANKS[home], f"{file} imports {name}"


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
