from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lr.analysis import analyze_histories, analyze_history
from keras_lr.analysis._diagnosis.findings import find_all
from keras_lr.analysis._diagnosis.readers import read_history
from keras_lr.errors import InvalidArgumentError
from keras_lr.results import Diagnosis, HistoryComparison
from tests.sensitivity_samples import sensitivity_result

SEEDS = st.integers(0, 10_000)


def noisy_decay(size, seed, noise, time_constant=0.3):
    generator = np.random.default_rng(seed)
    return np.exp(-np.arange(size) / size / time_constant) + generator.normal(0, noise, size)


def finding(diagnosis, kind):
    found = [item for item in diagnosis.findings if item.kind == kind]
    assert found, f"{kind} not among {[item.kind for item in diagnosis.findings]}"
    return found[0]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, st.integers(50, 2000), st.floats(0.0, 0.6), st.floats(3.0, 250.0), st.floats(3.0, 10.0))
def test_planted_oscillation_is_found_where_it_is(seed, size, share, amplitude, period):
    onset, noise = int(share * size), 0.02
    time = np.arange(size)
    oscillation = (time >= onset) * amplitude * noise * np.sin(2 * np.pi * (time - onset) / period)
    found = finding(analyze_history({"loss": noisy_decay(size, seed, noise) + oscillation}), "oscillation")
    tolerance = max(1, 0.1 * (size - onset))
    assert abs(found.start_epoch - onset) <= tolerance
    assert abs(found.end_epoch - (size - 1)) <= tolerance


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, st.integers(80, 2000), st.floats(0.2, 0.7), st.floats(30.0, 250.0))
def test_planted_plateau_is_found_where_it_is(seed, size, share, signal_to_noise):
    onset = int(share * size)
    fall = np.maximum(0.0, 1 - np.arange(size) / onset)
    noise = np.random.default_rng(seed).normal(0, 1 / signal_to_noise, size)
    found = finding(analyze_history({"loss": fall + noise}), "early_plateau")
    assert abs(found.start_epoch - onset) <= max(1, 0.1 * (size - onset))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, st.integers(40, 2000), st.floats(0.2, 0.6), st.floats(50.0, 250.0))
def test_planted_divergence_is_found_where_it_is(seed, size, share, signal_to_noise):
    onset = int(share * size)
    rise = np.maximum(0, np.arange(size) - onset) / (size - onset)
    found = finding(analyze_history({"loss": noisy_decay(size, seed, 1 / signal_to_noise, 0.1) + rise}), "divergence")
    assert abs(found.start_epoch - onset) <= max(1, 0.1 * (size - onset))


def test_nine_in_ten_explosions_are_found_where_they_start():
    generator, near = np.random.default_rng(0), 0
    for seed in range(40):
        size, growth = int(generator.uniform(60, 1000)), np.exp(generator.uniform(np.log(0.05), np.log(0.3)))
        onset = int(generator.uniform(0.2, 0.6) * size)
        explosion = 0.5 * np.expm1(np.minimum(growth * np.maximum(0, np.arange(size) - onset), 40.0))
        found = finding(analyze_history({"loss": noisy_decay(size, seed, 0.01, 0.1) + explosion}), "divergence")
        near += abs(found.start_epoch - onset) <= 0.1 * (size - onset)
    assert near >= 36


def test_a_jump_that_lasts_is_divergence_from_its_first_epoch():
    loss = noisy_decay(30, 0, 0.01)
    loss[20:] += 50
    diagnosis = analyze_history({"loss": loss})
    assert finding(diagnosis, "divergence").start_epoch == 20
    assert diagnosis.verdict == "too_high"


@settings(max_examples=30, deadline=None, derandomize=True)
@given(SEEDS, st.integers(20, 2000), st.floats(1.5, 5.0))
def test_planted_slow_decay_is_found(seed, size, time_constant):
    fall = 1 - np.exp(-1 / time_constant)
    found = finding(analyze_history({"loss": noisy_decay(size, seed, fall / 20, time_constant)}), "slow_learning")
    assert (found.start_epoch, found.end_epoch) == (0, size - 1)


@pytest.mark.slow
def test_false_alarms_on_pure_decay_are_rare():
    generator = np.random.default_rng(1)
    draws, alarms = 400, 0
    for seed in range(draws):
        size = int(np.exp(generator.uniform(np.log(10), np.log(2000))))
        noise, time_constant = np.exp(generator.uniform(np.log(0.002), np.log(0.3))), np.exp(generator.uniform(-3, 1))
        found = find_all(read_history({"loss": noisy_decay(size, seed, noise, time_constant)}))
        alarms += any(item.kind in ("oscillation", "divergence", "early_plateau", "overfitting") for item in found)
    assert alarms / draws <= 0.02


