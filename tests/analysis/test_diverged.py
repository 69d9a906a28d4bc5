"""The rules by which a loss counts as diverged, on planted losses."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_lr.analysis._auto_lr_rules import typical_change
from keras_lr.analysis._diverged import blown_up, epoch_divergence, run_diverged, sweep_divergence

LOWER = 10**-0.5


def sweep(*, fall=1.0, peak=1e3, noise=0.0, size=100, turn=70):
    """A loss that stays at 2.0, falls by `fall` from a third of the steps on, and explodes at `turn`."""
    steps = np.arange(size)
    losses = 2.0 - fall * np.clip((steps - size // 3) / (turn - size // 3), 0, 1)
    losses += np.where(steps >= turn, peak * (steps - turn + 1) / (size - turn), 0.0)
    return losses + noise * np.random.default_rng(0).normal(size=size)


def test_a_sweep_diverges_within_a_window_after_its_loss_explodes():
    # The median of five steps exceeds the limit once three of them do.
    assert sweep_divergence(sweep()) == 72
    assert sweep_divergence(sweep(noise=0.05)) == 72


@pytest.mark.parametrize("rise", [3.9, 4.1])
def test_a_sweep_diverges_four_times_its_fall_above_its_start(rise):
    losses = np.concatenate([np.full(40, 2.0), np.full(40, 1.0), np.full(20, 2.0 + rise)])
    assert sweep_divergence(losses) == (82 if rise > 4 else None)


@pytest.mark.parametrize("rise", [15.5, 16.5])
def test_a_rise_within_sixteen_times_the_noise_is_no_divergence(rise):
    # The differences are all 2, so the noise is 1.4826 * 2 / sqrt(2). After the rise every other median lies 1 higher.
    losses = np.tile([-1.0, 1.0], 50)
    losses[60:] += rise * 1.4826 * math.sqrt(2) - 1.0
    assert (sweep_divergence(losses) is not None) == (rise > 16)


@given(st.floats(0.1, 10.0), st.floats(-100.0, 100.0))
def test_scaling_or_shifting_the_loss_of_a_sweep_changes_nothing(scale, shift):
    losses = sweep(noise=0.05)
    assert sweep_divergence(scale * losses + shift) == sweep_divergence(losses)


def test_a_sweep_that_is_flat_or_short_has_not_diverged():
    assert sweep_divergence(np.full(100, -3.0)) is None
    assert sweep_divergence(np.array([1.0] * 9 + [1e9])) is None
    assert sweep_divergence(np.empty(0)) is None


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_rolls_back(loss):
    change = epoch_divergence(loss, start=math.nan, best=math.nan, noise=math.inf)
    assert (change.kind, change.factor) == ("rollback", LOWER)
    assert "NaN" in change.reason


@pytest.mark.parametrize(("loss", "reason"), [(0.69, None), (0.71, "52%"), (5.0, "above where it began"), (0.1, None)])
def test_giving_back_half_of_the_fall_rolls_back(loss, reason):
    # From 1.0 down to 0.4: half of the fall is lost at 0.7.
    change = epoch_divergence(loss, start=1.0, best=0.4, noise=0.01)
    assert (change and change.kind) == (reason and "rollback")
    assert reason is None or reason in change.reason


def test_a_first_epoch_above_the_start_rolls_back_unless_that_is_noise():
    assert epoch_divergence(2.34, start=2.3, best=2.3, noise=0.05) is None
    assert epoch_divergence(2.36, start=2.3, best=2.3, noise=0.05).kind == "rollback"


@given(st.sampled_from([0.25, 2.3, 4e3, -50.0]), st.floats(-1.0, 1.0))
def test_a_rise_of_the_size_of_rounding_is_none(level, wobble):
    # One step per epoch over all data: the first epochs' losses differ by rounding, and no step's loss is noisy.
    loss = level * (1 + 1e-7 * wobble)
    assert epoch_divergence(loss, start=level, best=level, noise=0.0) is None
    assert blown_up(loss, start=level, best=level, noise=0.0, reach=0.0) is None


def test_a_rise_that_is_small_beside_the_fall_of_the_range_test_is_none():
    assert epoch_divergence(0.73, start=0.7, best=0.699, noise=0.0).kind == "rollback"
    assert epoch_divergence(0.73, start=0.7, best=0.699, noise=0.0, reach=0.4) is None
    assert epoch_divergence(0.75, start=0.7, best=0.699, noise=0.0, reach=0.4).kind == "rollback"


@pytest.mark.parametrize(("loss", "diverged"), [(4.9, False), (5.1, True), (math.nan, True)])
def test_a_few_steps_blow_up_four_times_the_fall_above_the_start(loss, diverged):
    for fall in ({"best": 0.0, "reach": 0.5}, {"best": 1.0, "reach": 1.0}, {"best": 0.7, "reach": 1.0}):
        assert (blown_up(loss, start=1.0, noise=0.0, **fall) is not None) == diverged


def test_without_a_fall_or_noise_to_compare_with_nothing_blows_up():
    assert blown_up(1e9, start=1.0, best=1.0, noise=0.0, reach=0.0) is None


def test_if_neither_start_nor_noise_is_known_only_nan_counts():
    assert epoch_divergence(1e9, start=math.nan, best=math.nan, noise=typical_change([])) is None
    assert epoch_divergence(3.0, start=2.0, best=1.9, noise=typical_change([2.0, 1.9])) is None
    assert typical_change([2.0, 1.0, 0.5]) == 0.75


@pytest.mark.parametrize("name", ["loss", "val_loss", "val_accuracy"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_run_diverges_when_a_value_that_counts_is_not_finite(name, value):
    logs = {"loss": 1.0, "val_loss": 2.0, "val_accuracy": 0.5}
    assert not run_diverged(logs, objective="val_accuracy")
    assert run_diverged(logs | {name: value}, objective="val_accuracy")


def test_other_metrics_of_a_run_and_those_not_logged_do_not_count():
    assert not run_diverged({"loss": 1.0, "auc": math.nan}, objective="val_accuracy")
