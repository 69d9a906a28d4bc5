"""Which runs of a search stand for the rest."""

import dataclasses

import numpy as np
import pytest

from keras_lr.analysis._diagnosis.compare import representative_diagnoses
from keras_lr.analysis._sensitivity import (
    main_batch_size,
    median_scores,
    middle_run,
    run_scores,
    runs_at,
    trained_runs,
)
from tests.sensitivity_samples import sensitivity_frame, sensitivity_result

NO_BEST = {"best_learning_rate": None, "low": None, "high": None, "best_batch_size": None, "confidence": "none"}


def scores_of(result):
    return run_scores(result.frame, objective=result.objective, direction=result.direction)


def with_outcomes(outcomes):
    """Three epochs per run at 1e-3, batch size 32, with a last `val_loss` per repeat; None diverges."""
    frame = sensitivity_frame((1e-3,), epochs=3, repeats=len(outcomes))
    for repeat, outcome in enumerate(outcomes):
        last = (frame["repeat"] == repeat) & (frame["epoch"] == 2)
        frame.loc[last, "val_loss"] = np.nan if outcome is None else outcome
        frame.loc[last, "status"] = "diverged" if outcome is None else "ok"
    return sensitivity_result(frame)


def test_the_main_batch_size_is_the_best_runs_else_the_smallest():
    result = sensitivity_result(sensitivity_frame((1e-3, 1e-2), batch_sizes=(16, 32)))
    assert main_batch_size(result) == 32
    assert main_batch_size(dataclasses.replace(result, **NO_BEST)) == 16
    assert main_batch_size(dataclasses.replace(result, **NO_BEST, frame=result.frame.iloc[:0])) is None


@pytest.mark.parametrize(("outcomes", "median"), [((0.1, 0.3, 0.2), 0.2), ((0.1, None, 0.2), 0.2), ((0.1, 0.3), 0.2)])
def test_a_diverged_run_counts_as_the_worst_in_the_median(outcomes, median):
    assert median_scores(scores_of(with_outcomes(outcomes))).to_dict() == {1e-3: pytest.approx(median)}


def test_a_learning_rate_at_which_most_runs_diverged_has_no_median():
    runs = scores_of(with_outcomes((0.1, None, None)))
    assert median_scores(runs).empty
    assert trained_runs(runs)["repeat"].tolist() == [0]


@pytest.mark.parametrize(
    ("outcomes", "middle"), [((0.3, 0.1, 0.2), 2), ((0.3, None, 0.1), 0), ((0.4, 0.1, 0.3, 0.2), 3)]
)
def test_the_middle_run_has_the_median_score(outcomes, middle):
    result = with_outcomes(outcomes)
    run = middle_run(result, scores_of(result), 1e-3)
    assert run["repeat"].unique().tolist() == [middle]
    assert run["epoch"].tolist() == [0, 1, 2]


def test_runs_come_by_repeat_and_from_the_main_batch_size():
    frame = sensitivity_frame((1e-3, 1e-2), batch_sizes=(16, 32)).sample(frac=1, random_state=0)
    runs = runs_at(sensitivity_result(frame), 1e-3)
    assert [run["repeat"].iloc[0] for run in runs] == [0, 1, 2]
    assert all(run["epoch"].is_monotonic_increasing for run in runs)
    assert {size for run in runs for size in run["batch_size"]} == {32}


def test_a_run_too_short_to_be_judged_has_no_diagnosis():
    frame = sensitivity_frame((1e-3, 1.0), epochs=10)
    result = sensitivity_result(frame[(frame["learning_rate"] < 1.0) | (frame["epoch"] == 0)])
    diagnoses = representative_diagnoses(result, scores_of(result), [1e-3, 1.0])
    assert list(diagnoses) == [1e-3]
    assert diagnoses[1e-3].n_epochs == 10
