"""Facts that settle a verdict, and the agreement of everything that is said with the verdict."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lr.analysis import analyze_history
from keras_lr.analysis._diagnosis.facts import ruled_out
from keras_lr.analysis._diagnosis.history import from_columns, run_context
from keras_lr.analysis._diagnosis.scorecard import SCORED_VERDICTS, Score
from keras_lr.cli._analyze import _print_one
from keras_lr.cli._output import standard_output
from keras_lr.errors import InvalidArgumentError
from keras_lr.results import Diagnosis
from keras_lr.results._diagnosis import verdict_sentence

E = np.arange(20)
FLAT = [2.3] * 10
BLOWN_UP = 18.3 + 940 * np.exp(-E / 12)


@pytest.mark.parametrize(
    ("columns", "known", "verdict", "words"),
    [
        ({"loss": [2.0, 1.5, np.nan]}, {}, "too_high", "NaN or infinite at epoch 2"),
        ({"loss": [np.nan] * 4}, {"optimizer": "adam", "learning_rate": 1e-4}, "not_the_rate", "NaN in the inputs"),
        ({"loss": [np.nan] * 4}, {"optimizer": "adam", "learning_rate": 1.0}, "too_high", "NaN or infinite"),
        ({"loss": FLAT}, {}, "unclear", "never changed"),
        ({"loss": FLAT}, {"untrained_loss": 7.0}, "too_high", "killed the network"),
        ({"loss": FLAT}, {"optimizer": "adam", "learning_rate": 1.0}, "too_high", "killed the network"),
        ({"loss": FLAT}, {"optimizer": "adam", "learning_rate": 1e-3}, "not_the_rate", "frozen"),
        ({"loss": [3.6, 957.0, 400.0, 100.0, 40.0, 18.3]}, {}, "too_high", "never fell below it"),
        ({"loss": BLOWN_UP, "accuracy": [0.1] * 20}, {}, "too_high", "outputs are huge"),
        ({"loss": BLOWN_UP, "acc": [10.0] * 20, "val_acc": [10.0] * 20}, {}, "too_high", "accuracy stays at 0.1"),
        ({"loss": BLOWN_UP, "val_accuracy": [0.1] * 20}, {}, "too_high", "outputs are huge"),
        (
            {"loss": 2 * BLOWN_UP, "accuracy": [0.01] * 20},
            {"loss": "sparse_categorical_crossentropy"},
            "too_high",
            "outputs are huge",
        ),
        ({"loss": BLOWN_UP, "accuracy": [0.97] * 20}, {}, "too_high", "a `loss` of about 0.13"),
        ({"loss": 5.0 + 20 * np.exp(-E / 3)}, {"untrained_loss": 2.3}, "too_high", "above the 2.3 of the untrained"),
        (
            {"loss": 5.0 + 20 * np.exp(-E / 3)},
            {"untrained_loss": 0.8, "baseline_loss": 2.3},
            "too_high",
            "above the 2.3 of the best constant output",
        ),
        (
            {"loss": [348.6, 25.7, 25.704, 25.7041, 25.7042]},
            {"untrained_loss": 287.6, "optimizer": "sgd", "learning_rate": 0.3},
            "too_high",
            "above the 288 of the untrained model, and has hardly changed since: the first steps killed the network.",
        ),
        ({"loss": [0.7, -0.3, -1.3, -2.3, -3.3]}, {"loss": "binary_crossentropy"}, "not_the_rate", "negative"),
        ({"loss": [0.7, -0.3, -1.3, -2.3, -3.3]}, {"loss": "BinaryFocalCrossentropy"}, "not_the_rate", "negative"),
        ({"loss": [0.7, -0.3, -1.3, -2.3, -3.3]}, {}, "unclear", "falls through 0"),
        ({"loss": 2.3 * np.exp(-E / 20), "accuracy": [0.1] * 20}, {}, "not_the_rate", "do not measure the same thing"),
        (
            {"loss": np.exp(-E / 9), "val_loss": 2.3 + 0.1 * E, "acc": 1 - 0.5 * np.exp(-E / 9), "val_acc": [0.5] * 20},
            {},
            "not_the_rate",
            "stays at 0.5 on the validation data",
        ),
        ({"gen_loss": 1 + E / 5, "disc_loss": 1 / (1 + E)}, {}, "unclear", "trains against another, with `disc_loss`"),
        (
            {"loss": 2.3 + 1e-3 * np.sin(E)},
            {"baseline_loss": 2.3, "optimizer": "adam", "learning_rate": 1e-3},
            "not_the_rate",
            "best constant output",
        ),
        (
            {"loss": 1.4 * np.exp(-E / 10), "val_loss": 1.38 + 0.01 * E},
            {"baseline_loss": 1.386, "optimizer": "adam", "learning_rate": 5e-3},
            "not_the_rate",
            "learns the training samples by heart",
        ),
    ],
)
def test_a_fact_settles_the_verdict_and_says_why(columns, known, verdict, words):
    diagnosis = analyze_history(columns, **known)
    assert (diagnosis.verdict, diagnosis.share) == (verdict, None)
    assert words in diagnosis.reasons[0]
    if verdict in ("not_the_rate", "unclear"):
        assert (diagnosis.suggested_low, diagnosis.suggested_high) == (None, None)


@pytest.mark.parametrize(
    ("start", "end", "accuracy"),
    [
        (0.30, 0.06, 1.0),
        (0.82, 0.52, 0.999),
        # The entropy of two classes of which one has 99%, 90% or half of the samples.
        (0.066, 0.056, 0.99),
        (0.5, 0.325, 0.9),
        (1.1, 0.6931, 0.5),
    ],
    ids=["learned at once", "smoothed labels", "99% in one class", "90% in one class", "half in one class"],
)
def test_a_loss_that_suits_a_constant_accuracy_settles_no_verdict(start, end, accuracy):
    columns = {"loss": end + (start - end) * np.exp(-E / 5), "accuracy": [accuracy] * 20}
    assert analyze_history(columns).share is not None


def test_a_run_that_ends_above_a_constant_output_is_not_good():
    loss = 18.3 + 940 * np.exp(-np.arange(100) / 12)
    columns = {"loss": loss, "val_loss": loss}
    above = analyze_history(columns, baseline_loss=2.3)
    assert analyze_history(columns).verdict == "good"
    assert above.verdict == "unclear"
    assert "ends at 18.9, above the 2.3 of the best constant output" in above.reasons[0]
    learned = analyze_history({**columns, "accuracy": np.linspace(0.1, 0.9, 100)}, baseline_loss=2.3)
    assert "constant output" not in learned.reasons[0]


@pytest.mark.parametrize("level", [0.99, 0.5])
def test_a_run_that_ends_at_a_constant_output_is_not_good(level):
    loss = level * 25.4 + 260 * np.exp(-3 * E)
    diagnosis = analyze_history({"loss": loss, "val_loss": loss}, untrained_loss=287.6, baseline_loss=25.4)
    assert (diagnosis.verdict == "good") == (level < 0.97)
    at_constant = "ends at 25.1, not clearly below the 25.4 of the best constant output"
    assert any(at_constant in reason for reason in diagnosis.reasons) == (level > 0.97)


def test_a_hard_first_epoch_of_a_run_that_goes_on_learning_is_no_death():
    loss = np.array([348.6, 25.7, 24.1, 22.8, 21.9, 21.5])
    assert analyze_history({"loss": loss}, untrained_loss=287.6).share is not None


@pytest.mark.parametrize(
    ("lowest", "rate"), [(1.2, 5e-3), (1.38, 1.0)], ids=["the validation improved", "the rate is far too high"]
)
def test_only_a_usual_rate_at_which_nothing_held_for_other_data_is_innocent(lowest, rate):
    columns = {"loss": 1.4 * np.exp(-E / 10), "val_loss": lowest + 0.01 * E}
    diagnosis = analyze_history(columns, baseline_loss=1.386, optimizer="adam", learning_rate=rate)
    assert diagnosis.verdict != "not_the_rate"


@pytest.mark.parametrize(
    "loss", [2.3 + 0.02 * E, [2.3, 2.2, 2.1, *np.linspace(2.1, 2.9, 17)]], ids=["only rises", "gives up its gain"]
)
def test_what_gets_worse_at_a_rate_far_below_the_usual_ones_has_another_cause(loss):
    verdicts = {
        rate: analyze_history({"loss": loss}, optimizer="lion", learning_rate=rate).verdict for rate in (1e-7, 1e-3)
    }
    assert verdicts[1e-7] != "too_high"
    assert verdicts[1e-3] == "too_high"


@pytest.mark.parametrize(("rate", "innocent"), [(1e-5, False), (1e-4, False), (1e-3, True), (1e-2, True)])
def test_a_loss_that_stays_at_a_constant_output_excuses_no_rate_below_the_default(rate, innocent):
    known = {"baseline_loss": 2.3, "untrained_loss": 2.32, "optimizer": "adam", "learning_rate": rate}
    verdict = analyze_history({"loss": 2.3 + 1e-3 * np.sin(E)}, **known).verdict
    assert (verdict == "not_the_rate") == innocent


@pytest.mark.parametrize(("first", "exploded"), [(8.54, True), (5.0, False)])
def test_an_explosion_in_the_first_epoch_is_no_sign_of_a_low_rate(first, exploded):
    history = from_columns({"loss": [first, 2.54, 2.48, 2.45, 2.43, 2.42, 2.41]})
    assert ("too_low" in ruled_out(history, run_context(history, untrained_loss=2.37))) == exploded


@pytest.mark.parametrize(
    ("rate", "impossible"), [(10.0, "too_low"), (0.25, "too_low"), (1e-7, "too_high"), (1e-6, "too_high")]
)
def test_an_extreme_rate_is_never_advised_to_be_more_extreme(rate, impossible):
    generator = np.random.default_rng(0)
    for time_constant in (0.1, 1.0, 5.0, 50.0):
        loss = 2.3 * np.exp(-E / 20 / time_constant) + generator.normal(0, 0.02, 20)
        assert analyze_history({"loss": loss}, optimizer="adam", learning_rate=rate).verdict != impossible


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-2, None])
def test_a_short_run_still_improving_is_not_blamed_on_the_rate_without_a_share(rate):
    diagnosis = analyze_history({"loss": [2.3, 2.0, 1.8]}, optimizer="adam" if rate else None, learning_rate=rate)
    assert diagnosis.verdict not in ("too_low", "too_high") or diagnosis.share > 1 / 3


def test_a_run_at_the_default_rate_that_still_improves_is_not_called_too_low_on_weak_evidence():
    loss = np.array([2.62, 2.5, 2.41, 2.36, 2.33, 2.3, 2.28, 2.26, 2.25, 2.24])
    default = analyze_history({"loss": loss}, untrained_loss=2.7, optimizer="adam", learning_rate=1e-3)
    low = analyze_history({"loss": loss}, untrained_loss=2.7, optimizer="adam", learning_rate=1e-6)
    assert (default.verdict, low.verdict) == ("unclear", "too_low")
    assert "near the optimizer's default" in default.reasons[0]
    assert default.suggested_low is None


def test_curves_that_improve_every_epoch_are_not_too_high():
    loss = np.linspace(2.0, 1.0, 12)
    assert analyze_history({"loss": loss, "val_loss": loss + 0.05}).verdict != "too_high"


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_validation_loss_without_a_finite_value_is_no_end_to_compare():
    columns = {"loss": 0.2 + 0.6 * np.exp(-E / 2), "val_loss": [np.inf] * 20}
    assert analyze_history(columns, baseline_loss=0.9, untrained_loss=0.9).verdict == "good"


@pytest.mark.parametrize("untrained", [0.6, 1.0, 1.7, 2.5])
@pytest.mark.parametrize("baseline", [None, 0.95, 1.0, 1.1])
@pytest.mark.parametrize("fall", [0.01, 0.05, 0.2])
def test_a_slow_steady_fall_is_too_low_however_hard_the_first_batch_is(untrained, baseline, fall):
    loss = np.linspace(1.0, 1.0 - fall, 10)
    known = {"optimizer": "adam", "learning_rate": 1e-4, "untrained_loss": untrained, "baseline_loss": baseline}
    assert analyze_history({"loss": loss, "val_loss": loss + 0.05}, **known).verdict == "too_low"


@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize("epochs", [1, 2])
def test_an_unusually_easy_first_batch_does_not_spoil_a_good_run(epochs, noise):
    """An untrained model is no better than the best constant output, but its loss on one batch may be."""
    loss = 0.2 + 0.6 * np.exp(-E / epochs) + noise * np.sin(7 * E)
    val_loss = loss + 0.03 + noise * np.cos(5 * E)
    known = {"untrained_loss": 0.3, "baseline_loss": 0.9}
    assert analyze_history({"loss": loss, "val_loss": val_loss}, **known).verdict == "good"


def test_a_model_that_was_trained_before_is_compared_with_its_own_start():
    loss = 0.35 + 0.5 * np.exp(-E / 2)
    known = {"baseline_loss": 2.3, "optimizer": "adam", "learning_rate": 1e-3}
    trained = analyze_history({"loss": loss, "val_loss": loss}, untrained_loss=0.3, **known)
    untrained = analyze_history({"loss": loss, "val_loss": loss}, untrained_loss=2.4, **known)
    assert (trained.verdict, untrained.verdict) != ("good", "too_high")
    assert untrained.verdict == "good"
    assert trained.verdict != "good"


@pytest.mark.parametrize("loss", ["poisson", "cosine_similarity", "gaussian_nll"])
def test_a_loss_that_may_be_negative_is_not_suspected_for_it(loss):
    history = {"loss": [0.7, -0.3, -1.3, -2.3, -3.3]}
    assert not any("falls through 0" in reason for reason in analyze_history(history, loss=loss).reasons)
    assert "falls through 0" in analyze_history(history, loss="mse").reasons[0]


def test_what_was_known_is_kept_and_what_was_not_is_named():
    loss = 2.3 * np.exp(-E / 10)
    diagnosis = analyze_history({"loss": loss}, untrained_loss=2.5, optimizer="adam", learning_rate=1e-3)
    assert (diagnosis.untrained_loss, diagnosis.optimizer, diagnosis.learning_rate) == (2.5, "adam", 1e-3)
    assert diagnosis.reasons[-1] == "This would be surer with a validation loss."
    assert Diagnosis.from_json(diagnosis.to_json()) == diagnosis


def test_the_recorded_rate_comes_before_the_arguments():
    columns = from_columns({"loss": [3.0, 2.0, 1.0], "learning_rate": [0.5] * 3})
    assert run_context(columns, learning_rate=1e-3).learning_rate == 0.5


@pytest.mark.parametrize(
    ("known", "named"),
    [
        ({"untrained_loss": np.nan}, "untrained_loss"),
        ({"baseline_loss": "high"}, "baseline_loss"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"optimizer": 3}, "optimizer"),
        ({"loss": 3}, "loss"),
    ],
)
def test_facts_that_cannot_be_are_refused_by_name(known, named):
    with pytest.raises(InvalidArgumentError, match=f"`{named}` must be"):
        analyze_history({"loss": [3.0, 2.0, 1.0]}, **known)


HIGHER = re.compile(r"times higher", re.I)
LOWER = re.compile(r"times lower", re.I)
RANGE = re.compile(r"Try a learning rate of (\S+) to (\S+?)\.?(?:\s|$)")


def pointing(text, rate):
    """Which ways a text tells a reader to move the rate."""
    ways = {"higher"} if HIGHER.search(text) else set()
    ways |= {"lower"} if LOWER.search(text) else set()
    for low, high in RANGE.findall(text):
        ways |= {"higher"} if float(high) > rate * 1.001 else set()
        ways |= {"lower"} if float(low) < rate * 0.999 else set()
    return ways


@st.composite
def histories(draw):
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    size = draw(st.integers(2, 40))
    time = np.arange(size) / size
    loss = draw(st.sampled_from([0.0, 0.5, 2.0])) + np.exp(-time / draw(st.floats(0.05, 5.0)))
    loss = loss + draw(st.floats(0.0, 0.5)) * np.sin(2 * np.pi * np.arange(size) / draw(st.floats(2.0, 8.0)))
    loss = loss + draw(st.sampled_from([0.0, 0.0, 1.0, 100.0])) * np.clip(time - draw(st.floats(0, 1)), 0, None)
    columns = {"loss": loss + generator.normal(0, draw(st.sampled_from([0.0, 0.02, 0.2])), size)}
    if draw(st.booleans()):
        columns["val_loss"] = columns["loss"] + generator.normal(0.1, 0.05, size) + 0.5 * time
    if draw(st.booleans()):
        columns["accuracy"] = np.clip(generator.normal(0.1, 0.001) + draw(st.sampled_from([0.0, 0.8])) * time, 0, 1)
    known = {}
    if draw(st.booleans()):
        known["untrained_loss"] = draw(st.sampled_from([0.3, 2.0, 10.0]))
    if draw(st.booleans()):
        known["learning_rate"] = draw(st.sampled_from([1e-6, 1e-3, 0.25]))
    if draw(st.booleans()):
        known["optimizer"] = draw(st.sampled_from(["adam", "sgd", "momentum"]))
    return columns, known


@settings(max_examples=120, deadline=None, derandomize=True)
@given(histories())
def test_nothing_that_is_said_points_against_the_verdict(run):
    columns, known = run
    diagnosis = analyze_history(columns, **known)
    allowed = {"too_low": {"higher"}, "too_high": {"lower"}}.get(diagnosis.verdict, set())
    rate = diagnosis.learning_rate or 1.0
    texts = [
        verdict_sentence(diagnosis.verdict),
        *diagnosis.reasons,
        *(text for item in diagnosis.findings for text in (item.evidence, item.advice)),
    ]
    console = standard_output()
    with console.capture() as printed:
        _print_one(console, diagnosis)
    shares = [int(number) for number in re.findall(r"About (\d+)% of the", printed.get())]
    doubted = diagnosis.share is not None and diagnosis.share < 0.6 and diagnosis.verdict in SCORED_VERDICTS
    assert not shares or min(shares) >= 60
    assert printed.get().count("probably") == doubted
    assert " ".join(printed.get().split()).count("half of the runs") == doubted
    assert diagnosis.verdict != "good" or not re.search(
        "often got worse|much worse in a|well short", " ".join(diagnosis.reasons)
    )
    for text in (*texts, " ".join(printed.get().split())):
        assert pointing(text, rate) <= allowed
    if diagnosis.suggested_low is None:
        assert diagnosis.verdict not in allowed or diagnosis.learning_rate is None
    else:
        assert allowed == ({"higher"} if diagnosis.suggested_low > rate else {"lower"})


def test_a_loss_that_never_was_finite_points_to_the_data_too():
    points = "If the inputs or targets hold NaN, no rate helps: look there first."
    assert points in analyze_history({"loss": [np.nan] * 5}).reasons[0]
    for exploded in ([np.inf] + [np.nan] * 4, [2.3] + [np.nan] * 4):
        assert points not in analyze_history({"loss": exploded}).reasons[0]
    later = analyze_history({"loss": [1.0, 0.5, np.nan, np.nan]})
    assert "hold NaN" not in " ".join(later.reasons)


def test_an_easy_first_batch_does_not_make_the_rate_too_high():
    """One sample may have a far lower loss than the data: what ends below a constant output has learned."""
    learned = {"loss": 0.3 + 0.35 * np.exp(-E / 4)}
    known = {"untrained_loss": 0.2, "optimizer": "adam", "learning_rate": 1e-3}
    assert analyze_history(learned, **known).verdict == "too_high"
    assert analyze_history(learned, baseline_loss=0.69, **known).verdict != "too_high"


def test_a_rate_that_is_called_too_low_without_being_known_may_be_a_usual_one():
    slow = {"loss": 2.3 - 0.004 * E, "val_loss": 2.31 - 0.004 * E}
    words = "At a usual learning rate such a run is rather too short"
    found = [analyze_history(slow, **known) for known in ({}, {"optimizer": "adam", "learning_rate": 1e-6})]
    assert [one.verdict for one in found] == ["too_low", "too_low"]
    assert [words in " ".join(one.reasons) for one in found] == [True, False]


@pytest.mark.parametrize(("leader", "share", "verdict"), [("good", 0.45, "good"), ("too_low", 0.45, "unclear"),
    ("too_high", 0.45, "unclear"), ("too_high", 0.5, "too_high"), ("good", 0.39, "unclear")])  # fmt: skip
def test_blaming_the_rate_takes_half_of_the_evidence(leader, share, verdict):
    others = [other for other in SCORED_VERDICTS if other != leader]
    score = Score(leader, {leader: share, **dict.fromkeys(others, (1 - share) / 2)}, ())
    assert score.verdict() == verdict


def test_a_loss_that_rose_far_above_its_first_value_is_not_blamed_on_a_low_rate():
    from_below = from_columns({"loss": 0.3 + 2.7 * np.exp(-E / 2) + np.where(E % 2, 0, 4.0) * (E > 2)})
    assert list(ruled_out(from_below, run_context(from_below))) == ["too_low"]
    half = from_columns({"loss": 0.3 + 2.7 * np.exp(-E / 2) + np.where(E % 2, 0, 2.0) * (E > 2)})
    assert ruled_out(half, run_context(half)) == {}


FALL = 0.2 + 2 * np.exp(-E / 40)


def test_a_loss_that_is_not_finite_once_and_then_goes_on_is_judged_without_it():
    gap = np.where(E == 7, np.nan, FALL)
    diagnosis, plain = analyze_history({"loss": gap}), analyze_history({"loss": np.delete(FALL, 7)})
    assert (diagnosis.verdict, diagnosis.n_epochs) == (plain.verdict, 19)
    assert "not finite at epoch 7" in diagnosis.reasons[-1]
    assert analyze_history({"loss": np.where(E == 7, np.inf, FALL)}).verdict == plain.verdict
    # Weights that are not finite stay so, and a loss that comes back far above its former values has exploded.
    for worse in (np.where(E >= 15, np.nan, FALL), np.where(E == 7, np.inf, np.where(E > 7, 50.0, FALL))):
        assert analyze_history({"loss": worse}).verdict == "too_high"


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"loss": FALL, "learning_rate": np.geomspace(1e-3, 1e-5, 20)}, "went down from 1e-3 to 1e-5"),
        ({"loss": FALL, "epoch": 30 + E}, "begins at epoch 30"),
        ({"loss": FALL[:4]}, "too few to blame"),
    ],
)
def test_the_rate_is_not_blamed_by_curves_that_show_something_else_too(columns, words):
    diagnosis = analyze_history(columns)
    assert diagnosis.verdict == "unclear"
    assert words in diagnosis.reasons[0]
    assert analyze_history({"loss": FALL}).verdict == "too_low"


def test_a_run_that_learned_next_to_nothing_is_not_called_good():
    loss = [4.218, 4.095, 4.084, 4.077, 4.071]
    known = {"loss": loss, "val_loss": [4.11, 4.13, 4.108, 4.1077, 4.1065]}
    assert analyze_history(known | {"f1": [0.08, 0.3, 0.5, 0.6, 0.7]}).verdict == "good"
    diagnosis = analyze_history(known | {"f1": [0.081, 0.084, 0.085, 0.094, 0.09], "val_f1": [0.089] * 5})
    assert diagnosis.verdict == "unclear"
    assert "learned next to nothing" in diagnosis.reasons[0]
