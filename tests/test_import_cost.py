"""Which libraries an import and the light commands load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from keras_lr.results._search_records import Journal, SearchFolder

HEAVY = ("tensorflow", "keras", "keras_tuner")


def loaded(code: str, cwd: Path) -> list[str]:
    """The heavy libraries that are loaded when a program ends."""
    program = f"import sys\n{code}\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=cwd)
    return list(eval(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_no_heavy_library(tmp_path: Path) -> None:
    code = "before = set(sys.modules)\nimport keras_lr\nassert 'numpy' not in sys.modules\nkeras_lr.__version__"
    assert loaded(code, tmp_path) == []


@pytest.mark.parametrize("name", ["suggest", "analyze_history", "RangeTestResult", "errors"])
def test_analysis_needs_no_keras(name: str, tmp_path: Path) -> None:
    assert loaded(f"import keras_lr; keras_lr.{name}", tmp_path) == []


def test_a_package_loads_what_is_used_of_it_and_completes_the_rest(tmp_path: Path) -> None:
    code = (
        "from keras_lr import analysis, callbacks, range_test, search\n"
        "for package in (analysis, callbacks, range_test, search):\n"
        "    assert set(package.__all__) <= set(dir(package))\n"
        "search.LogGridSearch\n"
        "parts = {name.split('.')[-1] for name in sys.modules if name.startswith('keras_lr')}\n"
        "assert not parts & {'_race_search', '_find_lr', 'diagnose'}"
    )
    assert loaded(code, tmp_path) == list(HEAVY)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["find", "--help"], ["analyze", "run.csv", "--json"]], ids=" ".join
)
def test_light_commands_load_no_tensorflow(arguments: list[str], tmp_path: Path) -> None:
    rows = "\n".join(f"{epoch},{1 / (epoch + 1):.6f},{1.1 / (epoch + 1):.6f}" for epoch in range(12))
    (tmp_path / "run.csv").write_text(f"epoch,loss,val_loss\n{rows}\n", encoding="utf-8")
    code = f"from keras_lr.cli import main\nassert main({arguments!r}) == 0"
    assert loaded(code, tmp_path) == []


def test_a_report_of_a_search_loads_no_tensorflow(tmp_path: Path) -> None:
    journal = Journal(SearchFolder(tmp_path / "runs" / "lr").journal("tuner0"), {})
    point = {"repeat": 0, "batch_size": 32, "epoch": 0, "seed": 0, "status": "ok"}
    journal.append([{"learning_rate": rate, "loss": 1.0, "val_loss": 2.0, **point} for rate in (1e-3, 1e-2)])
    code = "from keras_lr.cli import main\nassert main(['report', 'runs', '-o', 'page.html']) == 0"
    assert loaded(code, tmp_path) == []
    assert "Of 2 learning rates x 1 repeat, " in (tmp_path / "page.html").read_text(encoding="utf-8")


MODEL = ["missing.py:build", "--data", "missing.py:data"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["find", *MODEL],
        ["search", *MODEL],
        ["race", *MODEL],
        ["analyze", "missing.csv", "--report", "report.html"],
        ["report", "missing.json", "--output", "report.html"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_can_be_refused_at_once_loads_nothing_that_takes_time(arguments: list[str], tmp_path: Path) -> None:
    slow = ("numpy", "pandas", "rich", "matplotlib", "jinja2")
    code = (
        "import sys\n"
        "from keras_lr.cli import main\n"
        f"assert main({arguments!r}) == 2\n"
        f"assert [name for name in {slow!r} if name in sys.modules] == []"
    )
    assert loaded(code, tmp_path) == []


def test_a_wrong_word_of_fail_on_is_refused_without_pandas(tmp_path: Path) -> None:
    code = (
        "from keras_lr.cli import main\n"
        "assert main(['analyze', 'missing.csv', '--fail-on', 'wrong']) == 2\n"
        "assert 'pandas' not in sys.modules"
    )
    assert loaded(code, tmp_path) == []
