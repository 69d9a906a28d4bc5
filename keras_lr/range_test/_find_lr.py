"""`find_lr`: a range test as one call."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import keras

from keras_lr._keras.batches import data_of
from keras_lr._utils.names import suggests_arguments
from keras_lr._utils.progress import summary
from keras_lr._utils.validation import (
    MAX_LR,
    MIN_LR,
    NUM_STEPS,
    REPEATS,
    SWEEP,
    AnyModel,
    check_own_model,
    whole_number,
)
from keras_lr.errors import DataError, ModelError
from keras_lr.range_test._data_checks import own_fit_advice
from keras_lr.range_test._input_scale import input_scale_warning
from keras_lr.range_test._run import RangeTestSettings, measure, sweep_learning_rates
from keras_lr.results._range_test import RangeTestResult, suggestion_in_words


@suggests_arguments
def find_lr(
    model: AnyModel,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    shuffle: bool = True,
    min_lr: float = MIN_LR,
    max_lr: float = MAX_LR,
    num_steps: int = NUM_STEPS,
    sweep: Literal["exponential", "linear"] = SWEEP,
    repeats: int = REPEATS,
    validation_data: Any = None,
    monitor: str = "loss",
    stop_on_divergence: bool = True,
    verbose: bool | Literal["auto", 0, 1, 2] = "auto",
    refine: bool = False,
    epochs: int | None = None,
) -> RangeTestResult:
    """Runs a learning-rate range test and restores the model.

    The test raises the learning rate step by step and records each batch's own loss. Weights, optimizer, metrics and
    random states are then restored, and so is what the code that reads the data keeps: its own random generators, the
    positions of its files, its counters and iterators. A later `fit` trains as if the test had not been run. What
    cannot be restored is named by a warning.

    Args:
        model: A compiled `keras.Model`.
        x: Any input of `model.fit`: arrays, frames, lists or dicts of them, a batched `tf.data.Dataset`, a
            `PyDataset`, or a generator. A generator loses the batches that the test takes from it; a warning says so.
        y: Targets, unless `x` contains them.
        batch_size: Samples per batch, for arrays; None for 32.
        sample_weight: As in `model.fit`.
        class_weight: As in `model.fit`.
        shuffle: As in `model.fit`.
        min_lr: First learning rate, above 0.
        max_lr: Last learning rate, above `min_lr`.
        num_steps: Number of training steps, at least 2, each with one batch.
        sweep: How the rate rises: "exponential" (equal ratios) or "linear" (equal differences).
        repeats: Number of sweeps, each from the same weights with other batches and dropout masks.
        validation_data: One batch `(x, y)` or `(x, y, sample_weight)` on which each point is scored instead of its
            training batch.
        monitor: Name of the loss in what `train_step` returns.
        stop_on_divergence: Whether to stop once the loss has diverged.
        verbose: "auto", True, 1 and 2 show the progress, and at the end one line on stderr with what was found; False
            and 0 show nothing.
        refine: Whether to refine the suggestion by short runs at constant rates near it, from the same weights. They
            take at most as many steps as the sweeps.
        epochs: Length of the training that is to follow, at least 1. The longer it is, the lower the suggestion: a
            short test favours rates that merely start fast. None if it is unknown.

    Returns:
        The measured curve and the suggestion, which also depends on the model's optimizer (see `suggest`). Ctrl-C ends
        the test early and returns the points so far. If the data hold NaN or infinite values on which the model cannot
        train, or targets from which no rate can be read, the suggestion has none, and its reason says so.

    Raises:
        InvalidArgumentError: An argument breaks its rule.
        ModelError: The model is not compiled, has nothing to train, its step does not train with the compiled
            optimizer, or `monitor` is better when higher.
        DataError: The data is empty, its first batch fails, or a label is outside the model's classes.

    Example:
        >>> result = keras_lr.find_lr(model, x, y, num_steps=60)
        >>> print(result.suggestion)
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
        epochs=epochs,
    )
    _check_compiled(model)
    if x is None:
        raise DataError("`x` must be training data, as for `model.fit`. Received: None. Pass the inputs.")
    if batch_size is not None:
        batch_size = whole_number("batch_size", batch_size)
    data = data_of(
        model,
        num_steps * repeats,
        x=x,
        y=y,
        sample_weight=sample_weight,
        batch_size=batch_size,
        shuffle=shuffle,
        class_weight=class_weight,
    )
    messages = [own_fit_advice(model)]
    measurement = measure(model, data, settings, on_open=lambda: messages.append(input_scale_warning(model, x)))
    messages += measurement.messages(generator_is_used_up=data.is_generator)
    for message in filter(None, messages):
        warnings.warn(message, UserWarning, stacklevel=3)
    if measurement.error is not None and not isinstance(measurement.error, KeyboardInterrupt):
        raise measurement.error
    summary(suggestion_in_words(measurement.result.suggestion), verbose=verbose)
    return measurement.result


def _check_compiled(model: Any) -> None:
    if not isinstance(model, keras.Model):
        check_own_model("model", model)
        raise ModelError(f"`model` must be a keras.Model. Received: {type(model).__name__}. Pass the model itself.")
    if not model.compiled:
        raise ModelError(
            "`model` must be compiled. Received an uncompiled model. Call `model.compile(optimizer, loss)` first."
        )