@settings(max_examples=25, deadline=None, derandomize=True)
@given(SEEDS, st.integers(3, 60), st.sampled_from([2.0**-20, 0.25, 8.0, 2.0**20]))
def test_scaling_the_loss_changes_nothing(seed, size, scale):
    loss, val_loss = noisy_decay(size, seed, 0.02), noisy_decay(size, seed + 1, 0.03)
    plain = analyze_history({"loss": loss, "val_loss": val_loss})
    scaled = analyze_history({"loss": scale * loss, "val_loss": scale * val_loss})
    assert (scaled.verdict, [item.kind for item in scaled.findings]) == (
        plain.verdict,
        [item.kind for item in plain.findings],
    )


@settings(max_examples=25, deadline=None, derandomize=True)
@given(SEEDS, st.integers(3, 60), st.sampled_from([-100.0, -1.0, 0.5, 100.0]))
def test_shifting_the_loss_changes_no_finding_and_renaming_it_nothing(seed, size, shift):
    # A verdict may depend on where zero is: a loss that came down to a tenth, or fell below zero, says something.
    loss, val_loss = noisy_decay(size, seed, 0.02), noisy_decay(size, seed + 1, 0.03)
    plain = analyze_history({"loss": loss, "val_loss": val_loss})
    renamed = analyze_history({"head_loss": loss, "val_head_loss": val_loss, "other": loss})
    moved = analyze_history({"loss": loss + shift, "val_loss": val_loss + shift})
    kinds = [item.kind for item in plain.findings]
    assert (renamed.verdict, [item.kind for item in renamed.findings]) == (plain.verdict, kinds)
    assert [item.kind for item in moved.findings] == kinds


def test_overfitting_is_found_at_the_turn_of_validation():
    time = np.arange(60)
    val_loss = np.exp(-time / 8) + 0.02 * np.maximum(0, time - 25)
    noise = np.random.default_rng(0).normal(0, 0.005, (2, 60))
    found = finding(
        analyze_history({"loss": np.exp(-time / 20) + noise[0], "val_loss": val_loss + noise[1]}), "overfitting"
    )
    assert abs(found.start_epoch - 25) <= 4


def test_a_loss_without_trend_is_stagnation():
    loss = 1 + np.random.default_rng(0).normal(0, 0.1, 50)
    assert finding(analyze_history({"loss": loss}), "stagnation").end_epoch == 49


def test_noisy_validation_is_found():
    generator = np.random.default_rng(0)
    loss, val_loss = noisy_decay(40, 1, 0.002), noisy_decay(40, 2, 0.0) + generator.normal(0, 0.3, 40)
    assert finding(analyze_history({"loss": loss, "val_loss": val_loss}), "noisy_validation").effect_size > 0.1


def test_a_loss_that_becomes_nan_is_too_high_and_names_a_rate():
    diagnosis = analyze_history({"loss": [2.0, 1.5, 4.0, np.nan], "learning_rate": [0.1] * 4})
    assert diagnosis.verdict == "too_high"
    assert (diagnosis.suggested_low, diagnosis.suggested_high) == pytest.approx((0.01, 0.03))
    assert "1e-2 to 3e-2" in finding(diagnosis, "divergence").advice


def test_a_constant_loss_is_unclear():
    assert analyze_history({"loss": [1.0] * 10}).verdict == "unclear"


def test_a_diagnosis_survives_json():
    diagnosis = analyze_history({"loss": [2.0, 1.5, 4.0, np.nan]})
    assert Diagnosis.from_json(diagnosis.to_json()) == diagnosis


def test_comparison_names_the_better_run_and_where_they_part():
    slow, fast = [3.0, 2.9, 2.8, 2.7, 2.6], [3.0, 2.9, 2.0, 1.5, 1.2]
    comparison = analyze_histories({"slow": {"loss": slow}, "fast": {"loss": fast}})
    assert (comparison.best_run, comparison.part_epoch) == ("fast", 2)
    assert HistoryComparison.from_json(comparison.to_json()) == comparison


def test_an_explosion_is_measured_by_the_noise_before_it():
    diagnosis = analyze_history({"loss": [1.0, 0.9, 0.8, 1e5, 1e10, 1e20, 1e30]})
    explosion = finding(diagnosis, "divergence")
    assert explosion.start_epoch == 3
    assert explosion.effect_size > 1e6


def test_without_validation_no_reason_speaks_of_it():
    generator = np.random.default_rng(0)
    for time_constant in (0.05, 0.3, 1.0, 5.0):
        losses = np.exp(-np.arange(20) / 20 / time_constant) + generator.normal(scale=0.01, size=20)
        for columns in ({"loss": losses}, {"loss": losses, "val_loss": [0.5, 0.4] + [np.nan] * 18}):
            diagnosis = analyze_history(columns)
            about_it = [reason for reason in diagnosis.reasons if not reason.startswith("This would be surer with")]
            assert about_it
            assert "validation" not in " ".join(about_it)


