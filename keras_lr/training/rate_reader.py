"""Reading the learning rates that the last steps were trained with."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_lr.training.rate_control import leaf_optimizers


class RateReader:
    """Reads the rates of each optimizer of a model in one compiled call, without waiting for the device.

    A schedule is asked for the steps just done; an assigned rate, or a callable's, holds for all of them.

    Args:
        optimizer: The compiled optimizer.
        num_steps: Number of steps to look back, at least 1.
    """

    def __init__(self, optimizer: Any, *, num_steps: int = 1) -> None:
        self._optimizer = optimizer
        self._num_steps = num_steps
        self._leaves: list[Any] = []
        self._sources: list[Any] = []
        self._read: Any = None

    @property
    def names(self) -> list[str]:
        """One an optimizer: "learning_rate", or with several "learning_rate_" and the optimizer's name."""
        return _names(self._leaves)

    def read(self) -> tuple[list[Any], list[Any], Any]:
        """The rate of the last step, a scalar tensor an optimizer; those of the last `num_steps`, newest last; and the
        number of steps that the first optimizer has ever done, a scalar tensor.

        To be called after a first step: by then an optimizer that is not built trains nothing, and is left out.
        """
        if not self._leaves:
            self._leaves = [leaf for leaf in leaf_optimizers(self._optimizer) if leaf.built]
        sources = [leaf._learning_rate for leaf in self._leaves]
        # A callback may have put a schedule in the place of another meanwhile.
        if len(sources) != len(self._sources) or any(a is not b for a, b in zip(sources, self._sources, strict=True)):
            self._sources = sources
            self._read = tf.function(self._rates, autograph=False).get_concrete_function()
        return self._read()  # type: ignore[no-any-return]

    def _rates(self) -> tuple[list[Any], list[Any], Any]:
        series = [self._series(leaf) for leaf in self._leaves]
        return [rates[-1] for rates in series], series, _steps_done(self._leaves[0])

    def _series(self, leaf: Any) -> Any:
        rate = leaf._learning_rate
        if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            return tf.fill([self._num_steps], tf.cast(leaf.learning_rate, tf.float32))
        steps = tf.maximum(_steps_done(leaf) - self._num_steps + tf.range(self._num_steps, dtype=tf.int64), 0)
        if self._num_steps == 1:
            return tf.cast(rate(steps[0]), tf.float32)[tf.newaxis]
        return tf.map_fn(lambda step: tf.cast(rate(step), tf.float32), steps, fn_output_signature=tf.float32)


def _steps_done(leaf: Any) -> Any:
    """Steps of the schedule: `iterations` counts updates, which gradient accumulation makes fewer."""
    return tf.cast(tf.convert_to_tensor(leaf._iterations), tf.int64)


def _names(leaves: list[Any]) -> list[str]:
    if len(leaves) == 1:
        return ["learning_rate"]
    names = [f"learning_rate_{leaf.name}" for leaf in leaves]
    return [name if names.count(name) == 1 else f"{name}_{place}" for place, name in enumerate(names)]
