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
from keras_lr.training.short_runs import refine
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
    """Runs every sweep, reads the suggestion off the curves, settles it where asked to, and restores the model.

    Raises:
        ModelError: The model has nothing to train, or its step returns no such loss.
        DataError: The data holds no batch, or its first batch fails.
    """
    budget = len(settings.learning_rates) * settings.repeats
    total = budget * (2 if settings.refine else 1)
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
            result, error = summarize(model, settings, curves), curves[-1].error
            if settings.refine and error is None:
                result, error = refine(test, stream, result, num_steps=budget, optimizer=model.optimizer)
    if error is not None and not isinstance(error, KeyboardInterrupt):
        error.add_note("keras_lr: the model was restored as it was before the range test.")
    return Measurement(result, error, test.restore)


def _run_repeats(test: Sweep, settings: RangeTestSettings) -> list[Curve]:
    curves: list[Curve] = []
    for _ in range(settings.repeats):
        curves.append(test.run(settings.learning_rates))
        if curves[-1].error is not None or curves[-1].stop_reason == "data_exhausted":
            break
    return curves


def _as_tensors(batch: Any) -> Any:
    return keras.tree.map_structure(lambda part: None if part is None else keras.ops.convert_to_tensor(part), batch)
