"""Which points stop early, on curves whose future is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lr.analysis._grid import prunable_points, rungs


def table(curves, *, repeats=1, batch_size=32, **endings):
    """One row per epoch; `curves` maps a rate to its losses."""
    rows = [
        {"learning_rate": rate, "repeat": repeat, "batch_size": batch_size, "epoch": epoch, "seed": repeat}
        | {"loss": loss, "val_loss": loss, "accuracy": -loss, "status": "ok" if np.isfinite(loss) else "diverged"}
        for rate, losses in curves.items()
        for repeat in range(repeats)
        for epoch, loss in enumerate(losses)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("epochs", "marks"),
    [(81, (2, 5, 10, 20, 40)), (20, (2, 5, 10)), (10, (2, 5)), (5, (2,)), (4, (2,)), (3, ()), (1, ())],
)
def test_rungs(epochs, marks):
    assert rungs(epochs) == marks


# After two epochs of four: 1e-2 stands at 0.5. 1e-5 gains 0.01 an epoch and would end at 2.27; 1e-4 gains 0.8 and would
# end at -0.2, so it may still win; 1e-3 is second of four and stays with the better half.
CURVES = {1e-5: [2.3, 2.29], 1e-4: [2.2, 1.4], 1e-3: [1.0, 0.99], 1e-2: [0.6, 0.5]}


def test_what_cannot_win_stops_and_what_could_goes_on():
    assert prunable_points(table(CURVES), epoch=1, epochs=4) == {(1e-5, 32)}
    assert prunable_points(table(CURVES, repeats=3), epoch=1, epochs=4) == {(1e-5, 32)}


def test_the_better_half_is_spared():
    flat = {rate: [1 + rate, 1 + rate] for rate in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)}
    assert prunable_points(table(flat), epoch=1, epochs=4) == {(rate, 32) for rate in (0.4, 0.5, 0.6)}


def test_nothing_stops_between_rungs_or_in_the_last_epoch():
    assert prunable_points(table(CURVES), epoch=0, epochs=4) == frozenset()
    assert prunable_points(table(CURVES), epoch=1, epochs=12) == frozenset()
    assert prunable_points(table(CURVES), epoch=1, epochs=2) == frozenset()


def test_the_future_is_not_looked_at():
    longer = {rate: [*losses, 5.0 - 100 * rate, 0.0] for rate, losses in CURVES.items()}
    assert prunable_points(table(longer), epoch=1, epochs=4) == prunable_points(table(CURVES), epoch=1, epochs=4)


def test_a_metric_that_grows_is_judged_upwards():
    assert prunable_points(table(CURVES), epoch=1, epochs=4, objective="accuracy", direction="max") == {(1e-5, 32)}


def test_a_rate_stops_where_half_of_its_repeats_diverged_even_if_it_led_before():
    frame = table({1e-3: [1.0, 0.9], 1.0: [0.2, 0.1]}, repeats=3)
    for repeat in (0, 1):
        frame.loc[(frame["learning_rate"] == 1.0) & (frame["repeat"] == repeat) & (frame["epoch"] == 1), "status"] = (
            "diverged"
        )
    assert prunable_points(frame, epoch=1, epochs=4) == {(1.0, 32)}


def test_one_diverged_repeat_of_three_does_not_stop_the_best():
    frame = table({1e-3: [1.0, 0.9], 1.0: [0.2, 0.1]}, repeats=3)
    frame.loc[(frame["learning_rate"] == 1.0) & (frame["repeat"] == 2), "status"] = "diverged"
    assert (1.0, 32) not in prunable_points(frame, epoch=1, epochs=4)


def test_a_rate_that_has_yet_to_reach_the_rung_is_neither_judged_nor_judged_by():
    frame = table({**CURVES, 0.1: [0.01]})
    assert prunable_points(frame, epoch=1, epochs=4) == {(1e-5, 32)}


def test_a_failed_repeat_is_left_out():
    frame = table(CURVES, repeats=2)
    frame.loc[(frame["learning_rate"] == 1e-2) & (frame["repeat"] == 1), ["val_loss", "status"]] = [np.nan, "failed"]
    assert prunable_points(frame, epoch=1, epochs=4) == {(1e-5, 32)}


def test_batch_sizes_are_judged_apart():
    frame = pd.concat([table(CURVES), table({1e-5: [3.0, 3.0], 1e-4: [3.1, 3.1]}, batch_size=64)])
    assert prunable_points(frame, epoch=1, epochs=4) == {(1e-5, 32), (1e-4, 64)}


def test_all_diverged_or_empty_stops_nothing_more():
    assert prunable_points(table({1.0: [np.nan], 10.0: [np.nan]}), epoch=1, epochs=4) == frozenset()
    assert prunable_points(table(CURVES).iloc[:0], epoch=1, epochs=4) == frozenset()


@settings(max_examples=25, deadline=None)
@given(curves=st.lists(st.lists(st.floats(-10, 10), min_size=1, max_size=8), min_size=1, max_size=6))
def test_the_best_so_far_always_goes_on(curves):
    """A curve shorter than a run has diverged."""
    whole = [losses + [np.nan] * (len(losses) < 8) for losses in curves]
    frame = table({10.0**-i: losses for i, losses in enumerate(whole)})
    for rung in rungs(8):
        stopped = prunable_points(frame, epoch=rung - 1, epochs=8)
        alive = [i for i, losses in enumerate(whole) if np.isfinite(losses[:rung]).all()]
        if alive:
            assert (10.0 ** -min(alive, key=lambda i: min(whole[i][:rung])), 32) not in stopped
