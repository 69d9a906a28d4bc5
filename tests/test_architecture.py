"""How the package is built, read from its source: imports, private names of others, the sizes and names of files.

Each rule is a function that lists what breaks it. `test_the_package_keeps_the_rule` runs them all on the package, and
`test_the_rule_can_fail` on a copy with one deliberate violation each.
"""

from __future__ import annotations

import ast
import configparser
import functools
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import keras
import pytest

import keras_lr

ROOT = Path(keras_lr.__file__).parent
RANK = (
    "errors",
    "_utils",
    "results",
    "analysis",
    "schedules",
    "_keras",
    "optimizers",
    "devices",
    "range_test",
    "callbacks",
    "search",
    "plots",
    "report",
    "integrations",
    "cli",
)
"""The rooms, from the lowest to the highest; a module imports from its own room and those below."""

UPWARD = {
    ("results/_auto_lr.py", "plots"),
    ("results/_diagnosis.py", "plots"),
    ("results/_range_test.py", "plots"),
    ("results/_record.py", "report"),
    ("results/_schedule.py", "plots"),
    ("results/_sensitivity.py", "analysis"),
    ("results/_sensitivity.py", "integrations"),
    ("results/_sensitivity.py", "plots"),
    ("callbacks/_report_callback.py", "report"),
}
"""Conveniences such as `result.plot()`, which import from above, inside a function."""

WITH_KERAS = {"schedules", "_keras", "optimizers", "devices", "range_test", "callbacks", "search"}
HOMES = {
    "keras": WITH_KERAS,
    "tensorflow": WITH_KERAS,
    "keras_tuner": {"search"},
    "cloudpickle": {"search"},
    "distributed": {"search"},
    "seaborn": {"plots"},
    "matplotlib": {"plots"},
    "jinja2": {"report"},
    "tensorboard": {"integrations"},
    "mlflow": {"integrations"},
    "wandb": {"integrations"},
    "optuna": {"integrations"},
}
LAZY = {("cli", library) for library in HOMES}
"""Rooms that may import a heavy library inside a function."""

PRIVATE_LIBRARIES = ("keras.src", "tensorflow.python", "keras_tuner.src")
NAMED_TUPLE = {"_replace", "_asdict", "_fields", "_make"}
"""Documented methods of named tuples, which have an underscore only to leave the fields' names free."""

SUFFIXES = {"_loss", "_steps"}
CLASS_NAMES_IN_RECORDS = {"_DefaultDistributionStrategy"}
BY_STRING = {
    *("__init__.py", "_utils/backend.py", "_utils/keras_import.py", "_utils/names.py", "cli/_loading.py"),
    "search/_distributed/dask_pool.py",
}
"""The lazy public names, what asks whether Keras is imported yet, and the user's own script or modules."""

MAX_MODULES = 150
MIN_LINES = 30
PUBLIC_FILES = {"errors.py", "optimizers.py", "devices.py", "__init__.py", "__main__.py"}
MODULE_OF = {"scikit_learn": "sklearn", "mlflow_skinny": "mlflow"}
OPTIONAL = ("examples", "dask", "mlflow", "optuna", "wandb")
"""The extras whose packages the package itself imports, inside functions."""


class Import(NamedTuple):
    """An imported module, or a name imported from one; `lazy` if it is inside a function."""

    module: str
    name: str | None
    lazy: bool


