"""Every code block of the README and of the documentation runs, as printed, from the top of its page to its end."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import keras
import matplotlib as mpl
import pytest

import keras_lr
from keras_lr.cli import main
from keras_lr.results._diagnosis import FINDING_KINDS
from keras_lr.results._record import Record
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
    keras.utils.set_random_seed(0)
    try:
        for block in blocks(page):
            if block.language == "python" and (title := re.search(r'title="([^"]+)"', block.options)):
                Path(title.group(1)).write_text(block.text, encoding="utf-8")
            elif block.language == "python" and can_run(block):
                # The blank lines make the line numbers of a traceback those of the page.
                exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), namespace)
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
    tables = {path.name for path in (ROOT / "benchmarks" / "results").glob("*.md")}
    assert {path.name for path in (ROOT / "docs" / "benchmarks").glob("*.md")} == tables


def test_files_that_the_readme_points_to_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
