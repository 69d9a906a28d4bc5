"""The race against decisions by hand, and properties that hold for any curves."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lr.analysis import Race
from keras_lr.analysis._race import _rungs, _survivors, first_comparison, forecast, starts_refined
from keras_lr.errors import InvalidArgumentError
from keras_lr.results import Suggestion

NAN, INF = float("nan"), float("inf")


def suggestion(rate, *, confidence="tentative"):
    return Suggestion(rate, rate / 3, rate * 3, confidence, "Because.", "consensus")


def run(race, curve):
    """Trains what the race asks for, where `curve(rate)` holds every epoch of a run; returns what was asked."""
    asked = []
    while not race.finished:
        pairs = race.ask()
        assert pairs, "an unfinished race must ask for something"
        asked.append(pairs)
        for rate, epochs in pairs:
            race.tell(rate, curve(rate)[:epochs])
    return asked


def bowl(best, *, epochs=20):
    """Curves that fall towards a level that is lowest at `best`, by 1 per squared decade."""
    return lambda rate: [math.log10(rate / best) ** 2 + 1 / (1 + epoch) for epoch in range(epochs)]


def test_five_rates_start_around_the_suggestion_with_one_training_to_spend():
    """20 epochs to spend: 1 + round(sqrt(20)) = 5 rates, 0, 1, -1, 3 and -3 thirds of a decade from the suggestion."""
    assert Race(suggestion(1e-3), epochs=20).ask() == [
        (1e-4, 1),
        (0.000464159, 1),
        (1e-3, 1),
        (0.00215443, 1),
        (1e-2, 1),
    ]


@pytest.mark.parametrize(("budget", "count"), [(0, 1), (0.05, 2), (0.1, 2), (0.15, 3), (0.5, 4), (2, 7), (4, 10)])
def test_the_number_of_rates_grows_with_the_square_root_of_the_epochs_to_spend(budget, count):
    """Of 20 epochs these are 0, 1, 2, 3, 10, 40 and 80, whose roots are 0, 1, 1.4, 1.7, 3.2, 6.3 and 8.9."""
    assert len(Race(suggestion(1e-3), epochs=20, budget=budget).ask()) == count


@pytest.mark.parametrize(("budget", "count"), [(0.25, 1), (0.5, 2), (1, 3), (2, 4)])
def test_a_later_first_comparison_stays_within_the_budget(budget, count):
    """Of 4 epochs these are 1, 2, 4 and 8 to spend: each rate beside the best takes 2 at once."""
    race = Race(suggestion(1e-3), epochs=4, budget=budget, compare_from=2)
    assert [epochs for _, epochs in race.ask()] == [2] * count if count > 1 else [4]
    run(race, bowl(1e-3, epochs=4))
    assert race.cost <= budget


def test_a_rate_that_is_behind_after_one_epoch_can_win_if_the_first_comparison_is_later():
    curves = {1e-3: [1.0, 0.9, 0.8, 0.7], 1e-2: [1.1, 1.0, 0.95, 0.9], 0.1: [2.0, 0.5, 0.3, 0.1]}
    early, late = (Race(list(curves), epochs=4, compare_from=epoch) for epoch in (1, 2))
    run(early, curves.__getitem__)
    run(late, curves.__getitem__)
    assert (early.best, late.best) == (1e-3, 0.1)


@pytest.mark.parametrize(
    ("start", "constant", "epoch"),
    [(0.5, 2.3, 2), (2.2, 2.3, 1), (9.0, 2.3, 1), (0.5, None, 1), (-0.4, -0.4, 1), (-0.9, -0.4, 2)],
)
def test_a_model_that_starts_below_a_constant_output_is_first_compared_after_two_epochs(start, constant, epoch):
    losses = np.concatenate([np.full(10, start), np.full(90, 0.01)])
    assert first_comparison(losses, constant) == epoch


def test_short_runs_choose_the_start_for_adaptive_optimizers_and_larger_budgets():
    assert [starts_refined(budget, adaptive=False) for budget in (0.5, 1, 2, 4)] == [False, False, True, True]
    assert starts_refined(0.5, adaptive=True)


def test_without_a_budget_the_suggestion_is_trained_to_the_end():
    race = Race(suggestion(1.1e-3), epochs=7, budget=0.1)
    assert race.ask() == [(1e-3, 7)]
    race.tell(1e-3, [1.0] * 7)
    assert (race.finished, race.best, race.cost) == (True, 1e-3, 0.0)
    assert (race.low, race.high, race.confidence) == (1e-3, 1e-3, "tentative")
    assert race.reason == "1e-3 won unopposed. No other rate was tried. Raise `budget` to race."


def test_the_rungs_grow_by_half():
    assert _rungs(1, 20) == [2, 3, 4, 6, 9, 13, 19, 20]
    assert _rungs(1, 1) == []
    assert _rungs(20, 20) == []


def test_the_same_share_goes_on_at_each_rung():
    """Of 5 rates at 0.83: 4.15, 3.44, 2.86, 2.37, 1.97, 1.63 and 1.36, rounded 4, 3, 3, 2, 2, 2 and 1.

    All but one for 1, 1, 1, 2, 3 and 4 epochs more make 3 + 2 + 2 + 2 + 3 + 4 = 16. A share of 0.84 makes 17, as the
    second number is 3.53 then.
    """
    assert _survivors(5, [1, 2, 3, 4, 6, 9, 13, 19, 20], 16) == 4
    assert _survivors(4, [1, 2], 3) == 4
    assert _survivors(4, [1, 2], 1) == 2
    assert _survivors(4, [1, 2], 0) == 1


def test_the_forecast_goes_on_at_the_pace_of_the_second_half():
    """From 2 to 1 over the last two of four epochs, so six more lower it by 3."""
    assert forecast(np.array([9.0, 2.0, 3.0, 1.0]), 10) == pytest.approx(1 - 6 * 0.5)
    assert forecast(np.array([5.0, 4.0]), 4) == pytest.approx(2.0)


def test_the_best_of_two_rates():
    """Three epochs to spend: both are compared after 1, 2 and 3 epochs, and the better one wins by 0.5."""
    race = Race([1e-3, 1e-2], epochs=3)
    asked = run(race, lambda rate: [3.0, 2.0, 1.0] if rate == 1e-3 else [3.0, 2.5, 1.5])
    assert asked == [[(1e-3, reach), (1e-2, reach)] for reach in (1, 2, 3)]
    assert (race.best, race.cost) == (1e-3, 1.0)
    drop = race.dropped[1e-2]
    assert (drop.epoch, drop.why) == (3, "beaten")
    assert drop.reason == "1e-2 was 0.5 worse than 1e-3 after 3 epochs, at the end."
    assert race.doubts[0].startswith("The best rate is the lowest one tried, so a better one may lie beyond.")
    assert race.reason == f"1e-3 won by 0.5 over 1e-2, both trained for 3 epochs. {race.doubts[0]}"
    assert [rung.epoch for rung in race.history] == [1, 2, 3]
    assert race.history[0].standing == ((1e-3, 3.0), (1e-2, 3.0))
    assert race.history[1].standing == ((1e-3, 2.0), (1e-2, 2.5))
    assert race.values == {1e-3: (3.0, 2.0, 1.0), 1e-2: (3.0, 2.5, 1.5)}


@pytest.mark.parametrize(
    ("curve", "why", "words"),
    [
        ([3.0, 2.9], "beaten", "could not have caught up at its recent pace"),
        ([4.0, 2.9], "behind", "might have caught up"),
    ],
)
def test_a_dropped_rate_is_told_from_one_that_might_have_caught_up(curve, why, words):
    """After two of ten epochs the leader stands at 1. A pace of 0.1 leads from 2.9 to 2.1 at best, one of 1.1 below."""
    race = Race([1e-3, 1e-2], epochs=10, budget=0.2)
    run(race, lambda rate: [1.0] * 10 if rate == 1e-3 else [*curve, *[2.9] * 8])
    drop = race.dropped[1e-2]
    assert (drop.epoch, drop.why) == (2, why)
    assert words in drop.reason


@pytest.mark.parametrize(
    ("falls", "words"),
    [
        (False, "which could not have caught up at its recent pace."),
        (True, "only to stay within the budget."),
    ],
)
def test_the_reason_speaks_of_a_single_other_rate_as_one(falls, words):
    curves = {1e-4: [9.0 - epoch for epoch in range(10)] if falls else [2.0] * 10, 1e-3: [1.0] * 10, 1e-2: [1.5] * 10}
    race = Race(list(curves), epochs=10, budget=1.6)
    run(race, curves.__getitem__)
    assert re.search(rf"; 1 other rate was dropped after \d epochs, {words}$", race.reason)


@pytest.mark.parametrize(
    ("falling", "words"),
    [
        ([], "none of which could have caught up at its recent pace"),
        ([1e-1], "1 of them only to stay within the budget"),
        ([1e-4, 1e-1], "all of them only to stay within the budget"),
    ],
)
def test_the_reason_says_how_many_could_have_won(falling, words):
    """A fall by 1 per epoch, from 9, would end at 0, below the best rate's 1. A constant 2 would not."""
    curves = {1e-4: [2.0] * 10, 1e-3: [1.0] * 10, 1e-2: [1.5] * 10, 1e-1: [2.0] * 10}
    curves |= {rate: [9.0 - epoch for epoch in range(10)] for rate in falling}
    race = Race(list(curves), epochs=10, budget=1.6)
    run(race, curves.__getitem__)
    assert race.best == 1e-3
    assert re.search(
        rf"won by 0.5 over 1e-2, .*; 2 other rates were dropped after at most 4 epochs, {words}\.", race.reason
    )


