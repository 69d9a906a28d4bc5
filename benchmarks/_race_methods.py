"""Ways to choose a learning rate within a budget, each on stored curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from _race_tasks import Replay

from keras_lr.analysis import Race
from keras_lr.results import Suggestion

HALVING = 3
"""Reduction factor of successive halving and Hyperband, the default of KerasTuner and of Optuna's Hyperband."""

GRID_DECADES = range(-6, 0)
"""Six rates, one per decade: the default grid of `LogGridSearch`."""


UNBOUNDED = 1e30
"""Reported to Optuna for a diverged run: its pruners ignore values that are not finite."""

MOST_REPEATS = 20
"""Trials of Optuna at rates already trained, and rounds of Hyperband, after which a search ends at the latest."""


@dataclass(frozen=True)
class Choice:
    """A chosen rate, what it cost in trainings beyond its own, and how sure the method is, if it says so."""

    rate: float | None
    cost: float
    confidence: str | None = None


Method = Callable[[Replay, float, np.random.Generator], Choice]


class Epochs:
    """Curves as far as they have been trained, and how many epochs that took."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.trained: dict[int, int] = {}

    def train(self, place: int, epochs: int) -> float:
        """Lowest objective of a run within `epochs`; infinite if it diverged by then."""
        curve = self.replay.curve(place, epochs)
        self.trained[place] = max(len(curve), self.trained.get(place, 0))
        return float(curve.min()) if np.isfinite(curve[-1]) else math.inf

    @property
    def total(self) -> int:
        """All epochs trained."""
        return sum(self.trained.values())

    def choose(self, place: int) -> Choice:
        """This rate, with its training completed."""
        beside = self.total - self.trained.get(place, 0)
        return Choice(self.replay.rates[place], beside / self.replay.epochs)


def run_race(replay: Replay, budget: float, start: Suggestion | None = None) -> Race:
    """`Race` on stored curves, as `RaceSearch` starts it unless told where; from all rates if there is no sweep."""
    start = start or replay.start(budget)
    state = Race(start or replay.rates, epochs=replay.epochs, budget=budget, compare_from=replay.compare_from)
    while not state.finished:
        for rate, epochs in state.ask():
            state.tell(rate, list(replay.curve(replay.place(rate), epochs)))
    return state


def race(replay: Replay, budget: float, _generator: np.random.Generator) -> Choice:
    """What `Race` finds."""
    return _outcome(run_race(replay, budget))


def race_from_sweep(replay: Replay, budget: float, _generator: np.random.Generator) -> Choice:
    """What `Race` finds from the suggestion of the sweep, if it compares after the first epoch."""
    return _outcome(run_race(replace(replay, compare_from=1), budget, replay.sweep))


def race_from_refined(replay: Replay, budget: float, _generator: np.random.Generator) -> Choice:
    """What `Race` finds from the suggestion after short runs."""
    return _outcome(run_race(replay, budget, replay.refined))


def _outcome(state: Race) -> Choice:
    return Choice(state.best, state.cost, state.confidence)


def always(rate: float) -> Method:
    """A rate that is fixed before anything is seen."""
    return lambda _replay, _budget, _generator: Choice(rate, 0.0)


def sweep_alone(replay: Replay, _budget: float, _generator: np.random.Generator) -> Choice:
    """The suggestion of the sweep."""
    rate = replay.sweep.learning_rate if replay.sweep else None
    return Choice(rate, 0.0, replay.sweep.confidence if replay.sweep else None)


def refined(replay: Replay, _budget: float, _generator: np.random.Generator) -> Choice:
    """The suggestion after short runs."""
    rate = replay.refined.learning_rate if replay.refined else None
    return Choice(rate, 0.0, replay.refined.confidence if replay.refined else None)


def random_search(replay: Replay, budget: float, generator: np.random.Generator) -> Choice:
    """Random rates of the grid, each trained to the end; what is left below one training is spent by chance."""
    epochs, scores = Epochs(replay), {}
    for place in generator.permutation(len(replay.rates)):
        left = 1 + budget - epochs.total / replay.epochs
        if scores and generator.random() >= left:
            break
        scores[int(place)] = epochs.train(int(place), replay.epochs)
    return epochs.choose(min(scores, key=scores.__getitem__))


def successive_halving(replay: Replay, budget: float, generator: np.random.Generator) -> Choice:
    """Random rates of the grid, as many as fit the budget; the best third goes on to three times as many epochs.

    The first comparison is after one epoch, or later if the budget allows that with every rate.
    """
    size = len(replay.rates)
    plans = [(size, first) for first in range(replay.epochs, 0, -1)] + [(count, 1) for count in range(size - 1, 1, -1)]
    count, first = next((plan for plan in plans if _halving_cost(*plan, replay.epochs) <= budget), (1, 1))
    epochs = Epochs(replay)
    places = [int(place) for place in generator.choice(size, count, replace=False)]
    for survivors, reach in _halving(count, first, replay.epochs):
        places = sorted(places, key=lambda place: epochs.train(place, reach))[:survivors]
    return epochs.choose(places[0])


def _halving(count: int, first: int, epochs: int) -> Iterator[tuple[int, int]]:
    """Pairs of how many go on from a rung, and its epochs; the last is the end of the run."""
    reach = first
    while count > 1 and reach < epochs:
        count = max(count // HALVING, 1)
        yield count, reach
        reach *= HALVING
    yield 1, epochs


def _halving_cost(count: int, first: int, epochs: int) -> float:
    total, before, racing = 0, 0, count
    for survivors, reach in _halving(count, first, epochs):
        total, before, racing = total + racing * (reach - before), reach, survivors
    return total / epochs - 1


def hyperband(replay: Replay, budget: float, generator: np.random.Generator) -> Choice:
    """Hyperband's brackets one after the other, the boldest first and then again, until the budget is spent."""
    epochs, most = Epochs(replay), math.floor(math.log(replay.epochs, HALVING) + 1e-9)
    scores: dict[int, float] = {}
    for bracket in list(range(most, -1, -1)) * MOST_REPEATS:
        count = min(math.ceil((most + 1) / (bracket + 1) * HALVING**bracket), len(replay.rates))
        places = [int(place) for place in generator.choice(len(replay.rates), count, replace=False)]
        for survivors, reach in _halving(count, max(replay.epochs // HALVING**bracket, 1), replay.epochs):
            for place in places:
                if _spent_with(epochs, scores, place, reach) > (1 + budget) * replay.epochs:
                    return epochs.choose(min(scores, key=scores.__getitem__, default=place))
                scores[place] = epochs.train(place, reach)
            places = sorted(places, key=scores.__getitem__)[:survivors]
    return epochs.choose(min(scores, key=scores.__getitem__))


def _spent_with(epochs: Epochs, scores: dict[int, float], place: int, reach: int) -> int:
    """Epochs after one more run, if the best one so far is then trained to the end."""
    best = min(scores, key=scores.__getitem__, default=place)
    trained = epochs.trained.get(place, 0)
    done = max(reach, trained) if best == place else epochs.trained[best]
    return epochs.total + max(reach - trained, 0) + epochs.replay.epochs - done


def optuna_search(pruner: str) -> Method:
    """Optuna's TPE over log learning rate with its "median" or "halving" pruner, until the budget is spent."""

    def search(replay: Replay, budget: float, generator: np.random.Generator) -> Choice:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        pruners = {"median": optuna.pruners.MedianPruner, "halving": optuna.pruners.SuccessiveHalvingPruner}
        sampler = optuna.samplers.TPESampler(seed=int(generator.integers(2**31)))
        study = optuna.create_study(sampler=sampler, pruner=pruners[pruner]())
        epochs, scores, repeats = Epochs(replay), {}, 0
        while True:
            trial, before = study.ask(), epochs.total
            place = replay.place(trial.suggest_float("learning_rate", replay.rates[0], replay.rates[-1], log=True))
            for epoch in range(1, replay.epochs + 1):
                if scores and _spent_with(epochs, scores, place, epoch) > (1 + budget) * replay.epochs:
                    return epochs.choose(min(scores, key=scores.__getitem__))
                scores[place] = epochs.train(place, epoch)
                trial.report(min(scores[place], UNBOUNDED), epoch)
                if math.isinf(scores[place]) or trial.should_prune():
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    break
            else:
                study.tell(trial, scores[place])
            repeats += epochs.total == before
            if repeats == MOST_REPEATS:
                return epochs.choose(min(scores, key=scores.__getitem__))

    return search


def whole_grid(replay: Replay, _budget: float, _generator: np.random.Generator) -> Choice:
    """Every rate trained to the end with one seed: what the same curves can tell."""
    epochs = Epochs(replay)
    return epochs.choose(min(range(len(replay.rates)), key=lambda place: epochs.train(place, replay.epochs)))


def six_rates(replay: Replay, _budget: float, _generator: np.random.Generator) -> Choice:
    """One rate per decade from 1e-6 to 0.1, each trained to the end."""
    epochs = Epochs(replay)
    places = [replay.place(10.0**decade) for decade in GRID_DECADES]
    return epochs.choose(min(places, key=lambda place: epochs.train(place, replay.epochs)))


def six_rates_three_repeats(replay: Replay, _budget: float, _generator: np.random.Generator) -> Choice:
    """The same with three seeds, by the median."""
    places = [replay.place(10.0**decade) for decade in GRID_DECADES]
    return Choice(replay.rates[min(places, key=lambda place: replay.truth.scores[place])], 3 * len(places) - 1.0)


def oracle(replay: Replay, budget: float, _generator: np.random.Generator) -> Choice:
    """The rate of least regret among those that the race trained at all: no rule that trains the same can do better."""
    state = run_race(replay, budget)
    places = [replay.place(rate) for rate in state.values]
    return Choice(replay.rates[min(places, key=lambda place: replay.truth.scores[place])], state.cost)


def foresight(replay: Replay, budget: float, _generator: np.random.Generator) -> Choice:
    """The rate whose run ends lowest with this seed, among those that the race trained at all.

    No forecast of the race's own curves can do better, except by luck.
    """
    state = run_race(replay, budget)
    epochs = Epochs(replay)
    places = [replay.place(rate) for rate in state.values]
    return Choice(replay.rates[min(places, key=lambda place: epochs.train(place, replay.epochs))], state.cost)
