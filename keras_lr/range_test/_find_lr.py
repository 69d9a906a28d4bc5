"""A range test in one call."""

from __future__ import annotations

from typing import Any, Literal

import keras

from keras_lr._keras.batches import stream_of
from keras_lr.errors import ModelError
from keras_lr.range_test._input_scale import warn_of_input_scale
from keras_lr.range_test._run import RangeTestSettings, measure, sweep_learning_rates
from keras_lr.results._range_test import RangeTestResult


def find_lr(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    shuffle: bool = True,
    min_lr: float = 1e-7,
    max_lr: float = 10.0,
    num_steps: int = 100,
    sweep: Literal["exponential", "linear"] = "exponential",
    repeats: int = 1,
    validation_data: Any = None,
    monitor: str = "loss",
    stop_on_divergence: bool = True,
    verbose: bool | Literal["auto", 0, 1, 2] = "auto",
    refine: bool = False,
) -> RangeTestResult:
    """Runs a learning-rate range test and leaves the model as it was.

    Args:
        model: A compiled `keras.Model`.
        x: What `model.fit` takes: arrays, frames, lists or dicts of them, a batched `tf.data.Dataset`, a `PyDataset`,
            or a generator. The batches taken from a one-shot generator are spent.
        y: Targets, where `x` does not hold them.
        batch_size: Samples a batch, for arrays; 32 where None.
        sample_weight: As in `model.fit`.
        class_weight: As in `model.fit`.
        shuffle: As in `model.fit`.
        min_lr: First learning rate, above 0.
        max_lr: Last learning rate, above `min_lr`.
        num_steps: Number of training steps, at least 2, each with one batch.
        sweep: "exponential" or "linear".
        repeats: Number of sweeps, each from the same weights with other batches and dropout masks.
        validation_data: One batch `(x, y)` or `(x, y, sample_weight)` on which to score each point instead.
        monitor: Name of the loss in what `train_step` returns.
        stop_on_divergence: Whether to stop once the loss has diverged.
        verbose: "auto" shows a progress line on a terminal; True, 1 and 2 always, False and 0 never.
        refine: Whether to spend as many steps again on short runs at constant rates near the suggestion, from the same
            start, and to settle it by them.

    Returns:
        The measured curve and the suggestion, which also weighs the model's optimizer (see `suggest`). Ctrl-C ends the
        test early, with the points so far.

    Raises:
        InvalidArgumentError: An argument breaks its rule.
        ModelError: The model is not compiled, has nothing to train, or its step trains with another optimizer than the
            compiled one.
        DataError: The data is empty or its first batch fails.
    """
    settings = RangeTestSettings(
        learning_rates=sweep_learning_rates(min_lr, max_lr, num_steps, sweep),
        sweep=sweep,
        repeats=repeats,
        validation_data=validation_data,
        monitor=monitor,
        stop_on_divergence=stop_on_divergence,
        verbose=verbose,
        refine=refine,
    )
    _check_compiled(model)
    warn_of_input_scale(model, x)
    stream = stream_of(
        model,
        num_steps * repeats,
        x=x,
        y=y,
        sample_weight=sample_weight,
        batch_size=batch_size,
        shuffle=shuffle,
        class_weight=class_weight,
    )
    measurement = measure(model, stream, settings)
    if measurement.error is not None and not isinstance(measurement.error, KeyboardInterrupt):
        raise measurement.error
    return measurement.result


def _check_compiled(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise ModelError(f"`model` must be a keras.Model. Received: {type(model).__name__}. Pass the model itself.")
    if not model.compiled:
        raise ModelError(
            "`model` must be compiled. Received a model that is not. Call `model.compile(optimizer, loss)` first."
        )
