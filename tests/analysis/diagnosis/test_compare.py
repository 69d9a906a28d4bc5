"""Of several runs, the losses decide which rates to try next, and a verdict on a single run never outweighs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lr.analysis import analyze_histories
from keras_lr.errors import InvalidArgumentError
from keras_lr.results import HistoryComparison


def run(rate: float, end: float, *, length: int = 12, start: float = 3.0, noise: float = 0.0, seed: int = 0) -> Any:
    """A smooth fall from `start` to `end`, and noise upon it."""
    epochs = np.arange(length)
    losses = end + (start - end) * (np.exp(-epochs / 2) - np.exp(-(length - 1) / 2)) / (1 - np.exp(-(length - 1) / 2))
    losses = losses + noise * np.random.default_rng(seed).normal(size=length)
    return {"loss": losses, "learning_rate": np.full(length, rate)}


def compared(*runs: Any) -> HistoryComparison:
    return analyze_histories({f"run {place}": one for place, one in enumerate(runs, 1)})


def test_the_range_lies_around_the_lowest_loss_half_way_to_its_neighbours() -> None:
    """Whatever the verdicts: the runs at 0.3 and 1 fall as smoothly as the best one, but end at 1.7 and 2."""
    ends = {1e-3: 0.6, 1e-2: 0.3, 1e-1: 0.8, 0.3: 1.7, 1.0: 2.0}
    comparison = compared(*(run(rate, end) for rate, end in ends.items()))
    assert comparison.best_run == "run 2"
    assert comparison.suggested_low == pytest.approx(np.sqrt(1e-3 * 1e-2))
    assert comparison.suggested_high == pytest.approx(np.sqrt(1e-2 * 1e-1))
    assert comparison.reason == "Of 5 runs of 12 epochs, the one at 1e-2 has the lowest `loss`."
    assert HistoryComparison.from_json(comparison.to_json()) == comparison


def test_what_loses_a_twentieth_of_the_gain_is_as_good() -> None:
    """From 3 to 0.3 is a gain of 2.7: 0.43 loses 0.13, a little less than a twentieth, and 0.45 a little more."""
    near = compared(run(1e-3, 0.6), run(1e-2, 0.3), run(3e-2, 0.43), run(1e-1, 0.8))
    assert near.suggested_high == pytest.approx(np.sqrt(3e-2 * 1e-1))
    assert near.reason == (
        "Of 4 runs of 12 epochs, those at 1e-2 to 3e-2 come within the noise or 5% of the gain of the lowest `loss`."
    )
    far = compared(run(1e-3, 0.6), run(1e-2, 0.3), run(3e-2, 0.45), run(1e-1, 0.8))
    assert far.suggested_high == pytest.approx(np.sqrt(1e-2 * 3e-2))


def test_what_is_within_the_noise_of_the_best_is_as_good() -> None:
    """0.6 loses a ninth of the gain, but the best loss itself goes up and down by 0.2 from epoch to epoch."""
    others = [run(1e-3, 2.0), run(3e-2, 0.6), run(1e-1, 2.0)]
    smooth, rough = run(1e-2, 0.3), run(1e-2, 0.3)
    rough["loss"] = rough["loss"] + 0.1 * (-1.0) ** np.arange(12)
    assert compared(smooth, *others).suggested_high == pytest.approx(np.sqrt(1e-2 * 3e-2))
    assert compared(rough, *others).suggested_high == pytest.approx(np.sqrt(3e-2 * 1e-1))


def test_repeats_at_a_rate_show_the_noise_between_runs() -> None:
    """The variances 0.01, 0.07, 0.0558 and 0.01 give a deviation of 0.19 per run, and 0.16 between two medians.

    So the medians 0.3 at 1e-2 and 0.55 at 3e-2 are within noise, although 0.25 is a tenth of the gain.
    """
    low = [run(1e-3, end) for end in (2.0, 2.1, 2.2)]
    best, other = [run(1e-2, end) for end in (0.2, 0.3, 0.7)], [run(3e-2, end) for end in (0.45, 0.55, 0.9)]
    high = [run(1e-1, end) for end in (2.4, 2.5, 2.6)]
    comparison = compared(*low, *best, *other, *high)
    assert comparison.suggested_low == pytest.approx(np.sqrt(1e-3 * 1e-2))
    assert comparison.suggested_high == pytest.approx(np.sqrt(3e-2 * 1e-1))
    assert comparison.reason.startswith("Of 12 runs of 12 epochs, those at 1e-2 to 3e-2 come within")


def test_a_lucky_run_does_not_make_its_rate_the_best() -> None:
    """The lowest loss of all is one of three at 3e-2, whose median is far worse."""
    steady, lucky = [run(1e-2, end) for end in (0.30, 0.31, 0.32)], [run(3e-2, end) for end in (0.2, 1.9, 2.0)]
    comparison = compared(run(1e-3, 1.5), *steady, *lucky)
    assert comparison.best_run == "run 5"
    assert comparison.suggested_low is not None
    assert comparison.suggested_low <= 1e-2


def test_a_run_that_broke_down_bounds_the_range_however_early() -> None:
    broken = run(1e-1, 0.1)
    broken = {name: values[:4] for name, values in broken.items()}
    broken["loss"] = np.append(broken["loss"][:3], np.nan)
    comparison = compared(run(1e-3, 0.6), run(1e-2, 0.3), broken)
    assert comparison.suggested_low == pytest.approx(np.sqrt(1e-3 * 1e-2))
    assert comparison.suggested_high == pytest.approx(np.sqrt(1e-2 * 1e-1))


def test_at_the_edge_of_what_was_tried_the_range_goes_beyond() -> None:
    highest = compared(run(1e-4, 2.5), run(1e-3, 2.0), run(1e-2, 0.3))
    assert highest.suggested_low == pytest.approx(np.sqrt(1e-3 * 1e-2))
    assert highest.suggested_high in (pytest.approx(3e-2), pytest.approx(1e-1))
    assert highest.reason.endswith(" No higher rate was tried.")
    lowest = compared(run(1e-2, 0.3), run(1e-1, 2.0), run(1.0, 2.5))
    assert lowest.suggested_low in (pytest.approx(1e-2 / 3), pytest.approx(1e-3))
    assert lowest.reason.endswith(" No lower rate was tried.")


def test_beyond_the_edge_only_the_verdict_can_tell() -> None:
    """The best of all is the highest rate, and it is too high: it spikes and oscillates."""
    wild = run(1e-1, 0.3)
    wild["loss"] = wild["loss"] + np.where(np.arange(12) % 2, 0.0, 40.0) * (np.arange(12) > 2)
    comparison = compared(run(1e-3, 2.0), run(1e-2, 1.5), wild)
    assert comparison.best_run == "run 3"
    assert comparison.diagnoses["run 3"].verdict == "too_high"
    assert comparison.suggested_high == pytest.approx(1e-1)


def test_validation_decides_where_all_have_it_and_a_metric_upwards() -> None:
    """Each overfits the more the lower its training loss."""
    runs = [run(rate, end) | {"val_loss": run(rate, 1 - end)["loss"]} for rate, end in ((1e-3, 0.9), (1e-2, 0.1))]
    assert compared(*runs).reason.startswith("Of 2 runs of 12 epochs, the one at 1e-3 has the lowest `val_loss`.")
    plain = [{name: one[name] for name in ("loss", "learning_rate")} for one in runs]
    assert compared(*plain).reason.startswith("Of 2 runs of 12 epochs, the one at 1e-2 has the lowest `loss`.")
    one_validated = compared(runs[0], plain[1])
    assert one_validated.reason.startswith("Of 2 runs of 12 epochs, the one at 1e-2 has the lowest `loss`.")
    upward = [{"accuracy": 1 - one["loss"] / 3, "learning_rate": one["learning_rate"]} for one in plain]
    assert compared(*upward).reason.startswith("Of 2 runs of 12 epochs, the one at 1e-2 has the highest `accuracy`.")


def test_runs_of_other_lengths_leave_it_to_the_verdicts_of_those_that_were_not_beaten() -> None:
    """The longest run is alone at its length. Of the two of 12 epochs, the one at 0.3 lost clearly."""
    comparison = compared(run(1e-2, 0.2, length=30), run(3e-2, 0.3), run(0.3, 1.9))
    good = [one for one in comparison.diagnoses.values() if one.verdict == "good"]
    assert 0.3 in [one.learning_rate for one in good]
    assert comparison.suggested_high is not None
    assert comparison.suggested_high < 0.3


def test_without_learning_rates_there_is_no_range() -> None:
    runs = [{"loss": one["loss"]} for one in (run(1e-3, 0.6), run(1e-2, 0.3))]
    assert compared(*runs).suggested_low is None


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.lists(st.floats(0.05, 2.9), min_size=2, max_size=7),
    st.floats(0.0, 0.2),
    st.integers(4, 40),
    st.integers(0, 10_000),
)
def test_no_rate_in_the_range_is_clearly_worse_than_the_best(
    ends: list[float], noise: float, length: int, seed: int
) -> None:
    """Clearly: by more than 5% of the gain and more than 15 standard deviations of the noise; the best is inside."""
    rates = np.geomspace(1e-5, 1.0, len(ends))
    runs = [
        run(rate, end, length=length, noise=noise, seed=seed + place)
        for place, (rate, end) in enumerate(zip(rates, ends, strict=True))
    ]
    scores = np.array([one["loss"].min() for one in runs])
    comparison = compared(*runs)
    low, high = comparison.suggested_low, comparison.suggested_high
    assert low is not None
    assert high is not None
    assert low <= rates[np.argmin(scores)] <= high
    gain = np.median([one["loss"][0] for one in runs]) - scores.min()
    worst = scores[(rates >= low) & (rates <= high)].max()
    assert worst - scores.min() <= max(0.05 * gain, 15 * noise) + 1e-9


def test_the_columns_of_a_single_run_are_not_taken_for_runs():
    message = r"`sources` must hold runs by name\. Received: a single run, with the columns \['loss', 'val_loss'\]\."
    with pytest.raises(InvalidArgumentError, match=message):
        analyze_histories({"loss": [3.0, 2.0, 1.0], "val_loss": np.array([3.0, 2.0, 1.5])})
    rows = [{"loss": 3.0}, {"loss": 2.0}, {"loss": 1.0}]
    assert analyze_histories({"first": rows}).best_run == "first"
