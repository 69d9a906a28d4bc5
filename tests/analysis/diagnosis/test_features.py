import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from keras_lr.analysis._diagnosis.features import (
    FEATURE_NAMES,
    METRIC_FEATURES,
    RATE_FEATURES,
    VALIDATION_METRIC_FEATURES,
    features,
)
from keras_lr.analysis._diagnosis.history import RunContext, from_columns
from keras_lr.analysis._diagnosis.scorecard import (
    CARDS,
    SENTENCES,
    TABLES,
    CardTable,
    card_for,
    contributions,
    score_verdict,
    sentence,
)
from keras_lr.analysis._statistics import block_means, block_starts, compress, curvature_noise, rank_trend


@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=30, unique=True))
def test_rank_trend_is_kendalls_tau(values):
    expected = kendalltau(np.arange(len(values)), values).statistic
    assert rank_trend(np.array(values, dtype=float)) == pytest.approx(expected)


def test_curvature_noise_of_white_noise_about_a_line():
    values = np.linspace(5, 0, 20_000) + np.random.default_rng(0).normal(0, 0.3, 20_000)
    assert curvature_noise(values) == pytest.approx(0.3, rel=0.03)


def test_block_means_keep_the_mean_of_equal_blocks():
    np.testing.assert_allclose(block_means(np.arange(100.0), 4), [12, 37, 62, 87])
    np.testing.assert_array_equal(block_starts(np.arange(100), 4), [0, 25, 50, 75])


def test_compress_is_bounded_and_keeps_the_sign():
    assert compress(np.inf) == pytest.approx(6, abs=1e-4)
    assert compress(-0.09) == pytest.approx(-1)


@pytest.mark.parametrize("card", CARDS)
def test_scorecard_points_at_the_knots_are_the_tables(card):
    table, names = TABLES[card], CARDS[card]
    last = dict.fromkeys(FEATURE_NAMES, np.nan) | {
        name: knots[-1] for name, knots in zip(names, table.knots, strict=True)
    }
    points = np.array([[row[-1] for row in rows] for rows in table.points])
    np.testing.assert_allclose(contributions(names, table, last), points)
    assert card_for(last) == card
    totals = np.exp(points.sum(axis=1) + table.intercepts)
    assert list(score_verdict(last).shares.values()) == pytest.approx(totals / totals.sum())


def test_a_verdict_that_is_ruled_out_gets_no_share():
    values = features(from_columns({"loss": np.exp(-np.arange(20) / 5)}))
    free, bound = score_verdict(values), score_verdict(values, excluded=["good"])
    assert bound.shares["good"] == 0
    others = {name: share / (1 - free.shares["good"]) for name, share in free.shares.items() if name != "good"}
    assert {name: bound.shares[name] for name in others} == pytest.approx(others)


@pytest.mark.parametrize(
    ("validated", "untrained", "card"),
    [
        (False, None, "loss"),
        (True, None, "validation"),
        (False, 1.1, "untrained"),
        (True, 1.1, "validation and untrained"),
    ],
)
def test_what_is_unknown_gives_no_points(validated, untrained, card):
    loss = np.exp(-np.arange(20) / 5)
    history = from_columns({"loss": loss, "val_loss": loss + 0.1} if validated else {"loss": loss})
    values = features(history, RunContext(untrained_loss=untrained))
    assert card_for(values) == card
    missing = [name for name in CARDS[card] if np.isnan(values[name])]
    unknown = [*METRIC_FEATURES, *(VALIDATION_METRIC_FEATURES if validated else ()), *RATE_FEATURES]
    assert sorted(missing) == sorted(unknown)
    assert not contributions(missing, _columns_of(card, missing), values).any()


def _columns_of(card, names):
    places = [CARDS[card].index(name) for name in names]
    table = TABLES[card]
    return CardTable(
        [table.knots[place] for place in places],
        [[rows[place] for place in places] for rows in table.points],
        table.intercepts,
    )


