"""A race between learning rates: which runs to train on, and which to drop, within a budget of epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from keras_lr._utils.formatting import counted, format_rate
from keras_lr._utils.validation import MAX_LR, MIN_LR, choice, is_number, non_negative, positive, whole_number
from keras_lr.analysis._statistics import beats_constant, curvature_noise
from keras_lr.errors import InvalidArgumentError
from keras_lr.results._range_test import Confidence, Suggestion
from keras_lr.results._sensitivity import LOST_SHARE

RATES_PER_DECADE = 3
"""The rates that lose less than 5% of the gain span 1.3 decades on average in the tasks of `benchmarks/race.py`, which
is four of these. All races around suggestions use the same rates, so that they can be compared."""

FIRST_OFFSETS = (0, 1, -1, 3, -3, 5)
"""The first rates, counted in thirds of a decade from the suggestion: its neighbours, then every second one. The higher
of two comes first, because a suggestion is more often too low than too high."""

RUNG_RATIO = 1.5
"""Epochs of one comparison relative to the one before. On the tasks of `benchmarks/race.py`, 2 is worse and 1.25 is no
better."""

STEP_DECADES = 2 / 3
"""Distance from the outermost rate to a new one beyond it, and the widest gap that is left beside the leader: half of
the 1.3 decades that are usually good, so that no step jumps over them."""

STEP_UP_FRACTION = 0.15
"""Share of the epochs before which no higher rate is added. Short runs favour high rates, so the highest one often
leads at first. A lowest rate that leads in spite of that can be trusted at once."""

NOISE_FACTOR = 2.0
"""Difference between two curves, in standard deviations of the noise of a single epoch, that noise may explain."""

NEVER_LOGGED = (
    "is exactly 0 in every epoch, so it is not what is trained. A `train_step` of your own has to update the metric of "
    "that name; or name another logged value by `objective`."
)
"""What is wrong with an objective that has no other value, and what to do."""

CLEAR_EPOCHS = 5
"""Epochs that both neighbours of the winner must have been compared with it for, if no sweep supports it."""

REFINED_FROM_BUDGET = 2.0
"""Budget from which a race starts from the refined suggestion whatever the optimizer. On the tasks of
`benchmarks/race.py`, short runs with an optimizer that is not adaptive mislead a smaller one."""

START_STEPS = 10
"""Steps at the beginning of a range test whose losses are those of the model before training."""

SAME_RATE = 1e-3
"""Relative difference up to which two rates are the same, so that rates rounded to four digits are recognized."""

Why = Literal["diverged", "beaten", "behind"]


@dataclass(frozen=True)
class Drop:
    """Where a rate left the race, and why.

    Attributes:
        learning_rate: The rate.
        epoch: Number of epochs it was trained for.
        why: "diverged"; "beaten" if it could not have caught up with the leader had its fall gone on to the last epoch
            at its recent pace; "behind" if it could have, or if one epoch does not tell, and the budget ended its run.
        reason: The same in one sentence.
    """

    learning_rate: float
    epoch: int
    why: Why
    reason: str


@dataclass(frozen=True)
class Rung:
    """One comparison of the race.

    Attributes:
        epoch: Number of epochs after which the rates were compared.
        standing: Pairs of learning rate and best value so far, the best first; a diverged run stands last with its last
            value.
        kept: Rates that were trained on.
        added: Rates that joined, because the best one was the outermost or stood beside a gap, or that go on after a
            pause.
    """

    epoch: int
    standing: tuple[tuple[float, float], ...]
    kept: tuple[float, ...]
    added: tuple[float, ...]


class Race:
    """Finds the best learning rate for about the cost of one more training run.

    A few rates around a suggestion start together. They are compared after 1, 2, 3, 4, 6, 9, ... epochs. Each time the
    worst are dropped, so that the budget lasts to the end. Where the best rate is the outermost, another one joins
    beyond it. A neighbour of the best that lost little only pauses, and goes on if there are epochs to spare. The last
    one is trained to the end.

    The race only decides. `ask` says which runs to train and how far, and `tell` takes their curves. It uses neither a
    clock nor random numbers, so the same curves always give the same answer.

    ```python
    race = keras_lr.analysis.Race(result.suggestion, epochs=20, budget=1.0)
    while not race.finished:
        for learning_rate, epochs in race.ask():
            race.tell(learning_rate, train_on(learning_rate, epochs))  # the objective after each epoch so far
    ```

    Args:
        start: The `Suggestion` of a range test, around which to race, or the learning rates to choose from. After a
            suggestion without a rate, the race starts from a wide grid.
        epochs: Length of a complete run, in epochs.
        budget: Number of complete runs that may be spent on rates other than the winner. With less than one epoch
            to spend, the suggested rate wins without a race. Only if the last rate diverges is more spent: the best of
            those dropped then goes on.
        direction: "min" if lower values are better, else "max".
        compare_from: Number of epochs after which the rates are first compared. 2 suits a model that was trained
            before: a good rate damages it in the first epoch and repairs it in the second.

    Raises:
        InvalidArgumentError: `start` is neither a suggestion nor positive finite rates, or another argument breaks its
            rule.

    Source:
        Custom. Jamieson & Talwalkar 2016, arXiv:1502.07943, for successive halving. Unlike there, the rates are chosen
        around a suggestion, their number grows with the square root of the budget, and new ones may join.

    Example:
        >>> race = keras_lr.analysis.Race([1e-3, 1e-2, 1e-1], epochs=4)
        >>> race.ask()[0]
    """

    def __init__(
        self,
        start: Suggestion | Iterable[float],
        *,
        epochs: int = 20,
        budget: float = 1.0,
        direction: Literal["min", "max"] = "min",
        compare_from: int = 1,
    ) -> None:
        self.epochs = whole_number("epochs", epochs)
        self.budget = non_negative("budget", budget)
        self._sign = 1.0 if choice("direction", direction, ("min", "max")) == "min" else -1.0
        self._suggestion = start if isinstance(start, Suggestion) else None
        self._spare = math.floor(self.budget * self.epochs + 1e-9)
        wanted = max(1 + round(math.sqrt(self._spare)), 1 + math.floor(self.budget))
        earliest = min(whole_number("compare_from", compare_from), self.epochs)
        self._rates, first = _line_up(start, min(wanted, 1 + self._spare // earliest))
        self._curves: dict[int, np.ndarray] = {}
        self._epochs_asked: dict[int, int] = {}
        self._racing: list[int] = []
        self._drops: dict[int, Drop] = {}
        self._paused: list[int] = []
        self._history: list[Rung] = []
        self._ranking: list[int] = []
        self._send(first, reach=self.epochs if len(first) == 1 else earliest)

    def ask(self) -> list[tuple[float, int]]:
        """The runs to train next.

        Returns:
            Pairs of learning rate and the number of epochs that its run must reach, by increasing rate. A rate that was
            asked for before goes on from where it stopped. Empty once the race is finished.
        """
        return [(self._rates[place], self._epochs_asked[place]) for place in sorted(self._racing) if self._waits(place)]

    def tell(self, learning_rate: float, values: Sequence[float] | np.ndarray) -> None:
        """Takes the curve of a run.

        Args:
            learning_rate: A rate that `ask` has returned, to within a thousandth.
            values: The objective after each epoch so far, from the first epoch on. The run ends at the first value that
                is not finite; it has diverged. Values beyond the epochs asked for are ignored.

        Raises:
            InvalidArgumentError: The rate was not asked for, `values` is no sequence of numbers, or it does not start
                with the epochs passed before: it holds fewer, or as many with other values.
        """
        place = self._place_of(learning_rate)
        values_so_far = self._sign * _numbers(values)[: self._epochs_asked[place]]
        broken = np.flatnonzero(~np.isfinite(values_so_far))
        values_so_far = values_so_far[: broken[0] + 1] if len(broken) else values_so_far
        known = self._curves[place]
        if len(values_so_far) == len(known) and not np.array_equal(values_so_far, known, equal_nan=True):
            raise InvalidArgumentError(
                f"`values` must hold all epochs of the run so far. Received: {len(known)} values for "
                f"{format_rate(learning_rate)}, which differ from those before. Pass the values from the first epoch "
                "on."
            )
        if len(values_so_far) < len(known):
            raise InvalidArgumentError(
                f"`values` must hold all epochs of the run so far. Received: {len(values_so_far)} for "
                f"{format_rate(learning_rate)}, after {len(known)}. Pass the values from the first epoch on."
            )
        self._curves[place] = values_so_far
        while self._racing and not any(self._waits(one) for one in self._racing):
            self._decide()

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """Every rate that may be raced, increasing."""
        return tuple(self._rates)

    @property
    def direction(self) -> Literal["min", "max"]:
        """Whether lower or higher values are better."""
        return "min" if self._sign > 0 else "max"

    @property
    def finished(self) -> bool:
        """Whether no run is left to train."""
        return not self._racing

    @property
    def best(self) -> float | None:
        """The winner, or the leader so far; None if no run has a finite value that is not 0, or all have diverged."""
        place = self._leader()
        return None if place is None else self._rates[place]

    @property
    def cost(self) -> float:
        """Epochs trained at all rates but the best, in complete runs."""
        leader = self._leader()
        return sum(len(curve) for place, curve in self._curves.items() if place != leader) / self.epochs

    @property
    def low(self) -> float | None:
        """Lowest of the rates around the best that were as good within noise when last compared.

        The noise is that of a single epoch, read off the curve of the best. How much repeats differ is unknown.
        """
        return self._stretch(self._within_noise)[0]

    @property
    def high(self) -> float | None:
        """Highest of the rates around the best that were as good within noise when last compared; see `low`."""
        return self._stretch(self._within_noise)[1]

    @property
    def usable_low(self) -> float | None:
        """Lowest of the rates around the best that lost at most 5% of the gain when last compared.

        The gain leads from the worst value after the first epoch to the best value.
        """
        return self._stretch(self._loses_little)[0]

    @property
    def usable_high(self) -> float | None:
        """Highest of the rates around the best that lost at most 5% of the gain when last compared."""
        return self._stretch(self._loses_little)[1]

    @property
    def confidence(self) -> Confidence:
        """How surely the best rate loses less than 5% of the possible gain.

        "clear" once the race is finished, if the best stands between two other rates, the noise of an epoch explains
        less than 5% of the gain, and the sweep was clear about a range that includes the best or both neighbours were
        compared with it for at least 5 epochs. "none" if no run can be judged, else "tentative".
        """
        if self._leader() is None:
            return "none"
        return "tentative" if self.doubts else "clear"

    @property
    def reason(self) -> str:
        """Why, in one sentence or two, followed by the `doubts`."""
        leader = self._leader()
        return self._refusal() if leader is None else " ".join([self._result(leader), *self.doubts])

    @property
    def doubts(self) -> tuple[str, ...]:
        """What keeps the answer from being clear, one sentence or two each; empty without an answer."""
        leader = self._leader()
        doubt = "" if leader is None else self._doubt(leader)
        return (doubt,) if doubt else ()

    @property
    def dropped(self) -> dict[float, Drop]:
        """Where and why each rate that is no longer trained was dropped, by learning rate."""
        return {self._rates[place]: self._drops[place] for place in sorted(self._drops)}

    @property
    def history(self) -> tuple[Rung, ...]:
        """Each comparison of the race, in order."""
        return tuple(self._history)

    @property
    def values(self) -> dict[float, tuple[float, ...]]:
        """The values known of each rate, by learning rate; a run that diverged ends with a value that is not finite."""
        return {
            self._rates[place]: tuple(float(value) for value in self._sign * self._curves[place])
            for place in sorted(self._curves)
        }

    def _place_of(self, learning_rate: float) -> int:
        rate = positive("learning_rate", learning_rate)
        place = min(self._curves, key=lambda one: abs(math.log(self._rates[one] / rate)))
        if abs(self._rates[place] / rate - 1) > SAME_RATE:
            asked = ", ".join(format_rate(self._rates[one], digits=3) for one in sorted(self._curves))
            raise InvalidArgumentError(
                f"`learning_rate` must be one that `ask` returned. Received: {learning_rate!r}; asked for: {asked}."
            )
        return place

    def _waits(self, place: int) -> bool:
        return not self._diverged(place) and len(self._curves[place]) < self._epochs_asked[place]

    def _diverged(self, place: int) -> bool:
        curve = self._curves[place]
        return len(curve) > 0 and not math.isfinite(curve[-1])

    def _score(self, place: int, epoch: int | None = None) -> float:
        """Best value up to an epoch, lower is better; infinite if there is none, or the run diverged by then."""
        curve = self._curves[place][:epoch]
        return float(curve.min()) if len(curve) and math.isfinite(curve[-1]) else math.inf

    def _order(self, places: Iterable[int], epoch: int | None = None) -> list[int]:
        """The best first; of equals the lower rate, for short runs favour high ones."""
        return sorted(places, key=lambda place: (self._score(place, epoch), place))

    def _leader(self) -> int | None:
        """Of the last comparison; before the first, of the values so far.

        None if all runs with values diverged, or every value is exactly 0.
        """
        with_values = [place for place in self._curves if len(self._curves[place]) and not self._diverged(place)]
        if not any(self._curves[place].any() for place in with_values):
            return None
        ranked = [place for place in self._ranking if place in with_values]
        return next(iter(ranked or self._order(with_values)), None)

    def _send(self, places: list[int], *, reach: int) -> None:
        """Lets these rates race on, up to the comparison after `reach` epochs."""
        self._racing, self._rung = places, reach
        for place in places:
            self._curves.setdefault(place, np.empty(0))
            self._epochs_asked[place] = reach

    def _spent_beside(self, place: int | None) -> int:
        return sum(len(curve) for one, curve in self._curves.items() if one != place)

    def _decide(self) -> None:
        """Compares the rates at a rung, and sends those that go on to the next."""
        ranked = self._order(self._racing)
        alive = [place for place in ranked if not self._diverged(place)]
        for place in ranked[len(alive) :]:
            self._drop(place, None)
        if not alive:
            self._recover(ranked)
            return
        self._ranking = alive
        leader, ahead = alive[0], _rungs(self._rung, self.epochs)
        kept: list[int] = alive[:1]
        added: list[int] = []
        if ahead:
            left = self._spare - self._spent_beside(leader)
            kept = alive[: _survivors(len(alive), [self._rung, *ahead], left)]
            kept, added = self._with_newcomer(kept, ahead[0] - self._rung, left)
        cut = [place for place in [*alive[len(kept) :], *self._paused] if place not in added]
        self._paused = [place for place in self._close(cut, leader) if ahead]
        for place in cut:
            if place not in self._paused:
                self._drop(place, leader)
        self._log(ranked, kept if ahead else [], added)
        if ahead:
            self._send(kept + added, reach=self.epochs if len(kept + added) == 1 else ahead[0])
        else:
            self._racing = []

    def _with_newcomer(self, kept: list[int], gain: int, left: int) -> tuple[list[int], list[int]]:
        """`kept` and a rate to add, whose run takes the place of as many of the worst as it costs.

        Without such a rate, a paused one goes on, if there are epochs to spare.
        """
        place, reach = self._newcomer(kept[0]), self._rung + gain
        if place is not None:
            stay = next((count for count in range(len(kept), 0, -1) if reach + (count - 1) * gain <= left), 0)
            if stay:
                return kept[:stay], [place]
        paused = self._close(self._paused, kept[0])
        affordable = [one for one in paused if reach - len(self._curves[one]) + (len(kept) - 1) * gain <= left]
        return kept, affordable[:1]

    def _neighbours(self, place: int) -> tuple[int | None, int | None]:
        """The nearest rates tried below and above one."""
        below = max((one for one in self._curves if one < place), default=None)
        above = min((one for one in self._curves if one > place), default=None)
        return below, above

    def _close(self, places: list[int], leader: int) -> list[int]:
        """Those of the rates that stand beside the leader and lost little, the one that lost least first."""
        close = [one for one in self._neighbours(leader) if one in places and self._loses_little(one, leader)]
        return sorted(close, key=lambda one: self._gap(one, leader))

    def _newcomer(self, leader: int) -> int | None:
        """The rate to add beside the leader: beyond it if it is the outermost, else in a wide gap beside it."""
        decades = np.log10(self._rates)
        below, above = self._neighbours(leader)
        if below is None and leader > 0:
            return _nearest(decades, decades[leader] - STEP_DECADES, range(leader))
        if above is None and leader + 1 < len(decades) and self._rung >= STEP_UP_FRACTION * self.epochs:
            return _nearest(decades, decades[leader] + STEP_DECADES, range(leader + 1, len(decades)))
        for side in self._order(one for one in (below, above) if one is not None):
            between = range(min(side, leader) + 1, max(side, leader))
            if len(between) and abs(decades[side] - decades[leader]) > STEP_DECADES + 1e-6:
                return _nearest(decades, (decades[side] + decades[leader]) / 2, between)
        return None

    def _recover(self, ranked: list[int]) -> None:
        """Goes on after every racing run has diverged: with the best one dropped, else lower, else not at all."""
        self._log(ranked, [], [])
        self._racing = []
        behind = self._order(place for place in self._curves if not self._diverged(place))
        lowest = min(self._curves)
        if behind:
            self._drops.pop(behind[0], None)
            self._paused = [one for one in self._paused if one != behind[0]]
            self._send(behind[:1], reach=self.epochs)
        elif lowest > 0 and self._spent_beside(None) + 1 <= self._spare:
            decades = np.log10(self._rates)
            self._send([_nearest(decades, decades[lowest] - 1, range(lowest))], reach=self.epochs)

    def _drop(self, place: int, leader: int | None) -> None:
        epoch = len(self._curves[place])
        rate = format_rate(self._rates[place], digits=3)
        if leader is None:
            self._drops[place] = Drop(self._rates[place], epoch, "diverged", f"{rate} diverged in epoch {epoch}.")
            return
        best, own = format_rate(self._rates[leader], digits=3), self._curves[place]
        gap = self._score(place) - self._score(leader, epoch)
        text = f"{rate} was {gap:.3g} worse than {best} after {counted(epoch, 'epoch')}"
        if epoch == self.epochs:
            self._drops[place] = Drop(self._rates[place], epoch, "beaten", f"{text}, at the end.")
        elif epoch < 2:
            self._drops[place] = Drop(self._rates[place], epoch, "behind", f"{text}, too early to tell its pace.")
        elif forecast(np.minimum.accumulate(own), self.epochs) > self._score(leader, epoch):
            text += ", and could not have caught up at its recent pace."
            self._drops[place] = Drop(self._rates[place], epoch, "beaten", text)
        else:
            text += "; it might have caught up, but the budget went to better ones."
            self._drops[place] = Drop(self._rates[place], epoch, "behind", text)

    def _log(self, ranked: list[int], kept: list[int], added: list[int]) -> None:
        last = {place: self._curves[place][-1] if self._diverged(place) else self._score(place) for place in ranked}
        standing = tuple((self._rates[place], self._sign * float(last[place])) for place in ranked)
        kept_rates, added_rates = (tuple(self._rates[one] for one in sorted(part)) for part in (kept, added))
        self._history.append(Rung(self._rung, standing, kept_rates, added_rates))

    def _gain(self, leader: int) -> float:
        """From the worst first value of a run that did not diverge at once to the best value of the leader."""
        firsts = [curve[0] for curve in self._curves.values() if len(curve) and math.isfinite(curve[0])]
        return float(max(firsts)) - self._score(leader)

    def _stretch(self, as_good: Callable[[int, int], bool]) -> tuple[float | None, float | None]:
        """Ends of the unbroken stretch of rates around the leader that are as good, given their places."""
        leader = self._leader()
        if leader is None:
            return None, None
        with_values = sorted(place for place in self._curves if len(self._curves[place]))
        start = end = with_values.index(leader)
        while start > 0 and as_good(with_values[start - 1], leader):
            start -= 1
        while end + 1 < len(with_values) and as_good(with_values[end + 1], leader):
            end += 1
        return self._rates[with_values[start]], self._rates[with_values[end]]

    def _within_noise(self, place: int, leader: int) -> bool:
        noise = self._noise(leader, self._last_compared(place, leader))
        return self._gap(place, leader) <= NOISE_FACTOR * noise

    def _noise(self, place: int, epoch: int) -> float:
        """Standard deviation of a single epoch, from the second half of those up to `epoch`."""
        return curvature_noise(self._curves[place][epoch // 2 : epoch])

    def _loses_little(self, place: int, leader: int) -> bool:
        return self._gap(place, leader) <= LOST_SHARE * self._gain(leader)

    def _gap(self, place: int, leader: int) -> float:
        """How much worse than the leader a rate was when both were last compared."""
        epoch = self._last_compared(place, leader)
        return self._score(place, epoch) - self._score(leader, epoch)

    def _last_compared(self, place: int, leader: int) -> int:
        return min(len(self._curves[place]), len(self._curves[leader]))

    def _doubt(self, leader: int) -> str:
        """What keeps the answer from being clear; empty if nothing does."""
        if not self.finished:
            return "The race is not finished."
        below, above = self._neighbours(leader)
        if below is None or above is None:
            if len(self._curves) == 1:
                return "No other rate was tried. Raise `budget` to race."
            end = "lowest" if below is None else "highest"
            return (
                f"The best rate is the {end} one tried, so a better one may lie beyond. Raise `budget` or widen the "
                "rates."
            )
        if NOISE_FACTOR * self._noise(leader, self.epochs) >= LOST_SHARE * self._gain(leader):
            return (
                "The objective jumps from epoch to epoch too much for a single run per rate. Repeat each in a search."
            )
        if self._sweep_agrees():
            return ""
        compared = [math.inf if self._diverged(one) else len(self._curves[one]) for one in (below, above)]
        if min(compared) < CLEAR_EPOCHS:
            return (
                f"A neighbour was dropped after less than {CLEAR_EPOCHS} epochs. Raise `budget` to compare for longer."
            )
        return ""

    def _sweep_agrees(self) -> bool:
        sweep, best = self._suggestion, self.best
        if sweep is None or sweep.low is None or sweep.high is None or best is None:
            return False
        return sweep.confidence == "clear" and sweep.low <= best <= sweep.high

    def _refusal(self) -> str:
        if any(len(curve) and not curve.any() for curve in self._curves.values()):
            return f"The objective {NEVER_LOGGED}"
        if not self.finished:
            return "No run has a finite value yet."
        lowest = format_rate(self._rates[min(self._curves)], digits=3)
        return f"Every rate diverged, down to {lowest}. Race lower rates."

    def _result(self, leader: int) -> str:
        others = self._order(one for one in self._drops if self._drops[one].why != "diverged")
        others.sort(key=lambda one: -self._drops[one].epoch)
        verb = "won" if self.finished else "leads"
        best = format_rate(self._rates[leader], digits=3)
        parts = []
        if others:
            rival, epoch = others[0], self._drops[others[0]].epoch
            gap = self._score(rival) - self._score(leader, epoch)
            second = format_rate(self._rates[rival], digits=3)
            parts.append(f"{best} {verb} by {gap:.3g} over {second}, both trained for {counted(epoch, 'epoch')}")
        else:
            parts.append(f"{best} {verb} {'unopposed' if len(self._curves) == 1 else 'against diverged rates only'}")
        parts += self._fates(others[1:])
        return f"{'; '.join(parts)}."

    def _fates(self, others: list[int]) -> list[str]:
        diverged = sum(drop.why == "diverged" for drop in self._drops.values())
        texts = [f"{_count(diverged, 'rate')} dropped as diverged"] if diverged else []
        if others:
            spared = sum(self._drops[one].why == "behind" for one in others)
            alone = len(others) == 1
            why = f"{'which could not' if alone else 'none of which could'} have caught up at its recent pace"
            if spared:
                some = "" if alone else f"{'all' if spared == len(others) else spared} of them "
                why = f"{some}only to stay within the budget"
            last = max(self._drops[one].epoch for one in others)
            after = f"{'' if alone else 'at most '}{counted(last, 'epoch')}"
            texts.insert(0, f"{_count(len(others), 'other rate')} dropped after {after}, {why}")
        return texts


def _numbers(values: Sequence[float] | np.ndarray) -> np.ndarray:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(())
    if numbers.ndim != 1:
        raise InvalidArgumentError(
            f"`values` must be a sequence of numbers, one per epoch. Received: {values!r}. Pass [0.9, 0.7]."
        )
    return numbers


def _count(number: int, noun: str) -> str:
    return f"{counted(number, noun)} {'was' if number == 1 else 'were'}"


def _line_up(start: Suggestion | Iterable[float], count: int) -> tuple[list[float], list[int]]:
    """The rates to choose from, increasing, and the places of the `count` that start."""
    if isinstance(start, Suggestion):
        grid = rates_around_suggestions()
        if start.learning_rate is None:
            return grid, _spread(len(grid), count)
        middle = min(max(_power_of(start.learning_rate) - _power_of(MIN_LR), 0), len(grid) - 1)
        rest = sorted(set(range(-len(grid), len(grid))) - set(FIRST_OFFSETS), key=lambda one: (abs(one), -one))
        places = [middle + offset for offset in (*FIRST_OFFSETS, *rest) if 0 <= middle + offset < len(grid)]
        return grid, sorted(places[:count])
    rates = list(start) if isinstance(start, Iterable) and not isinstance(start, str) else []
    if not rates or not all(is_number(rate) and math.isfinite(rate) and rate > 0 for rate in rates):
        raise InvalidArgumentError(
            f"`start` must be a suggestion or positive finite learning rates. Received: {start!r}. Pass "
            "`result.suggestion` or a list such as [1e-4, 1e-3, 1e-2]."
        )
    grid = sorted({float(rate) for rate in rates})
    return grid, _spread(len(grid), count)


def rates_around_suggestions() -> list[float]:
    """The rates to choose from in every race around a suggestion, increasing."""
    powers = range(_power_of(MIN_LR), _power_of(MAX_LR) + 1)
    return [float(f"{10 ** (power / RATES_PER_DECADE):.6g}") for power in powers]


def _power_of(rate: float) -> int:
    """The number of thirds of a decade from 1 to a rate, rounded."""
    return round(RATES_PER_DECADE * math.log10(rate))


def _spread(size: int, count: int) -> list[int]:
    """At most `count` places, spread evenly over `size` with half a gap at either end."""
    if count >= size:
        return list(range(size))
    return [math.floor((index + 0.5) * size / count) for index in range(count)]


def _rungs(after: int, epochs: int) -> list[int]:
    """Numbers of epochs after which rates are still to be compared, increasing; the last is `epochs`."""
    ahead = []
    while after < epochs:
        after = min(max(after + 1, math.floor(after * RUNG_RATIO)), epochs)
        ahead.append(after)
    return ahead


def _survivors(count: int, rungs: list[int], extra: int) -> int:
    """How many of `count` rates may go on from the first rung, so that the same share can at each of the next.

    Args:
        count: Number of rates at `rungs[0]`, at least 1.
        rungs: Epochs of this comparison and all later ones.
        extra: Epochs left for all rates but the best.
    """
    for percent in range(100, 0, -1):
        counts = [max(1, round(count * (percent / 100) ** power)) for power in range(1, len(rungs))]
        if sum((n - 1) * gain for n, gain in zip(counts, np.diff(rungs), strict=True)) <= extra:
            return counts[0]
    return 1


def forecast(best: np.ndarray, epochs: int) -> float:
    """Where a run would end at the mean pace of the second half of its epochs so far.

    Since learning curves flatten, this is optimistic: a run whose forecast is behind cannot win.

    Args:
        best: Best value up to each epoch so far, lower is better; at least two epochs. The last one is infinite if the
            run has diverged.
        epochs: Length of a complete run.
    """
    if not math.isfinite(best[-1]):
        return math.inf
    half = len(best) // 2
    pace = (best[len(best) - half - 1] - best[-1]) / half
    return float(best[-1] - pace * (epochs - len(best)))


def starts_refined(budget: float, *, adaptive: bool) -> bool:
    """Whether a race starts from the suggestion after short runs instead of the sweep's.

    Args:
        budget: As in `Race`.
        adaptive: Whether the optimizer is adaptive.
    """
    return adaptive or budget >= REFINED_FROM_BUDGET


def first_comparison(sweep_losses: np.ndarray, constant_loss: float | None) -> int:
    """`compare_from` for a model: 2 if it was trained before, else 1.

    Args:
        sweep_losses: Losses of a range test, whose first rates change nothing, shape `(n_steps,)`.
        constant_loss: Loss of the best constant output; None if it is unknown.
    """
    if constant_loss is None:
        return 1
    return 2 if beats_constant(float(np.median(sweep_losses[:START_STEPS])), constant_loss) else 1


def _nearest(decades: np.ndarray, target: float, places: Sequence[int]) -> int:
    return min(places, key=lambda place: abs(decades[place] - target))
