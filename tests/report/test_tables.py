"""Numbers as tables and CSV."""

import csv
import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_lr._utils.downsampling import evenly_chosen, spike_keeping_indices
from keras_lr.report._components import csv_text, data_link, number_column


def cells(values):
    return [cell["text"] for cell in number_column(values)]


def test_a_column_has_one_count_of_decimals():
    assert cells([2.5412, 0.4689, 12.25]) == ["2.54", "0.47", "12.25"]
    assert cells([0.97, None, math.nan, math.inf]) == ["0.9700", "–", "–", "diverged"]


def test_a_column_over_many_magnitudes_keeps_its_digits():
    assert cells([12345.6, 0.001234]) == ["1.235e+04", "0.001234"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝", " =", ";=", "a;=", "a\t@", "|+"])
def test_no_text_starts_a_formula(start):
    text = csv_text(["name"], [[f"{start}cmd()"]])
    (_, (cell,)) = list(csv.reader(io.StringIO(text.replace("\r", "\\r"))))
    assert cell.startswith("\ufffd") or "'" in cell
    assert "cmd()" in cell
    assert not cell.lstrip(";|").startswith(tuple("=+-@＝\t"))


def test_numbers_are_not_touched_and_missing_ones_are_empty():
    text = csv_text(["a", "b", "c", "d"], [[-1.5, math.nan, None, 3], [math.inf, "x", 1e-7, np.float32(2)]])
    assert text == "a,b,c,d\n-1.5,,,3\n,x,1e-07,2\n"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_link_holds_any_text(text):
    from urllib.parse import unquote

    assert unquote(data_link(text).split(",", 1)[1]) == text


@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=30, max_size=400), st.integers(8, 29))
def test_thinning_keeps_the_extremes_and_the_ends(values, limit):
    kept = spike_keeping_indices(values, limit)
    array = np.array(values)
    assert len(kept) <= limit
    assert kept[0] == 0
    assert kept[-1] == len(values) - 1
    assert (np.diff(kept) > 0).all()
    if np.isfinite(array).any():
        assert np.nanmin(array[kept]) == np.nanmin(array)
    if np.isfinite(array).all():
        assert array[kept].max() == array.max()


@given(st.integers(1, 3000), st.integers(3, 200), st.data())
def test_an_even_choice_holds_both_ends_and_the_one_that_must_be_there(count, limit, data):
    always = data.draw(st.integers(0, count - 1))
    kept = evenly_chosen(count, limit, always=always)
    assert len(kept) == min(count, limit)
    assert {0, count - 1, always} <= set(kept.tolist())
