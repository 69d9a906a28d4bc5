"""fastai's rules against a plain restatement of its loops, on real sweeps and on random ones."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lr.analysis._suggestion.suggest import suggest

DATA = Path(__file__).parents[3] / "benchmarks" / "data"
TASKS = ("digits-mlp-adam", "digits-mlp-sgd", "friedman-mlp-sgdm", "noise-nll-adam", "wine-mlp-adam-unscaled")


def recorded(rates, losses):
    """What fastai's recorder holds once its finder has stopped, without the first tenth and the last five."""
    value, best, kept_rates, kept = 0.0, math.inf, [], []
    for count, (rate, loss) in enumerate(zip(rates, losses, strict=True), start=1):
        value = 0.98 * value + 0.02 * loss
        smooth = value / (1 - 0.98**count)
        kept_rates.append(rate)
        kept.append(smooth)
        best = min(best, smooth)
        if smooth > 4 * best:
            break
    return kept_rates[len(rates) // 10 : -5], kept[len(rates) // 10 : -5]


def valley(rates, losses):
    lengths, end, start = [1] * len(losses), 0, 0
    for i in range(1, len(losses)):
        for j in range(i):
            if losses[i] < losses[j] and lengths[i] < lengths[j] + 1:
                lengths[i] = lengths[j] + 1
            if lengths[end] < lengths[i]:
                end = i
                start = end - lengths[end]
    sections = (end - start) / 3
    # If only the first steps fall, fastai's index is negative and wraps around to the highest rate.
    return rates[max(start + int(sections) + int(sections / 2), 0)]


def minimum(rates, losses):
    return rates[losses.index(min(losses))] / 10


def steepest(rates, losses):
    slopes = [
        (losses[i + 1] - losses[i]) / (math.log(rates[i + 1]) - math.log(rates[i])) for i in range(len(rates) - 1)
    ]
    return rates[slopes.index(min(slopes))]


def slide(rates, losses):
    n = len(losses)
    slopes = [losses[1] - losses[0]]
    slopes += [(losses[i + 1] - losses[i - 1]) / 2 for i in range(1, n - 1)]
    slopes += [losses[-1] - losses[-2]]
    right, left = -1, -16
    found = rates[left]
    while left >= -n and abs(slopes[right] - slopes[left]) > 0.005:
        found = rates[left]
        right, left = right - 1, left - 1
    return found


RESTATED = {"valley": valley, "minimum": minimum, "steepest": steepest, "slide": slide}


def real_sweeps():
    for task in TASKS:
        frame = pd.read_csv(DATA / f"{task}.range.csv.gz")
        for _, part in frame[frame["seed"] == 0].groupby("num_steps"):
            finite = np.isfinite(part["loss"])
            yield part["lr"][finite].tolist(), part["loss"][finite].tolist()


@pytest.mark.parametrize("rule", RESTATED)
def test_real_sweeps(rule):
    compared = 0
    for rates, losses in real_sweeps():
        kept_rates, kept = recorded(rates, losses)
        if len(kept) >= 20:
            assert suggest(rates, losses, rule=rule).learning_rate == pytest.approx(RESTATED[rule](kept_rates, kept))
            compared += 1
    assert compared >= 8


@pytest.mark.parametrize("rule", RESTATED)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(steps=st.integers(60, 200), seed=st.integers(0, 999), drift=st.floats(-0.02, 0.01))
def test_random_sweeps(rule, steps, seed, drift):
    rates = np.geomspace(1e-6, 1, steps).tolist()
    losses = (3 + drift * np.arange(steps) + np.random.default_rng(seed).normal(0, 0.1, steps)).tolist()
    kept_rates, kept = recorded(rates, losses)
    assert suggest(rates, losses, rule=rule).learning_rate == pytest.approx(RESTATED[rule](kept_rates, kept))


def test_several_repeats_give_the_median():
    sweeps = [(rates, losses) for rates, losses in real_sweeps() if len(rates) == 300][:3]
    rates = sweeps[0][0]
    table = np.array([losses for _, losses in sweeps])
    single = [np.log10(suggest(rates, row, rule="valley").learning_rate) for row in table]
    assert np.log10(suggest(rates, table, rule="valley").learning_rate) == pytest.approx(np.median(single))