@pytest.mark.parametrize("scale", [2.0**-20, 1.0, 2.0**20])
def test_the_untrained_loss_is_compared_in_the_losss_own_unit(scale):
    loss = scale * np.array([1.5, 1.0, 0.5, 0.5, 0.5])
    values = features(from_columns({"loss": loss}), RunContext(untrained_loss=scale * 2.0))
    # Of the way from 2 down to 0.5, a third was gone in the first epoch; 0.75 of the loss was removed in all.
    assert values["untrained_first_gain"] == pytest.approx(compress(1 / 3))
    assert values["untrained_last_gain"] == pytest.approx(compress(1.0))
    assert values["untrained_share"] == pytest.approx(0.75)
    assert values["above_untrained"] == 0


def test_a_metric_is_known_by_its_values_and_the_strictest_is_read():
    loss = np.exp(-np.arange(20) / 5)
    top, top_5, error = 1 - loss, 1 - loss / 5, loss / 2
    others = {"top_5": top_5, "val_top_5": top_5, "error": error, "val_error": error, "size": np.arange(20)}
    read = from_columns({"loss": loss, **others, "hits": top, "val_hits": top / 2, "other": top})
    np.testing.assert_array_equal(read.metric, top)
    np.testing.assert_array_equal(read.val_metric, top / 2)
    assert from_columns({"loss": loss, "error": error, "val_error": error}).metric is None


@pytest.mark.parametrize(("scale", "shift"), [(2.0**-20, 0.0), (2.0**20, 0.0), (1.0, 64.0), (4.0, -64.0)])
def test_features_do_not_depend_on_the_losss_unit(scale, shift):
    generator = np.random.default_rng(0)
    loss, val_loss = (np.exp(-np.arange(20) / 5) + generator.normal(0, 0.02, 20) for _ in range(2))
    plain = features(from_columns({"loss": loss, "val_loss": val_loss}))
    moved = features(from_columns({"loss": scale * loss + shift, "val_loss": scale * val_loss + shift}))
    assert moved == pytest.approx(plain, rel=1e-8, abs=1e-8, nan_ok=True)


def test_places_and_rises_are_those_of_a_planted_curve():
    # Half of the fall of 10 is made by the third of eleven epochs, nine tenths by the seventh; the eighth is the best.
    loss = np.array([10.0, 8.0, 4.0, 4.0, 3.0, 2.0, 1.0, 0.0, 1.0, 0.5, 3.0])
    values = features(from_columns({"loss": loss, "val_loss": loss + 5.0}))
    for prefix in ("", "validation_"):
        assert [values[prefix + name] for name in ("half_way", "most_way", "lowest_at")] == [0.2, 0.6, 0.7]
        assert values[f"{prefix}largest_rise"] == pytest.approx(compress(0.25))
        assert values[f"{prefix}end_rise"] == pytest.approx(compress(0.15))


def test_that_a_loss_got_worse_is_no_reason_to_call_a_rate_good():
    generator = np.random.default_rng(1)
    loss = 2 * np.exp(-np.arange(20) / 3) + 0.05 * generator.normal(size=20)
    values = features(from_columns({"loss": loss, "val_loss": loss + 0.05 + 0.1 * generator.normal(size=20)}))
    score = score_verdict(values)
    setback = sentence("validation_largest_rise", values["validation_largest_rise"])
    assert (score.leader, setback) == ("good", "The validation loss got much worse in a single epoch.")
    assert len(score.reasons) == 3
    assert setback not in score.reasons


def test_every_feature_has_two_sentences_and_says_what_its_value_is():
    assert set(SENTENCES) == set(FEATURE_NAMES)
    falling, level = ({"loss": loss} for loss in (np.linspace(2.0, 1.0, 20), np.geomspace(1.0, 1e-6, 20)))
    words = [
        sentence("second_half_gain", features(from_columns(history))["second_half_gain"])
        for history in (falling, level)
    ]
    assert words == [
        "The loss was still improving in the second half of the run.",
        "The loss improved little in the second half of the run.",
    ]