class Package:
    """The source files of the package, by their path within it."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.sources = sources
        self.modules = {module_name(path): path for path in sources}

    @classmethod
    def read(cls, root: Path) -> Package:
        paths = sorted(root.rglob("*.py"))
        return cls({path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths})

    def with_file(self, path: str, text: str, *, append: bool = True) -> Package:
        """The package with a file added, or with lines added to one."""
        former = self.sources.get(path, "") if append else ""
        return Package({**self.sources, path: f"{former}\n{text}\n"})

    def trees(self) -> Iterator[tuple[str, ast.Module]]:
        return ((path, parsed(text)) for path, text in self.sources.items())

    def imports(self, path: str) -> tuple[Import, ...]:
        return imports_of(parsed(self.sources[path]))

    def targets(self, path: str, *, lazy: bool) -> set[str]:
        """Names of the modules that a file imports; those that only a function imports, if `lazy`."""
        found = (one for one in self.imports(path) if lazy or not one.lazy)
        return {self.target(one) for one in found}

    def target(self, one: Import) -> str:
        """The imported module itself, for `from package import module` as well."""
        whole = f"{one.module}.{one.name}"
        return whole if whole in self.modules else one.module


@functools.cache
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


def module_name(path: str) -> str:
    return ".".join(part for part in ("keras_lr", *Path(path).with_suffix("").parts) if part != "__init__")


def room(path_or_module: str) -> str:
    """The first part below `keras_lr`: a folder, or a file at the top; "" for the package itself."""
    if path_or_module.startswith("keras_lr"):
        return path_or_module.split(".")[1] if "." in path_or_module else ""
    first = path_or_module.split("/")[0].removesuffix(".py")
    return "" if first.startswith("__") else first


@functools.cache
def imports_of(tree: ast.Module) -> tuple[Import, ...]:
    """Every import but those for type checkers alone."""
    return tuple(imports_in(tree, lazy=False))


def imports_in(tree: ast.AST, *, lazy: bool) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, None, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (Import(module, alias.name, lazy) for alias in node.names)
        else:
            yield from imports_in(
                node, lazy=lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            )


def is_private(name: str) -> bool:
    return re.fullmatch(r"_[A-Za-z]\w*", name) is not None


def is_door(path: str, library: str | None = None) -> bool:
    """Whether a file may use private parts of `library`, or of any library."""
    doors = {"keras_tuner": path == "search/_keras_tuner.py", "keras": path.startswith("_keras/")}
    if library is None:
        return any(doors.values())
    return doors["keras_tuner" if library == "keras_tuner" else "keras"]


def imports_point_downwards(package: Package) -> Iterator[str]:
    for path in package.sources:
        for one in package.imports(path):
            target = package.target(one)
            if one.module.startswith("."):
                yield f"{path} has the relative import {one.module}"
            elif target.split(".")[0] != "keras_lr" or not room(path):
                continue
            elif target == "keras_lr":
                used = {one.name} if one.name else names_under("keras_lr", parsed(package.sources[path]))
                for name in sorted(used - {"__version__"}):
                    yield f"{path} imports {name} through the façade"
            elif room(target) not in RANK or room(path) not in RANK:
                yield f"{path} imports {target}, but one of them has no rank"
            elif RANK.index(room(target)) > RANK.index(room(path)) and not (
                one.lazy and (path, room(target)) in UPWARD
            ):
                yield f"{path} imports {target}, which is above it"


def no_import_is_circular(package: Package) -> Iterator[str]:
    graph = {
        name: {target for target in package.targets(path, lazy=False) if target in package.modules and target != name}
        for name, path in package.modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as err:
        yield f"circular import: {' -> '.join(err.args[1])}"


def heavy_libraries_stay_at_home(package: Package) -> Iterator[str]:
    for path in package.sources:
        for one in package.imports(path):
            library = one.module.split(".")[0]
            allowed = one.lazy and {(room(path), library), (path, library)} & LAZY
            if room(path) not in HOMES.get(library, {room(path)}) and not allowed:
                yield f"{path} imports {library}"


def imports_by_string_are_on_the_list(package: Package) -> Iterator[str]:
    for path, tree in package.trees():
        if path in BY_STRING:
            continue
        for one in package.imports(path):
            if one.module in ("importlib", "importlib.util", "runpy", "pkgutil") and one.name not in (
                "metadata",
                "resources",
            ):
                yield f"{path} imports {one.module}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in ("__import__", "exec", "eval"):
                yield f"{path} uses {node.id}"
        if "sys.modules" in dotted_names(tree):
            yield f"{path} uses sys.modules"


def private_modules_are_imported_at_a_door(package: Package) -> Iterator[str]:
    for path, tree in package.trees():
        modules = [".".join(filter(None, one[:2])) for one in package.imports(path)]
        for name in sorted({*modules, *dotted_names(tree)}):
            parts = ["tensorflow" if part == "tf" else part for part in name.split(".")]
            name = ".".join(parts)
            private = any(f"{name}.".startswith(f"{library}.") for library in PRIVATE_LIBRARIES)
            private |= parts[0] in ("keras", "tensorflow", "keras_tuner") and any(map(is_private, parts[1:]))
            private |= parts[0] == "tensorflow" and "__internal__" in parts
            if private and not is_door(path, parts[0]):
                yield f"{path} uses {name}"


def private_names_are_not_imported(package: Package) -> Iterator[str]:
    for path in package.sources:
        for one in package.imports(path):
            if one.name is not None and is_private(one.name) and f"{one.module}.{one.name}" not in package.modules:
                if not package.target(one).startswith("keras_lr") and is_door(path):
                    continue
                parent = one.module.replace(".", "/").removeprefix("keras_lr").lstrip("/")
                if not any(other.startswith(f"{parent}/{one.name}/".lstrip("/")) for other in package.sources):
                    yield f"{path} imports {one.name} from {one.module}"


def private_attributes_are_one_s_own(package: Package) -> Iterator[str]:
    """`self._name` must be defined by a class of the package, and `other._name` in the same file."""
    classes = classes_of(package)
    inherited = functools.cache(functools.partial(inherited_names, classes=classes))
    for path, tree in package.trees():
        if is_door(path):
            continue
        own = defined_names(tree)
        for node, owner in private_attributes(tree):
            if node.attr in NAMED_TUPLE:
                continue
            by_super = isinstance(node.value, ast.Call) and dotted(node.value.func) == "super"
            if owner is not None and (by_super or dotted(node.value) in ("self", "cls")):
                if node.attr not in inherited(owner, with_own=not by_super):
                    yield f"{path} uses {ast.unparse(node)}, which {owner} does not define"
            elif node.attr not in own:
                yield f"{path} uses {ast.unparse(node)}"


def private_names_do_not_hide_in_strings(package: Package) -> Iterator[str]:
    """Whatever way a string takes to `getattr`, `setattr`, `hasattr` or `vars`. A package may name its own modules."""
    for path, tree in package.trees():
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if text in package.modules and Path(path).name == "__init__.py":
                continue
            if is_private(text) and text not in SUFFIXES | CLASS_NAMES_IN_RECORDS and not is_door(path):
                yield f"{path} has the string {text!r}"


def there_are_few_modules(package: Package) -> Iterator[str]:
    if len(package.sources) > MAX_MODULES:
        yield f"{len(package.sources)} modules are more than {MAX_MODULES}"


def a_small_module_has_several_importers(package: Package) -> Iterator[str]:
    targets = {path: package.targets(path, lazy=True) for path in package.sources}
    for name, path in package.modules.items():
        lines = len(package.sources[path].splitlines())
        importers = [other for other in targets if name in targets[other] and other != path]
        if lines < MIN_LINES and len(importers) == 1 and not Path(path).name.startswith("__"):
            yield f"{path} has {lines} lines and a single importer, {importers[0]}"


def what_is_not_public_has_an_underscore(package: Package) -> Iterator[str]:
    for path in package.sources:
        if path not in PUBLIC_FILES and not any(part.startswith("_") for part in Path(path).parts):
            yield f"{path} looks public"


def every_import_is_declared(package: Package) -> Iterator[str]:
    config = configparser.ConfigParser()
    config.read(ROOT.parent / "setup.cfg")
    extras = [config["options.extras_require"][extra] for extra in OPTIONAL]
    required = "".join([config["options"]["install_requires"], *extras])
    declared = {line.split(">")[0].split("[")[0].strip().replace("-", "_") for line in required.splitlines() if line}
    declared |= {module for project, module in MODULE_OF.items() if project in declared}
    for path in package.sources:
        roots = {target.split(".")[0] for target in package.targets(path, lazy=True)} - {"keras_lr"}
        for root in sorted(roots - declared - sys.stdlib_module_names):
            yield f"{path} imports {root}, which setup.cfg does not declare"


RULES = (
    imports_point_downwards,
    no_import_is_circular,
    heavy_libraries_stay_at_home,
    imports_by_string_are_on_the_list,
    private_modules_are_imported_at_a_door,
    private_names_are_not_imported,
    private_attributes_are_one_s_own,
    private_names_do_not_hide_in_strings,
    there_are_few_modules,
    a_small_module_has_several_importers,
    what_is_not_public_has_an_underscore,
    every_import_is_declared,
)
VIOLATIONS = [
    (imports_point_downwards, "results/_record.py", "import keras_lr.plots", "imports keras_lr.plots, which is above"),
    (
        imports_point_downwards,
        "results/_record.py",
        "def f():\n    from keras_lr import plots",
        "keras_lr.plots, which is",
    ),
    (
        imports_point_downwards,
        "results/_range_test.py",
        "from keras_lr.plots import x",
        "keras_lr.plots, which is above",
    ),
    (imports_point_downwards, "search/_runs.py", "from keras_lr import find_lr", "find_lr through the façade"),
    (imports_point_downwards, "search/_runs.py", "import keras_lr\nkeras_lr.find_lr", "find_lr through the façade"),
    (imports_point_downwards, "search/_runs.py", "from . import _oracle", "relative import"),
    (imports_point_downwards, "odd/_file.py", "import keras_lr.errors", "has no rank"),
    (no_import_is_circular, "errors.py", "import keras_lr.cli", "circular import"),
    (heavy_libraries_stay_at_home, "results/_record.py", "import keras", "imports keras"),
    (heavy_libraries_stay_at_home, "report/_page.py", "def f():\n    import tensorflow as tf", "imports tensorflow"),
    (heavy_libraries_stay_at_home, "cli/_main.py", "import tensorflow as tf", "imports tensorflow"),
    (heavy_libraries_stay_at_home, "callbacks/_lr_recorder.py", "import keras_tuner", "imports keras_tuner"),
    (imports_by_string_are_on_the_list, "report/_page.py", "import importlib", "imports importlib"),
    (imports_by_string_are_on_the_list, "report/_page.py", "def f():\n    __import__('keras')", "uses __import__"),
    (imports_by_string_are_on_the_list, "report/_page.py", "sys.modules['keras']", "uses sys.modules"),
    (private_modules_are_imported_at_a_door, "search/_runs.py", "from keras.src import ops", "uses keras.src.ops"),
    (private_modules_are_imported_at_a_door, "search/_runs.py", "def f():\n    import keras.src", "uses keras.src"),
    (private_modules_are_imported_at_a_door, "search/_runs.py", "keras.src.ops.add", "uses keras.src.ops.add"),
    (
        private_modules_are_imported_at_a_door,
        "search/_runs.py",
        "import tensorflow.python.eager",
        "tensorflow.python.eager",
    ),
    (private_modules_are_imported_at_a_door, "_keras/logs.py", "import keras_tuner.src", "uses keras_tuner.src"),
    (
        private_modules_are_imported_at_a_door,
        "search/_runs.py",
        "tf.__internal__.tracking",
        "uses tensorflow.__internal__",
    ),
    (
        private_names_are_not_imported,
        "search/_runs.py",
        "from keras_lr._keras.batches import _map",
        "imports _map from",
    ),
    (private_names_are_not_imported, "search/_runs.py", "from keras import _tf_keras", "imports _tf_keras from keras"),
    (private_attributes_are_one_s_own, "search/_runs.py", "model._loss_tracker", "uses model._loss_tracker"),
    (private_attributes_are_one_s_own, "search/_runs.py", "def f(a):\n    a[0].b()._c = 1", r"uses a\[0\].b\(\)._c"),
    (
        private_attributes_are_one_s_own,
        "search/_runs.py",
        "class A(B):\n    def f(self):\n        return self._is_worker()",
        "uses self._is_worker, which A does not define",
    ),
    (
        private_attributes_are_one_s_own,
        "search/_runs.py",
        "class A(B):\n    def _f(self):\n        return super()._f()",
        r"uses super\(\)._f, which A does not define",
    ),
    (private_names_do_not_hide_in_strings, "search/_runs.py", "getattr(model, '_loss_tracker')", "'_loss_tracker'"),
    (private_names_do_not_hide_in_strings, "search/_runs.py", "NAMES = ('_seed', '_seed2')", "has the string '_seed'"),
    (
        a_small_module_has_several_importers,
        "search/_runs.py",
        "import keras_lr.search._small",
        "_small.py has .* lines",
    ),
    (what_is_not_public_has_an_underscore, "search/grid.py", "", "search/grid.py looks public"),
    (what_is_not_public_has_an_underscore, "cli/find.py", "", "cli/find.py looks public"),
    (what_is_not_public_has_an_underscore, "grid.py", "", "grid.py looks public"),
    (every_import_is_declared, "search/_runs.py", "import polars", "imports polars, which setup.cfg does not declare"),
]


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of names, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    inner = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{inner}.{node.attr}" if isinstance(node, ast.Attribute) and inner else ""


@functools.cache
def dotted_names(tree: ast.Module) -> frozenset[str]:
    return frozenset(dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def names_under(module: str, tree: ast.Module) -> set[str]:
    """What a file uses of an imported module."""
    return {name.split(".")[1] for name in dotted_names(tree) if name.startswith(f"{module}.")}


def classes_of(package: Package) -> dict[str, list[ast.ClassDef]]:
    """The classes of the package by name; several in different files may have one name."""
    found: dict[str, list[ast.ClassDef]] = {}
    for _, tree in package.trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
    return found


def inherited_names(name: str, *, classes: dict[str, list[ast.ClassDef]], with_own: bool = True) -> set[str]:
    """What a class and its bases within the package define."""
    found: set[str] = set()
    for node in classes.get(name, []):
        found |= defined_names(node) if with_own else set()
        for base in node.bases:
            base_name = ast.unparse(base).split(".")[-1].split("[")[0]
            found |= inherited_names(base_name, classes=classes) if base_name != name else set()
    return found


@functools.cache
def defined_names(tree: ast.AST) -> frozenset[str]:
    """Functions, classes, names in a class's body, and attributes that are set on `self`, `cls` or a new object."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and dotted(node.value) in ("self", "cls")
        ):
            found.add(node.attr)
        if isinstance(node, ast.ClassDef):
            targets = [target for part in node.body if isinstance(part, ast.Assign) for target in part.targets]
            targets += [part.target for part in node.body if isinstance(part, ast.AnnAssign)]
            found |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return frozenset(found)