def test_a_race_of_one_epoch():
    race = Race([1e-4, 1e-3, 1e-2], epochs=1, budget=2)
    asked = run(race, lambda rate: [{1e-4: 2.0, 1e-3: 1.0, 1e-2: 3.0}[rate]])
    assert asked == [[(1e-4, 1), (1e-3, 1), (1e-2, 1)]]
    assert (race.best, race.low, race.high, race.cost) == (1e-3, 1e-3, 1e-3, 2.0)


def test_a_higher_value_wins_on_request():
    low, high = Race(suggestion(1e-3)), Race(suggestion(1e-3), direction="max")
    curve = bowl(3e-3)
    assert run(low, curve) == run(high, lambda rate: [-value for value in curve(rate)])
    assert (low.best, low.low, low.high, low.reason) == (high.best, high.low, high.high, high.reason)
    assert high.values[high.best][-1] == -low.values[low.best][-1]


@pytest.mark.parametrize("true_best", [1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
def test_new_rates_join_until_the_best_one_is_between_others(true_best):
    race = Race(suggestion(1e-3), epochs=40, budget=2)
    run(race, bowl(true_best, epochs=40))
    assert abs(math.log10(race.best / true_best)) < 0.4
    assert race.confidence == "clear"


def test_a_lower_rate_joins_at_once_and_a_higher_one_later():
    """The lowest of 1e-4 to 1e-2 leads: the next is two thirds of a decade lower. 0.15 of 20 epochs are 3."""
    low, high = Race(suggestion(1e-3), epochs=20), Race(suggestion(1e-3), epochs=20)
    run(low, lambda rate: [rate] * 20)
    run(high, lambda rate: [1 / rate] * 20)
    assert low.history[0].added == (2.15443e-05,)
    assert [rung.added for rung in high.history[:3]] == [(), (), (0.0464159,)]


def test_a_wide_gap_beside_the_leader_is_filled():
    rates = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    race = Race(rates, epochs=10, budget=0.5)
    assert [rate for rate, _ in race.ask()] == [1e-4, 1e-2, 1.0]
    run(race, bowl(2e-3, epochs=10))
    assert race.best == 1e-3


def test_a_close_neighbour_of_the_leader_only_pauses_and_may_win_in_the_end():
    """4.64e-3 is the worst of four after epoch 3, by 0.3 of a gain of 10, and falls from epoch 6 on."""
    behind = {1e-2: 0.0, 1e-3: 0.1, 0.0215443: 0.2, 0.00464159: 0.3}
    race = Race(suggestion(1e-2), epochs=25)
    run(
        race,
        lambda rate: [behind.get(rate, 10.0)] * 5 + [behind.get(rate, 10.0) - (5 if rate == 0.00464159 else 0)] * 20,
    )
    after = {rung.epoch: rung for rung in race.history}
    assert 0.00464159 not in [rate for rate, _ in after[4].standing]
    assert after[4].added == (0.00464159,)
    assert race.best == 0.00464159
    assert race.cost <= 1


def test_no_suggestion_starts_a_wide_grid():
    race = Race(Suggestion.refuse("Flat.", rule="consensus"), epochs=20, budget=4)
    rates = [rate for rate, _ in race.ask()]
    assert len(rates) == 10
    assert rates[0] < 1e-6 < 1.0 < rates[-1] <= 10
    assert np.diff(np.log10(rates)).max() < 1.01


def test_a_diverged_rate_is_data():
    race = Race([1e-3, 1e-2, 1e-1], epochs=4, budget=2)
    run(race, lambda rate: [1.0, 0.9, 0.8, 0.7] if rate < 0.1 else [5.0, NAN])
    drop = race.dropped[1e-1]
    assert (drop.epoch, drop.why, drop.reason) == (2, "diverged", "1e-1 diverged in epoch 2.")
    assert race.best == 1e-3, "of equals the lower rate wins"
    assert (race.low, race.high) == (1e-3, 1e-2)
    assert race.reason.startswith("1e-3 won by 0 over 1e-2, both trained for 4 epochs; 1 rate was dropped as diverged.")


def test_when_every_rate_diverges_nothing_is_best():
    race = Race([1e-2, 1e-1], epochs=3)
    run(race, lambda rate: [INF])
    assert (race.best, race.low, race.high, race.confidence) == (None, None, None, "none")
    assert race.reason == "Every rate diverged, down to 1e-2. Race lower rates."


@pytest.mark.parametrize("direction", ["min", "max"])
def test_an_objective_that_is_never_logged_has_no_best_rate(direction):
    race = Race([1e-3, 1e-2, 1e-1], epochs=4, direction=direction)
    while asked := race.ask():
        for rate, epochs in asked:
            race.tell(rate, [0.0] * epochs)
    assert (race.best, race.low, race.high, race.confidence) == (None, None, None, "none")
    assert race.reason.startswith("The objective is exactly 0 in every epoch, so it is not what is trained.")


def test_after_all_of_the_first_rates_diverged_a_lower_one_is_tried():
    race = Race(suggestion(1e-1), epochs=20)
    run(race, lambda rate: [NAN] if rate > 5e-3 else [1.0] * 20)
    assert race.best == 1e-3
    assert race.cost == pytest.approx(5 / 20)


def test_a_winner_that_diverges_alone_gives_way_to_the_next():
    race = Race([1e-3, 1e-2], epochs=10, budget=0.2)
    run(race, lambda rate: [2.0] * 10 if rate == 1e-3 else [1.0, 1.0, 1.0, NAN])
    assert race.best == 1e-3
    assert race.dropped[1e-2].why == "diverged"
    assert race.cost == pytest.approx(4 / 10)


def test_the_usable_rates_lose_less_than_a_twentieth_of_the_gain_also_if_noise_tells_them_from_the_best():
    """The gain is 10 - 0 = 10, so 0.4 counts as good and 0.6 does not. Constant curves have no noise."""
    level = {1e-4: 0.6, 1e-3: 0.4, 1e-2: 0.0, 1e-1: 0.6, 1.0: 0.4}
    race = Race(list(level), epochs=5, budget=4)
    run(race, lambda rate: [10.0] + [level[rate]] * 4)
    assert (race.best, race.usable_low, race.usable_high) == (1e-2, 1e-3, 1e-2)
    assert (race.low, race.high) == (1e-2, 1e-2)


@pytest.mark.parametrize(("confidence", "expected"), [("clear", "clear"), ("tentative", "tentative")])
def test_a_short_race_is_clear_only_if_the_sweep_was(confidence, expected):
    race = Race(suggestion(1e-3, confidence=confidence), epochs=4)
    run(race, bowl(1e-3, epochs=4))
    assert (race.best, race.confidence) == (1e-3, expected)


def test_an_answer_that_the_noise_of_an_epoch_could_turn_is_not_clear():
    """The gain is about 10 and 5% of it 0.5. The odd epochs jump by 1, which second differences see as 4 / 1.65."""
    for jump, expected in ((0.0, "clear"), (1.0, "tentative")):
        race = Race(suggestion(1e-3), epochs=20, budget=4)
        run(race, lambda rate, jump=jump: [10 * v + jump * (epoch % 2) for epoch, v in enumerate(bowl(1e-3)(rate))])
        assert (race.best, race.confidence) == (1e-3, expected)
    assert race.reason.endswith("too much for a single run per rate. Repeat each in a search.")


@pytest.mark.parametrize("seed", range(20))
def test_pure_noise_is_never_clear(seed):
    generator = np.random.default_rng(seed)
    noise = {}
    race = Race(suggestion(1e-3, confidence="clear"), epochs=20, budget=4)
    run(race, lambda rate: noise.setdefault(rate, list(generator.normal(size=20))))
    assert race.confidence == "tentative"


def test_the_answer_before_the_end_is_tentative():
    race = Race([1e-3, 1e-2, 1e-1], epochs=10)
    assert (race.best, race.confidence, race.reason) == (None, "none", "No run has a finite value yet.")
    for rate, value in zip((1e-3, 1e-2, 1e-1), (2.0, 1.0, 3.0), strict=True):
        race.tell(rate, [value])
    assert (race.best, race.confidence, race.finished) == (1e-2, "tentative", False)
    assert race.reason.endswith("The race is not finished.")


def test_a_rate_may_be_rounded():
    race = Race(suggestion(2e-3), epochs=3, budget=0)
    race.tell(0.002154, [1.0, 1.0, 1.0])
    assert race.finished


@pytest.mark.parametrize("start", [[], [1e-3, -1.0], [NAN], "fast", 1e-3, [True], None])
def test_a_start_that_names_no_rates_is_refused(start):
    with pytest.raises(InvalidArgumentError, match=r"`start` must be a suggestion or positive finite learning rates"):
        Race(start)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("epochs", 0), ("epochs", 2.5), ("budget", -1), ("budget", INF), ("direction", "up"), ("compare_from", 0)],
)
def test_arguments_out_of_range_are_refused(argument, value):
    with pytest.raises(InvalidArgumentError, match=f"`{argument}` must be"):
        Race([1e-3, 1e-2], **{argument: value})


