"""Running a range test on a model, from checked settings to a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_lr.callbacks.progress import progress_line
from keras_lr.callbacks.range_test_settings import RangeTestSettings
from keras_lr.callbacks.range_test_summary import summarize
from keras_lr.records.range_test import RangeTestResult
from keras_lr.training.data import BatchStream
from keras_lr.training.sweep import Curve, Sweep


@dataclass(frozen=True)
class Measurement:
    """What a range test left.

    Attributes:
        result: The measured curve, also where the test was cut short.
        error: What cut it short, or None.
        restore: Puts the model back once more, for what changes it after the test.
    """

    result: RangeTestResult
    error: BaseException | None
    restore: Callable[[], None]


def measure(model: keras.Model, stream: BatchStream, settings: RangeTestSettings) -> Measurement:
    """Runs every sweep, restores the model, and reads the suggestion off the curves.

    Raises:
        ModelError: The model has nothing to train, or its step returns no such loss.
        DataError: The data holds no batch, or its first batch fails.
    """
    total = len(settings.learning_rates) * settings.repeats
    with progress_line("Range test", total, show=settings.verbose) as progress:
        test = Sweep(
            model,
            stream,
            monitor=settings.monitor,
            validation_batch=_as_tensors(settings.validation_data),
            stop_on_divergence=settings.stop_on_divergence,
            on_progress=progress,
        )
        with test:
            curves = _run_repeats(test, settings)
    error = curves[-1].error
    if error is not None and not isinstance(error, KeyboardInterrupt):
        error.add_note("keras_lr: the model was restored as it was before the range test.")
    return Measurement(summarize(model, settings, curves), error, test.restore)


def _run_repeats(test: Sweep, settings: RangeTestSettings) -> list[Curve]:
    curves: list[Curve] = []
    for _ in range(settings.repeats):
        curves.append(test.run(settings.learning_rates))
        if curves[-1].error is not None or curves[-1].stop_reason == "data_exhausted":
            break
    return curves


def _as_tensors(batch: Any) -> Any:
    return None if batch is None else keras.tree.map_structure(keras.ops.convert_to_tensor, batch)
