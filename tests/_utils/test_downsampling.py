"""Thinning several series over the same steps; tests/report/test_tables.py has a single one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keras_lr._utils.downsampling import spike_keeping_indices


@given(st.integers(1, 3), st.integers(1, 400), st.integers(8, 60), st.integers(0, 999))
def test_every_series_keeps_its_extremes(n_series, count, limit, seed):
    series = np.random.default_rng(seed).normal(size=(n_series, count))
    kept = spike_keeping_indices(series, limit)
    assert len(kept) <= max(limit, 0)
    assert {0, count - 1} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()
    np.testing.assert_array_equal(series[:, kept].max(axis=1), series.max(axis=1))
    np.testing.assert_array_equal(series[:, kept].min(axis=1), series.min(axis=1))


def test_a_diverged_step_stays_and_a_missing_value_does_not():
    series = np.zeros(1000)
    series[500] = np.nan
    series[501] = 3.0
    assert 500 in spike_keeping_indices(series, 10)
    kept = spike_keeping_indices(series, 10, nan_is_missing=True)
    assert 500 not in kept
    assert 501 in kept


def test_infinity_is_never_missing():
    series = np.zeros(1000)
    series[500] = np.inf
    assert 500 in spike_keeping_indices(series, 10, nan_is_missing=True)


def test_a_stretch_without_a_value_keeps_nothing():
    validated = np.full(1000, np.nan)
    validated[999::-100] = np.arange(10)
    kept = spike_keeping_indices([np.arange(1000.0), validated], 42, nan_is_missing=True)
    assert set(np.flatnonzero(~np.isnan(validated))) <= set(kept.tolist())