@pytest.mark.parametrize(
    "losses", [[1, 0.1, 0.01] + [0] * 9, [1, 0, 0, 0, 0, 0], [3, 0.5, 0.2, 0.1, 0.05, 0.01, 0, 0, 0]]
)
def test_a_loss_that_reached_zero_need_not_get_lower(losses):
    diagnosis = analyze_history({"loss": losses, "learning_rate": [1e-3] * len(losses)})
    assert (diagnosis.verdict, diagnosis.suggested_low, diagnosis.findings) == ("good", None, ())
    assert "reached 0" in diagnosis.reasons[0]


def test_runs_are_compared_by_validation_only_where_all_have_it():
    one = {"loss": [3.0, 2.0, 1.0, 0.5], "val_loss": [3.0, 2.5, 2.0, 1.5]}
    other = {"loss": [3.0, 2.0, 1.5, 0.9]}
    comparison = analyze_histories({"one": one, "other": other})
    assert comparison.best_losses == {"one": 0.5, "other": 0.9}
    assert (comparison.best_run, comparison.part_epoch) == ("one", 2)
    both = analyze_histories({"one": one, "other": other | {"val_loss": [2.0, 1.4, 1.3, 1.2]}})
    assert both.best_losses == {"one": 1.5, "other": 1.2}


def test_runs_judged_by_different_series_have_no_best_one():
    comparison = analyze_histories([{"loss": [3.0, 2.0, 1.0]}, {"accuracy": [0.1, 0.2, 0.3]}])
    assert (comparison.best_run, comparison.part_epoch) == (None, None)


def test_runs_judged_by_a_metric_are_compared_by_its_highest_value():
    low, high = [0.1, 0.5, 0.6, 0.55], [0.1, 0.4, 0.7, 0.8]
    comparison = analyze_histories({"low": {"accuracy": low}, "high": {"accuracy": high}})
    assert comparison.best_losses == {"low": 0.6, "high": 0.8}
    assert (comparison.best_run, comparison.part_epoch) == ("high", 2)
    assert comparison.diagnoses["low"].losses == (0.1, 0.5, 0.6, 0.55)
    assert comparison.diagnoses["low"].direction == "max"


def test_records_from_before_there_was_a_direction_are_read_with_the_metric_as_it_was():
    comparison = analyze_histories({"a": {"accuracy": [0.1, 0.5, np.nan], "val_accuracy": [0.1, np.nan, 0.4]}})
    stored = comparison.to_dict()
    run = stored["diagnoses"]["a"]
    del run["direction"]
    run["losses"], run["val_losses"], stored["best_losses"] = [-0.1, -0.5, None], [-0.1, None, -0.4], {"a": -0.4}
    assert HistoryComparison.from_dict(stored) == comparison
    assert Diagnosis.from_dict(run) == comparison.diagnoses["a"]
    loss = analyze_history({"loss": [3.0, -2.0, -2.5]})
    assert Diagnosis.from_dict({name: value for name, value in loss.to_dict().items() if name != "direction"}) == loss


def test_reasons_and_evidence_name_the_metric_that_was_judged():
    accuracy = 0.9 - 0.8 * np.exp(-np.arange(30) / 3)
    diagnosis = analyze_history({"accuracy": accuracy, "val_accuracy": accuracy - 0.05})
    words = " ".join([*diagnosis.reasons, *(item.evidence for item in diagnosis.findings)])
    assert "`accuracy`" in words
    assert "loss" not in words


def test_runs_may_be_named_by_their_learning_rates():
    slow, fast = [3.0, 2.9, 2.8, 2.7, 2.6], [3.0, 2.9, 2.0, 1.5, 1.2]
    comparison = analyze_histories({1e-3: {"loss": slow}, 1e-2: {"loss": fast}})
    assert comparison.best_run == "0.01"
    assert HistoryComparison.from_json(comparison.to_json()) == comparison


@pytest.mark.parametrize("sources", ["run.csv", Path("run.csv"), pd.DataFrame({"loss": [3, 2, 1]}), 3])
def test_a_single_run_is_no_comparison(sources):
    with pytest.raises(InvalidArgumentError, match=r"`sources` must be a dict or a list of runs\. Received: "):
        analyze_histories(sources)


def test_comparison_of_nothing_is_refused():
    with pytest.raises(InvalidArgumentError, match="at least one run"):
        analyze_histories([])


def test_a_search_is_compared_run_by_run():
    comparison = analyze_histories(sensitivity_result())
    frame = sensitivity_result().frame
    assert len(comparison.diagnoses) == len(frame.groupby(["learning_rate", "repeat"]))
    best = frame.loc[frame["val_loss"].idxmin()]
    assert best["learning_rate"] == pytest.approx(1e-3)
    assert comparison.best_run == f"1e-3, repeat {best['repeat']}"
