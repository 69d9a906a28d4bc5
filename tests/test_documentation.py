"""Every code block of the README and of the documentation runs, and gives the output that is shown below it."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
import subprocess
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import keras
import matplotlib as mpl
import numpy as np
import pytest

import keras_lr
from keras_lr.cli import main
from keras_lr.results._diagnosis import FINDING_KINDS
from keras_lr.results._record import Record
from tests.report_samples import auto_lr_log
from tests.result_records import make_range_test
from tests.versions import needs_multi_optimizer

ROOT = Path(keras_lr.__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OPTIONAL = ("wandb",)
"""Packages that the tests do not install. A block that uses one runs only where it is installed."""

NOT_RUN = ("pip ", "keras-lr demo", "python benchmarks/", "pytest", "pip install", "git ")
"""The beginnings of shell commands that other tests run, or that change the environment."""


class Block(NamedTuple):
    """A fenced block: its language, what follows the language, its text and the line on which the text begins."""

    language: str
    options: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(*match.groups(), text.count("\n", 0, match.start(3)) + 1) for match in BLOCK.finditer(text)]


def with_code() -> list[Any]:
    needs = {"recipes.md": [needs_multi_optimizer]}
    return [
        pytest.param(page, id=page.name, marks=[pytest.mark.slow, *needs.get(page.name, [])])
        for page in PAGES
        if any(block.language in ("python", "sh") for block in blocks(page))
    ]


def run_shell(text: str) -> None:
    for line in text.strip().splitlines():
        command = line.split("#")[0].strip()
        if command.startswith(NOT_RUN):
            continue
        words = shlex.split(command)
        assert words[0] == "keras-lr", f"nothing runs {command!r}; add it to NOT_RUN if another test does"
        assert main(words[1:]) in (0, 1), command


def can_run(block: Block) -> bool:
    return all(find_spec(package) for package in OPTIONAL if package in block.text)


@pytest.mark.parametrize("page", with_code())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(mpl, "rcParams", mpl.rcParams.copy())
    namespace: dict[str, Any] = {"__name__": "page"}
    printed = ""
    keras.utils.set_random_seed(0)
    try:
        for block in blocks(page):
            if block.language == "python" and (title := re.search(r'title="([^"]+)"', block.options)):
                Path(title.group(1)).write_text(block.text, encoding="utf-8")
            elif block.language == "python" and can_run(block):
                # The blank lines make the line numbers of a traceback those of the page.
                code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
                with contextlib.redirect_stdout(io.StringIO()) as output:
                    exec(code, namespace)
                printed = output.getvalue()
            elif 'title="Output"' in block.options:
                assert block.text == printed
            elif block.language == "sh":
                run_shell(block.text)
    finally:
        sys.modules.pop("train", None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_block_is_of_a_language_that_is_checked(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= {"python", "sh", "bash", "text"}
    opened = re.findall(r"^```", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(opened) == 2 * len(blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_script_for_a_cluster_is_valid_bash(page: Path) -> None:
    for block in blocks(page):
        if block.language == "bash":
            subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)


def test_every_kind_of_result_is_in_the_schema() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "json.md").read_text(encoding="utf-8"), re.MULTILINE))
    classes = (getattr(keras_lr.results, name) for name in keras_lr.results.__all__)
    assert named == {kind.kind for kind in classes if issubclass(kind, Record)} | {"report"}


def test_every_finding_has_a_picture_and_an_explanation() -> None:
    text = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8")
    for kind, words in FINDING_KINDS.items():
        assert f"| {words.name} | ![](findings/{kind}.png)" in text
        assert (ROOT / "docs" / "findings" / f"{kind}.png").is_file()


def test_every_public_module_has_a_page_of_the_reference() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "reference").glob("*.md")} - {"index"}
    assert pages == set(keras_lr._MODULES)
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert all(f"reference/{page}.md" in navigation for page in pages)


def test_every_table_of_the_benchmarks_has_a_page() -> None:
    tables = {path.name: path for path in (ROOT / "benchmarks" / "results").glob("*.md")}
    pages = {path.name: path for path in (ROOT / "docs" / "benchmarks").glob("*.md")}
    assert pages.keys() == tables.keys()
    index = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for name, page in pages.items():
        assert f"](benchmarks/{name})" in index
        titled = [path.read_text(encoding="utf-8").startswith("# ") for path in (page, tables[name])]
        assert titled.count(True) == 1, f"{name} needs one title, in the page or in the table"


def test_files_that_the_readme_points_to_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def documented() -> dict[str, str]:
    """The docstring of each public class and function, by its name."""
    modules = [getattr(keras_lr, name) for name in keras_lr._MODULES]
    found = {name: getattr(module, name) for module in modules for name in module.__all__}
    found |= {name: getattr(keras_lr, name) for name in keras_lr._HOMES}
    return {name: value.__doc__ or "" for name, value in found.items() if callable(value)}


@pytest.fixture(scope="module")
def names_of_examples(tmp_path_factory: Any) -> dict[str, Any]:
    """What the examples in docstrings take for granted: a model, its data, and one result of each kind."""

    def build() -> keras.Model:
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(8, "relu", name="stem"), keras.layers.Dense(1, name="head")]
        )
        model.compile("sgd", "mse")
        return model

    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(64, 4))
    y = x.sum(axis=1)
    rates = np.geomspace(1e-6, 10, 80)
    losses = 2 / (1 + (rates / 1e-3) ** 2) + 0.2 + np.where(rates > 0.1, rates * 50, 0)
    history = {"loss": [2 * 0.8**epoch for epoch in range(12)], "learning_rate": [1e-3] * 12}
    tuner = keras_lr.LogGridSearch(
        build,
        objective="loss",
        learning_rates=[1e-3, 1e-2],
        repeats=1,
        directory=str(tmp_path_factory.mktemp("examples")),
        project_name="shared",
    )
    tuner.search(x, y, epochs=2, verbose=0)
    return {
        "keras": keras,
        "keras_lr": keras_lr,
        "np": np,
        "Report": keras_lr.Report,
        "ReportCallback": keras_lr.ReportCallback,
        "build": build,
        "x": x,
        "y": y,
        "x_val": x,
        "y_val": y,
        "rates": rates,
        "losses": losses,
        "history": history,
        "diagnosis": keras_lr.analyze_history(history),
        "suggestion": keras_lr.suggest(rates, losses),
        "result": make_range_test(),
        "log": auto_lr_log(),
        "schedule": keras_lr.schedules.OneCycle(1e-2, 1000),
        "tuner": tuner,
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(documented()))
def test_the_example_in_a_public_docstring_runs(
    name: str, names_of_examples: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    examples = doctest.DocTestParser().get_examples(documented()[name])
    assert examples, f"the docstring of {name} has no example"
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    if missing := [package for package in OPTIONAL if f"to_{package}" == name and not find_spec(package)]:
        pytest.skip(f"{missing[0]} is no part of the test extra")
    if name == "discriminative" and not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    namespace = names_of_examples | {"model": names_of_examples["build"]()}
    for example in examples:
        code = compile(example.source, f"example of {name}", "exec")
        if example.exc_msg is None:
            exec(code, namespace)
            continue
        with pytest.raises(keras_lr.errors.KerasLRError) as raised:
            exec(code, namespace)
        last_line = traceback.format_exception_only(raised.value)[-1]
        assert doctest.OutputChecker().check_output(example.exc_msg, last_line, doctest.ELLIPSIS)
