"""Each list of words stands once: a new verdict or kind of finding touches its rule and its table only."""

import ast
from pathlib import Path
from typing import get_args

import pytest

import keras_lr
from keras_lr.analysis._suggestion.curve import regions
from keras_lr.cli import _output
from keras_lr.plots import _history, _rate_curves, _sensitivity, _style
from keras_lr.report._sections import auto_lr, range_test
from keras_lr.results._auto_lr import ActionKind
from keras_lr.results._diagnosis import (
    FINDING_KINDS,
    VERDICTS,
    FindingKind,
    Pattern,
    Verdict,
    verdict_badge,
    verdict_sentence,
)
from keras_lr.results._range_test import CONFIDENCE_BADGES, Confidence, StopReason
from keras_lr.results._sensitivity import RUN_STATUS_NAMES, RunStatus
from tests.result_records import make_range_test

PACKAGE = Path(keras_lr.__file__).parent
READERS = [path for room in ("plots", "report", "cli", "callbacks") for path in sorted((PACKAGE / room).rglob("*.py"))]
TABLES = [
    (VERDICTS, Verdict),
    (FINDING_KINDS, FindingKind),
    (CONFIDENCE_BADGES, Confidence),
    (RUN_STATUS_NAMES, RunStatus),
    (_output._COLORS, Confidence),
    (_rate_curves.ACTION_MARKS, ActionKind),
    (auto_lr._ACTION_MEANINGS, ActionKind),
    (range_test._STOP_REASONS, StopReason),
]


@pytest.mark.parametrize(("table", "literal"), TABLES)
def test_each_table_has_an_entry_for_every_word_and_no_other(table, literal):
    assert set(table) == set(get_args(literal))


def test_every_way_to_fail_has_a_mark():
    assert set(_sensitivity._FAILURE_MARKS) == set(get_args(RunStatus)) - {"ok"}


def test_every_pattern_can_be_drawn():
    assert {*_history._HATCHES, "dotted", ""} == set(get_args(Pattern))


def test_every_region_has_a_colour_and_a_meaning():
    names = [region.name for region in regions(make_range_test())]
    assert names == list(_style.REGION_COLORS) == list(range_test._REGION_MEANINGS)


def constants(path):
    """The string constants of a module, docstrings left out, and each collection's own ones together."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, documented)}
    words, collections = set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in docstrings:
            words.add(node.value)
        if isinstance(node, (ast.Dict, ast.List, ast.Set, ast.Tuple)):
            items = node.keys if isinstance(node, ast.Dict) else node.elts
            collections.append({item.value for item in items if isinstance(item, ast.Constant)})
    return words, collections


@pytest.mark.parametrize("path", READERS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_shows_them_has_no_second_list(path):
    words, collections = constants(path)
    badges = {words.badge for words in VERDICTS.values()} | set(CONFIDENCE_BADGES.values())
    assert not words & {*FINDING_KINDS, *(words.name for words in FINDING_KINDS.values()), *badges}
    assert all(len(collection & set(VERDICTS)) < 2 for collection in collections)


def test_a_verdict_reads_with_and_without_the_learning_rate():
    assert verdict_sentence("too_low") == "The learning rate was too low"
    assert verdict_sentence("too_low", 1e-2) == "The learning rate 1e-2 was too low"
    assert verdict_sentence("unclear", 1e-2) == "No verdict on the learning rate 1e-2"


def test_a_verdict_on_less_than_three_fifths_of_the_evidence_is_only_probable():
    assert verdict_sentence("too_high", 1e-2, share=0.59) == "The learning rate 1e-2 was probably too high"
    assert verdict_sentence("too_high", share=0.6) == "The learning rate was too high"
    assert verdict_sentence("unclear", share=0.3) == "No verdict on the learning rate"
    assert [verdict_badge("good", share) for share in (None, 0.59, 0.6)] == ["Good", "Probably good", "Good"]
    assert verdict_badge("unclear", 0.3) == "Unclear"
