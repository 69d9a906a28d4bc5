"""Which way imports point, read from the source."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import keras_lr

PACKAGE = Path(keras_lr.__file__).parent
RANK = ["errors", "records", "analysis", "schedules", "training", "callbacks", "search", "plots", "report", "cli"]
HOMES = {
    "keras": {"schedules", "training", "callbacks", "search"},
    "tensorflow": {"schedules", "training", "callbacks", "search"},
    "keras_tuner": {"search"},
    "seaborn": {"plots"},
    "matplotlib": {"plots"},
    "jinja2": {"report"},
}
MODULE_OF = {"scikit_learn": "sklearn", "grpcio": "grpc"}
LAZY = {"cli"}
"""Rooms that may import a heavy library inside a function."""


def modules() -> dict[str, Path]:
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        names[".".join(part for part in parts if part != "__init__")] = path
    return names


MODULES = modules()


def imported(tree: ast.AST, *, lazy: bool) -> Iterator[str]:
    """Names of imported modules; those for type checkers only are left out, those in functions unless `lazy`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not lazy:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else str(node.module) for name in whole)
        else:
            yield from imported(node, lazy=lazy)


def source(name: str) -> str:
    return MODULES[name].read_text(encoding="utf-8")


def imports_of(name: str, *, lazy: bool) -> set[str]:
    return set(imported(ast.parse(source(name)), lazy=lazy))


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) in RANK])
def test_imports_point_downwards(name: str) -> None:
    for target in imports_of(name, lazy=True):
        if target.split(".")[0] != "keras_lr":
            continue
        if target == "keras_lr":
            used = set(re.findall(r"keras_lr\.(\w+)", re.sub(r"(?m)^\s*(from|import) .*$", "", source(name))))
            assert used <= {"__version__"}, f"{name} uses {used} through the façade"
        else:
            assert RANK.index(room(target)) <= RANK.index(room(name)), f"{name} imports {target}, which stands above it"


def test_no_import_is_circular() -> None:
    graph = {
        name: {target for target in imports_of(name, lazy=False) if target in MODULES and target != name}
        for name in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as err:
        pytest.fail(f"circular import: {' -> '.join(err.args[1])}")


@pytest.mark.parametrize("library", HOMES)
def test_heavy_libraries_stay_at_home(library: str) -> None:
    for name in MODULES:
        targets = {target.split(".")[0] for target in imports_of(name, lazy=room(name) not in LAZY)}
        assert library not in targets or room(name) in HOMES[library], f"{name} imports {library}"


def test_every_import_is_declared() -> None:
    config = configparser.ConfigParser()
    config.read(PACKAGE.parent / "setup.cfg")
    required = config["options"]["install_requires"] + config["options.extras_require"]["examples"]
    declared = {line.split(">")[0].split("[")[0].strip().replace("-", "_") for line in required.splitlines() if line}
    declared |= {module for project, module in MODULE_OF.items() if project in declared}
    for name in MODULES:
        roots = {target.split(".")[0] for target in imports_of(name, lazy=True)} - {"keras_lr"}
        missing = {root for root in roots if root not in sys.stdlib_module_names and root not in declared}
        assert not missing, f"{name} imports {missing}, which setup.cfg does not declare"
