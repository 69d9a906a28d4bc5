"""What a `HyperModel.fit` or a `run_trial` of the user's returned, read as KerasTuner reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_lr.errors import InvalidArgumentError


@dataclass(frozen=True)
class Result:
    """What a training has come to.

    Attributes:
        score: The objective.
        epochs: The values of each epoch, by name; of a result without epochs, one that stands for the whole training.
        best_epoch: The epoch with the best objective, from 0.
    """

    score: float
    epochs: Sequence[Mapping[str, float]]
    best_epoch: int = 0


def read_result(returned: Any, objective: keras_tuner.Objective, source: str) -> Result:
    """Reads a number, a dict, a `History`, or a list of these, whose mean counts.

    Args:
        returned: What was returned.
        objective: The objective of the search.
        source: What returned it, for an error.

    Raises:
        InvalidArgumentError: It is something else, or lacks the objective.
    """
    if isinstance(returned, list) and returned:
        parts = [read_result(one, objective, source) for one in returned]
        found = [part.epochs[part.best_epoch] for part in parts]
        names = dict.fromkeys(name for values in found for name in values)
        means = {name: float(np.mean([values[name] for values in found if name in values])) for name in names}
        return Result(means[objective.name], [means])
    if isinstance(returned, (int, float, np.floating)):
        return Result(float(returned), [{objective.name: float(returned)}])
    if isinstance(returned, dict) and objective.name in returned:
        numbers = {name: float(value) for name, value in returned.items() if np.ndim(value) == 0}
        return Result(numbers[objective.name], [numbers])
    if isinstance(returned, keras.callbacks.History) and returned.history.get(objective.name):
        return _read_history(returned.history, objective)
    raise InvalidArgumentError(
        f"{source} must return {_name_of(objective)} as a number, a dict that holds it, the `History` of `model.fit`, "
        f"or a list of these. Received: {_shown(returned)}. Return one of them."
    )


def has_no_name(objective: Any) -> bool:
    """Whether the objective is KerasTuner's default, which stands for whatever number is returned."""
    return bool(objective.name == _NO_NAME)


_NO_NAME = keras_tuner.Oracle().objective.name


def _read_history(history: Mapping[str, Sequence[Any]], objective: keras_tuner.Objective) -> Result:
    length = max(map(len, history.values()))
    # With `validation_freq`, fewer values of the validation are listed than epochs.
    whole = {name: values for name, values in history.items() if len(values) == length}
    epochs = [{name: float(values[epoch]) for name, values in whole.items()} for epoch in range(length)]
    values = [float(value) for value in history[objective.name]]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return Result(math.nan, epochs)
    score = (max if objective.direction == "max" else min)(finite)
    return Result(score, epochs, values.index(score) if objective.name in whole else length - 1)


def _name_of(objective: keras_tuner.Objective) -> str:
    return "the objective" if has_no_name(objective) else f"the objective {objective.name!r}"


def _shown(returned: Any) -> str:
    if isinstance(returned, keras.callbacks.History):
        return f"a History of {sorted(returned.history)}"
    return f"a dict of {sorted(returned)}" if isinstance(returned, dict) else repr(returned)[:100]
