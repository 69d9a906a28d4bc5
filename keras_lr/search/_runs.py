"""The order of the runs and of the samples in each, and what the user's own code returns for a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf

from keras_lr.errors import InvalidArgumentError
from keras_lr.results._search_records import Run


def middle_first(runs: Sequence[Run]) -> list[Run]:
    """The runs sorted from the middle of the rates outwards: pruning needs good runs to compare the others with."""
    rates = sorted({run.learning_rate for run in runs})
    rank = {rate: abs(place - len(rates) / 2) for place, rate in enumerate(rates)}
    return sorted(runs, key=lambda run: (rank[run.learning_rate], -run.learning_rate, run.batch_size, run.repeat))


def epoch_order(seed: int, epoch: int, size: int, *, shuffle: bool = True) -> np.ndarray:
    """Indices of the samples in the order of training, shape `(size,)`, int32; each seed and epoch has its own."""
    if not shuffle:
        return np.arange(size, dtype=np.int32)
    return np.random.default_rng([seed, epoch]).permutation(size).astype(np.int32)


def ordered_batches(
    data: Any, *, seed: int, batch_size: int, epochs: int, shuffle: bool, first_epoch: Callable[[], int] = int
) -> tf.data.Dataset:
    """Batches of `data` over `epochs` epochs, in the order of `epoch_order`.

    `data` are tensors, nested as `train_step` takes them, each with the samples along its first axis. `first_epoch`
    returns the number of the first epoch; it is called whenever the dataset is read from its start.
    """
    size = int(keras.tree.flatten(data)[0].shape[0])
    # As in `fit`, the graph then knows the size of whole batches.
    whole = size % batch_size == 0

    def indices(epoch: Any) -> tf.data.Dataset:
        order = tf.numpy_function(
            lambda number: epoch_order(seed, first_epoch() + int(number), size, shuffle=shuffle), [epoch], tf.int32
        )
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(order, [size])).batch(
            batch_size, drop_remainder=whole
        )

    dataset = tf.data.Dataset.range(epochs).flat_map(indices)
    dataset = dataset.map(lambda chosen: take(data, chosen), num_parallel_calls=tf.data.AUTOTUNE)
    steps = epochs * -(-size // batch_size)
    return dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(tf.data.AUTOTUNE)


def take(data: Any, indices: Any) -> Any:
    """The samples at `indices`, nested as `data`."""
    return keras.tree.map_structure(lambda part: tf.gather(part, indices), data)


@dataclass(frozen=True)
class Result:
    """The outcome of a run.

    Attributes:
        score: The objective.
        epochs: The values of each epoch, by name; of a result without epochs, one that stands for the whole run.
        best_epoch: The epoch with the best objective, from 0.
    """

    score: float
    epochs: Sequence[Mapping[str, float]]
    best_epoch: int = 0


def read_result(returned: Any, objective: keras_tuner.Objective, source: str) -> Result:
    """Reads the number, dict or `History` that `source` has returned, or a list of these, whose mean counts.

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


# Without a seed, KerasTuner would draw one from the random state of Python.
_NO_NAME = keras_tuner.Oracle(seed=1).objective.name


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