def test_an_unknown_rate_and_a_shorter_curve_are_refused():
    race = Race([1e-3, 1e-2], epochs=10)
    with pytest.raises(InvalidArgumentError, match=r"`learning_rate` must be one that `ask` returned. Received: 0.5"):
        race.tell(0.5, [1.0])
    race.tell(1e-3, [1.0])
    with pytest.raises(
        InvalidArgumentError, match=r"`values` must hold all epochs of the run so far\. Received: 0 for"
    ):
        race.tell(1e-3, [])


@pytest.mark.parametrize("values", [0.5, "0.5", None, ["low"], [[0.5]], {0.5: 1}])
def test_values_that_are_no_sequence_of_numbers_are_refused(values):
    race = Race([1e-3, 1e-2], epochs=10)
    with pytest.raises(InvalidArgumentError, match=r"`values` must be a sequence of numbers, one per epoch"):
        race.tell(1e-3, values)
    assert race.values == {1e-3: (), 1e-2: ()}


def test_the_new_epochs_alone_are_refused():
    """Told only the second epoch, the race would never finish."""
    race = Race([1e-3, 1e-2], epochs=10)
    for rate in (1e-3, 1e-2):
        race.tell(rate, [1.0])
    race.tell(1e-3, [1.0])
    with pytest.raises(InvalidArgumentError, match="which differ from those before"):
        race.tell(1e-3, [0.9])
    assert (1e-3, 2) in race.ask()


