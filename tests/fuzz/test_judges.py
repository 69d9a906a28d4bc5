"""Whatever is judged, only documented exceptions are raised."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from keras_lr import analyze_histories, analyze_history, suggest
from keras_lr.errors import KerasLRError
from tests.fuzz.conftest import FUZZ
from tests.fuzz.strategies import ANYTHING, COLUMN_NAMES, NUMBERS, curves

RULES = st.sampled_from(("consensus", "valley", "minimum", "steepest", "slide", "", None, 3))


@FUZZ
@given(ANYTHING, ANYTHING, RULES)
def test_suggest_refuses_what_is_not_a_curve(learning_rates: Any, losses: Any, rule: Any) -> None:
    with contextlib.suppress(KerasLRError):
        suggest(learning_rates, losses, rule=rule)


@FUZZ
@given(curves(), st.sampled_from(("consensus", "valley", "minimum", "steepest", "slide")))
def test_a_suggestion_lies_in_its_range(curve: tuple[np.ndarray, np.ndarray], rule: str) -> None:
    try:
        advice = suggest(*curve, rule=rule)
    except KerasLRError:
        return
    if advice.learning_rate is not None:
        assert 0 < advice.low <= advice.learning_rate <= advice.high < np.inf
    assert advice.reason


@FUZZ
@given(st.one_of(ANYTHING, st.dictionaries(COLUMN_NAMES, ANYTHING, max_size=5)))
def test_analyze_history_refuses_what_is_not_a_history(source: Any) -> None:
    with contextlib.suppress(KerasLRError, FileNotFoundError):
        analyze_history(source)


@FUZZ
@given(
    st.integers(1, 50).flatmap(
        lambda epochs: st.dictionaries(
            COLUMN_NAMES, st.lists(NUMBERS, min_size=epochs, max_size=epochs), min_size=1, max_size=4
        )
    )
)
def test_any_numbers_get_a_verdict_or_an_error(columns: dict[str, list[Any]]) -> None:
    for source in (columns, pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})):
        try:
            diagnosis = analyze_history(source)
        except KerasLRError:
            continue
        assert diagnosis.verdict in ("too_low", "good", "too_high", "unclear")
        for finding in diagnosis.findings:
            assert finding.start_epoch <= finding.end_epoch


@FUZZ
@given(st.lists(st.lists(NUMBERS, min_size=1, max_size=20), max_size=4))
def test_any_runs_compare_or_are_refused(runs: list[list[Any]]) -> None:
    with contextlib.suppress(KerasLRError):
        analyze_histories([{"loss": run} for run in runs])
