"""What `AutoLR` does before the first epoch: a short range test, and the rate to begin with."""

from __future__ import annotations

from typing import Any, Literal

import keras

from keras_lr.analysis.control import read_baseline
from keras_lr.callbacks.auto_lr_memory import Memory, Stretch
from keras_lr.callbacks.range_test import LRRangeTest
from keras_lr.errors import ModelError
from keras_lr.records.auto_lr import AutoLRAction
from keras_lr.records.range_test import RangeTestResult
from keras_lr.records.rate_words import format_rate
from keras_lr.records.suggestion import Suggestion
from keras_lr.training.rate_factor import rates_ahead

KEPT_RATIO = 1.25
"""A change by less is finer than a range test can tell."""

SELF_DECAY = 0.2
"""A schedule that ends below this share of its highest rate anneals by itself."""


class Probe(LRRangeTest):
    """A range test after which `fit` trains all its epochs, at whatever rate."""

    def run(self, model: keras.Model) -> RangeTestResult:
        """Sweeps and restores the model, in the midst of its `fit`; builds it if it was not."""
        self.set_model(model)
        self.on_train_begin()
        return self.measured()

    def _apply(self, suggestion: Suggestion) -> None:
        """Changes nothing."""


def make_probe(
    num_steps: int, repeats: int, *, monitor: str, verbose: bool | Literal["auto", 0, 1, 2], **limits: Any
) -> Probe:
    """A range test that may run within a `fit`, settled by short runs; raises what `LRRangeTest` raises."""
    return Probe(
        num_steps=num_steps, repeats=repeats, apply=True, refine=True, monitor=monitor, verbose=verbose, **limits
    )


def remember_start(
    model: keras.Model,
    probe: Probe | None,
    *,
    first_epoch: int,
    steps: int,
    anneal_fraction: float,
    monitor: str,
    applied: bool,
) -> Memory:
    """The memory of a run that begins, with the range test's action in it.

    Args:
        model: The model that `fit` is about to train.
        probe: The range test to run; None for none.
        first_epoch: The epoch about to begin.
        steps: Steps planned in all.
        anneal_fraction: Share of the epochs planned for the anneal.
        monitor: Name of the training loss in the logs.
        applied: Whether the rate will be set.

    Raises:
        ModelError: The model was compiled without an optimizer, or with a rate of 0 throughout.
    """
    if model.optimizer is None:
        raise ModelError(
            "`model` must be compiled with an optimizer. Received none. Call `model.compile(optimizer=...)` first."
        )
    ahead = rates_ahead(model.optimizer, steps)
    highest = float(ahead.max())
    if not highest > 0:
        raise ModelError(
            f"`optimizer` must have a learning rate above 0. Received: {highest}. Compile with any other, such as 1e-3."
        )
    fraction = 0.0 if ahead[-1] < SELF_DECAY * highest else anneal_fraction
    memory = Memory(first_epoch, float(ahead[0]), highest, stretch=Stretch(anneal_from=1 - fraction))
    if probe is not None:
        memory.probe = probe.run(model)
        memory.baseline = read_baseline(memory.probe.repeat_losses)
        _begin_at(memory, memory.probe.suggestion, applied=applied)
    elif applied and not (model.built and model.optimizer.built):
        # Without its variables there is no state to go back to.
        make_probe(2, 1, monitor=monitor, verbose=False).run(model)
    return memory


def _begin_at(memory: Memory, suggestion: Suggestion, *, applied: bool) -> None:
    rate, compiled = suggestion.learning_rate, memory.reference
    if rate is None or max(rate / compiled, compiled / rate) < KEPT_RATIO:
        return
    reason = f"A short range test suggests {format_rate(rate)} ({suggestion.confidence}): {suggestion.reason}"
    memory.act(
        AutoLRAction("probe", memory.first_epoch, compiled, rate, reason, applied),
        **({"factor": rate / compiled} if applied else {}),
    )
