"""The public names of `keras_lr`: complete, documented, and nothing else."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import pydoc
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jedi
import keras
import pytest

import keras_lr
from keras_lr import errors
from keras_lr.report._sections.schedule import KERAS_LR_SCHEDULES, KERAS_SCHEDULES

PACKAGE = Path(keras_lr.__file__).parent
MODULES = {
    "analysis",
    "callbacks",
    "devices",
    "errors",
    "integrations",
    "optimizers",
    "plots",
    "range_test",
    "report",
    "results",
    "schedules",
    "search",
}
"""The public modules. `cli` can be imported too, for the command's entry point; its `__all__` is not documented."""

FIXED = {
    "LRRangeTest",
    "find_lr",
    "RangeTestResult",
    "suggest",
    "analyze_history",
    "LogGridSearch",
    "RaceSearch",
    "schedules",
    "AutoLR",
    "HistoryMonitor",
    "LRRecorder",
    "MomentumCycle",
    "Report",
}


def test_the_facade_has_the_names_it_promises() -> None:
    assert set(keras_lr.__all__) >= FIXED
    assert dir(keras_lr) == sorted(keras_lr.__all__)
    for name in keras_lr.__all__:
        assert getattr(keras_lr, name) is not None


def imports_for_checkers() -> dict[str, str]:
    """What the façade imports for type checkers alone: each name with its module."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    guarded = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    found = {}
    for node in guarded[0].body:
        assert isinstance(node, ast.ImportFrom), ast.unparse(node)
        for alias in node.names:
            assert alias.asname == alias.name, "a checker takes a name without `as` for a private one"
            found[alias.name] = str(node.module)
    return found


def test_type_checkers_see_the_names_that_are_loaded_lazily() -> None:
    assert imports_for_checkers() == {**keras_lr._HOMES, **dict.fromkeys(keras_lr._MODULES, "keras_lr")}


def test_editors_complete_every_public_name() -> None:
    code = "import keras_lr\nkeras_lr."
    completed = {found.name for found in jedi.Script(code).complete(2, len("keras_lr."))}
    assert completed >= set(keras_lr.__all__)
    (found,) = jedi.Script("import keras_lr\nkeras_lr.find_lr").infer(2, len("keras_lr.find_lr"))
    assert found.full_name == "keras_lr.range_test._find_lr.find_lr"


PYRIGHT = shutil.which("pyright") or shutil.which("basedpyright")


@pytest.mark.skipif(PYRIGHT is None, reason="needs pyright or basedpyright, which bring Node.js")
def test_pyright_reports_the_errors_that_mypy_reports(tmp_path: Path) -> None:
    source = (Path(__file__).parent / "typed_user.py").read_text(encoding="utf-8")
    (tmp_path / "typed_user.py").write_text(source + "\nreveal_type(keras_lr.find_lr)\n", encoding="utf-8")
    settings = {"typeCheckingMode": "standard", "enableTypeIgnoreComments": False, "extraPaths": [str(PACKAGE.parent)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [str(PYRIGHT), "-p", str(tmp_path), "--pythonpath", sys.executable, "--outputjson"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)[
        "generalDiagnostics"
    ]
    expected = {line for line, text in enumerate(source.splitlines()) if "# type: ignore[" in text}
    assert {row["range"]["start"]["line"] for row in found if row["severity"] == "error"} == expected
    (revealed,) = (row["message"] for row in found if row["severity"] == "information")
    assert "model: AnyModel" in revealed
    assert revealed.endswith('-> RangeTestResult"')


def test_help_on_the_package_shows_its_names() -> None:
    text = pydoc.plain(pydoc.render_doc(keras_lr))
    assert all(name in text for name in ("find_lr", "LogGridSearch", "schedules", "Importing this module is fast"))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'find_learning_rate'"):
        _ = keras_lr.find_learning_rate


def public_module(name: str) -> ModuleType:
    return importlib.import_module(f"keras_lr.{name}")


PUBLIC = [
    (module, name) for module in sorted(MODULES) for name in getattr(public_module(module), "__all__", ["__all__"])
]


def test_everything_but_the_public_modules_is_private() -> None:
    paths = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")]
    names = {".".join(part for part in path.parts if part != "__init__") for path in paths}
    public = {name for name in names if not any(part.startswith("_") for part in name.split("."))}
    assert public == {"", "cli", *MODULES}
    assert set(keras_lr.__all__) >= MODULES


@pytest.mark.parametrize("module", sorted({*MODULES, "cli"}))
def test_all_is_sorted_and_real(module: str) -> None:
    names = public_module(module).__all__
    assert list(names) == sorted(set(names))
    assert [name for name in names if not hasattr(public_module(module), name)] == []


@pytest.mark.parametrize("module", sorted({*MODULES, "cli"} - {"devices", "optimizers"}))
def test_all_is_complete(module: str) -> None:
    """In `devices` and `optimizers`, which are files and not packages, helpers stand beside what is public."""
    namespace = vars(public_module(module))
    given = {
        name
        for name, value in namespace.items()
        if not name.startswith("_") and str(getattr(value, "__module__", "")).startswith("keras_lr")
    }
    assert given == set(public_module(module).__all__)


def test_each_name_of_the_facade_is_public_in_its_home() -> None:
    for name, home in keras_lr._HOMES.items():
        assert name in importlib.import_module(home).__all__, f"{home}.{name}"
        assert getattr(keras_lr, name) is getattr(importlib.import_module(home), name)


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=[f"{module}.{name}" for module, name in PUBLIC])
def test_every_name_of_a_public_module_says_what_it_is(module: str, name: str) -> None:
    summary = (inspect.getdoc(getattr(public_module(module), name)) or "").strip().splitlines()
    assert summary
    assert summary[0].endswith((".", ":"))


@pytest.mark.parametrize("name", [name for name in keras_lr.__all__ if name != "__version__"])
def test_every_public_name_says_what_it_is(name: str) -> None:
    value = getattr(keras_lr, name)
    summary = (inspect.getdoc(value) or "").strip().splitlines()
    assert summary, name
    assert summary[0].endswith("."), name
    if inspect.isclass(value):
        own = [
            method
            for method, function in vars(value).items()
            if inspect.isfunction(function) and not method.startswith("_") and not inspect.getdoc(function)
        ]
        assert not own, f"{name} has undocumented methods {own}"


def described_in(section: str, value: object) -> set[str]:
    found = re.search(rf"^{section}:\n(.*?)(?:\n\n|\Z)", inspect.getdoc(value) or "", re.DOTALL | re.MULTILINE)
    return set(re.findall(r"^    \*{0,2}(\w+):", found.group(1), re.MULTILINE)) if found else set()


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=[f"{module}.{name}" for module, name in PUBLIC])
def test_documented_arguments_are_the_real_ones(module: str, name: str) -> None:
    value = getattr(public_module(module), name)
    if dataclasses.is_dataclass(value):
        assert described_in("Attributes", value) == {field.name for field in dataclasses.fields(value)}
    elif not (inspect.isclass(value) and issubclass(value, Exception)):
        signature = inspect.signature(value.__init__ if inspect.isclass(value) else value)
        assert described_in("Args", value) == set(signature.parameters) - {"self"}


def test_the_report_can_write_every_schedule_as_code() -> None:
    """Except for `Sequential`, whose arguments are lists of schedules."""
    schedules = [getattr(keras_lr.schedules, name) for name in keras_lr.schedules.__all__]
    assert {*KERAS_LR_SCHEDULES, "Sequential"} == {value.__name__ for value in schedules if inspect.isclass(value)}
    assert all(hasattr(keras.optimizers.schedules, name) for name in KERAS_SCHEDULES)


def test_errors_are_also_builtins() -> None:
    leaves = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, errors.KerasLRError) and value is not errors.KerasLRError
    ]
    assert len(leaves) >= 6
    for leaf in leaves:
        assert issubclass(leaf, (ValueError, RuntimeError, OSError, TypeError, ImportError)), leaf
        assert leaf.__name__ in (errors.__doc__ or "")