def test_what_is_told_after_the_end_changes_nothing():
    race = Race([1e-3, 1e-2], epochs=3)
    run(race, lambda rate: [rate] * 3)
    before = outcome(race)
    race.tell(1e-2, [1e-2] * 3 + [-9.0])
    assert outcome(race) == before


@st.composite
def races(draw):
    epochs, budget = draw(st.integers(1, 30)), draw(st.sampled_from([0, 0.3, 0.5, 1, 2, 4, 9]))
    rate = draw(st.none() | st.floats(1e-9, 1e3))
    starts = st.lists(st.sampled_from([1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1, 1.0]), min_size=1, max_size=8)
    alone = Suggestion.refuse("Flat.", rule="consensus") if rate is None else suggestion(rate)
    start = draw(st.just(alone) | starts)
    seed, broken = draw(st.integers(0, 10**6)), draw(st.sampled_from([0.0, 0.02, 0.3, 1.0]))

    def curve(rate):
        generator = np.random.default_rng([seed, round(1000 * (math.log10(rate) + 20))])
        values = generator.normal(size=epochs).cumsum()
        values[generator.random(epochs) < broken] = generator.choice([NAN, INF])
        return [float(value) for value in values]

    return (lambda **more: Race(start, epochs=epochs, budget=budget, **more)), curve, broken > 0