@functools.cache
def private_attributes(tree: ast.Module) -> tuple[tuple[ast.Attribute, str | None], ...]:
    return tuple((node, owner) for node, owner in attributes_with_owner(tree) if is_private(node.attr))


def attributes_with_owner(tree: ast.AST, owner: str | None = None) -> Iterator[tuple[ast.Attribute, str | None]]:
    """Every attribute, with the name of the class in whose body it is used."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Attribute):
            yield node, owner
        yield from attributes_with_owner(node, node.name if isinstance(node, ast.ClassDef) else owner)


def overridden_private_names(kind: type) -> list[str]:
    """Private names that a class defines and a base of another library defines as well."""
    foreign = [
        base for base in kind.__mro__[1:] if base.__module__.split(".")[0] in ("keras", "keras_tuner", "tensorflow")
    ]
    return [name for name in vars(kind) if is_private(name) and any(name in vars(base) for base in foreign)]


@functools.cache
def the_package() -> Package:
    return Package.read(ROOT)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Callable[[Package], Iterator[str]]) -> None:
    assert not list(rule(the_package()))


@functools.cache
def broken_without(rule: Callable[[Package], Iterator[str]]) -> frozenset[str]:
    """What breaks the rule before there is a deliberate violation."""
    return frozenset(rule(the_package().with_file("search/_small.py", "")))


@pytest.mark.parametrize(("rule", "path", "text", "message"), VIOLATIONS)
def test_the_rule_can_fail(rule: Callable[[Package], Iterator[str]], path: str, text: str, message: str) -> None:
    package = the_package().with_file("search/_small.py", "")
    broken = [one for one in rule(package.with_file(path, text)) if one not in broken_without(rule)]
    assert any(re.search(message, one) for one in broken)


def test_the_rule_on_the_number_of_modules_can_fail() -> None:
    many = Package({f"search/_{number}.py": "" for number in range(MAX_MODULES + 1)})
    assert list(there_are_few_modules(many)) == ["151 modules are more than 150"]


def test_every_rule_is_shown_to_fail() -> None:
    assert {rule for rule, *_ in VIOLATIONS} | {there_are_few_modules} == set(RULES)


def test_every_exception_is_needed() -> None:
    package = the_package()
    upward = {(path, room(package.target(one))) for path in package.sources for one in package.imports(path)}
    assert upward >= UPWARD
    assert package.sources.keys() >= BY_STRING
    strings = {node.value for _, tree in package.trees() for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert strings >= SUFFIXES | CLASS_NAMES_IN_RECORDS


def test_no_class_overrides_a_private_name_of_another_library_outside_a_door() -> None:
    for name, path in the_package().modules.items():
        if path.endswith("__main__.py") or is_door(path):
            continue
        for kind in vars(importlib.import_module(name)).values():
            if inspect.isclass(kind) and kind.__module__ == name:
                assert not overridden_private_names(kind), f"{name}.{kind.__name__}"


def test_an_overridden_private_name_is_noticed() -> None:
    class Model(keras.Model):
        def _flatten_layers(self, *args: Any, **kwargs: Any) -> Any:
            return []

        def _own(self) -> None:
            pass

    assert overridden_private_names(Model) == ["_flatten_layers"]