def outcome(race):
    return repr((race.best, race.low, race.high, race.cost, race.reason, race.dropped, race.history, race.values))


@given(races())
@settings(max_examples=200, deadline=None)
def test_any_race_ends_within_its_budget(case):
    make, curve, breaks = case
    race = make()
    reached = {}
    for pairs in run(race, curve):
        for rate, epochs in pairs:
            assert reached.get(rate, 0) < epochs <= race.epochs
            reached[rate] = epochs
            assert 1e-9 < rate <= 10
    assert race.ask() == []
    wasted = sum(drop.epoch for drop in race.dropped.values() if drop.why == "diverged")
    assert race.cost <= race.budget + 1e-9 + wasted / race.epochs
    if not breaks:
        assert wasted == 0
    assert set(race.values) == set(reached)
    if race.best is None:
        assert race.confidence == "none"
        assert all(drop.why == "diverged" for drop in race.dropped.values())
    else:
        assert race.low <= race.best <= race.high
        assert {race.low, race.high} <= set(reached)
        assert set(race.dropped) == set(reached) - {race.best}
        if not breaks:
            assert len(race.values[race.best]) == race.epochs
            assert min(race.values[race.best]) == min(min(values) for values in race.values.values())


@given(races(), st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_the_order_and_the_size_of_what_is_told_change_nothing(case, seed):
    make, curve, _ = case
    whole, pieces = make(), make()
    run(whole, curve)
    generator = np.random.default_rng(seed)
    told = {}
    while not pieces.finished:
        pairs = pieces.ask()
        rate, epochs = pairs[generator.integers(len(pairs))]
        told[rate] = told.get(rate, 0) + int(generator.integers(1, 4))
        pieces.tell(rate, curve(rate)[: told[rate]])
        told[rate] = min(told[rate], epochs)
    assert outcome(pieces) == outcome(whole)


def choices(race):
    """What a race decides, without the values."""
    drops = {rate: (drop.epoch, drop.why) for rate, drop in race.dropped.items()}
    rungs = [(rung.epoch, [rate for rate, _ in rung.standing], rung.kept, rung.added) for rung in race.history]
    ends = (race.low, race.high, race.usable_low, race.usable_high)
    return race.best, ends, race.cost, race.confidence, drops, rungs


@given(races(), st.integers(-40, 40), st.integers(-1000, 1000))
@settings(max_examples=100, deadline=None)
def test_the_unit_and_the_zero_of_the_objective_change_nothing(case, power, shift):
    """Multiples of 1/128 are added and scaled by powers of two without rounding. None is 0, which has no best rate."""
    make, curve, _ = case
    given_values, changed = make(), make()

    def coarse(rate):
        return [round(64 * value) / 64 + 1 / 128 if math.isfinite(value) else value for value in curve(rate)]

    run(given_values, coarse)
    run(changed, lambda rate: [(value + shift) * 2.0**power for value in coarse(rate)])
    if given_values.best is None:
        assert changed.best is None
    else:
        assert choices(changed) == choices(given_values)


@given(races())
@settings(max_examples=50, deadline=None)
def test_the_highest_of_any_values_wins_where_the_lowest_of_their_negatives_does(case):
    make, curve, _ = case
    low, high = make(), make(direction="max")
    run(low, curve)
    run(high, lambda rate: [-value for value in curve(rate)])
    assert choices(high) == choices(low)
