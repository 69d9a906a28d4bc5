"""Seeing, and adding to, what a training step logs before any callback does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

_STEP, _EPOCH = "train_function", "_get_metrics_result_or_logs"


class LogInterceptor:
    """Stands between a model and the callbacks of its `fit`, so that a callback's place in their list does not matter.

    It wraps the model's training function, and the method by which `fit` reads an epoch's logs, from an epoch's first
    step to its last, and leaves no trace on the model afterwards. What is called without `arm` is another fit's, as
    after an interruption: it passes untouched.

    Args:
        model: The model that is being fitted.
        on_step: Returns values to add to the logs of an execution that has just run; None to add none.
        on_epoch: Receives the logs of an epoch's training, without validation, and returns values to add to them.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        on_step: Callable[[], dict[str, Any]] | None = None,
        on_epoch: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> None:
        self._model = model
        self._on_step = on_step
        self._on_epoch = on_epoch
        self._inner_step: Any = None
        self._inner_epoch: Any = None
        self._armed = False
        self._inner_logs: Any = None
        self._outer_logs: Any = None

    def arm(self) -> None:
        """Makes ready for the next execution; to be called before each, from `on_train_batch_begin`."""
        self._armed = True
        if not self._stands_in(_STEP):
            self._inner_step = self._put(_STEP, self._step)
        if not self._stands_in(_EPOCH):
            self._inner_epoch = self._put(_EPOCH, self._epoch)

    def _put(self, name: str, method: Callable[[Any], Any]) -> Any:
        inner = getattr(self._model, name)

        def intercepted(value: Any) -> Any:
            return method(value)

        intercepted.interceptor, intercepted.inner = self, inner  # type: ignore[attr-defined]
        setattr(self._model, name, intercepted)
        return inner

    def _stands_in(self, name: str) -> bool:
        """Whether this interceptor already wraps the model's `name`, possibly inside those of other callbacks."""
        current = getattr(self._model, name)
        while hasattr(current, "interceptor"):
            if current.interceptor is self:
                return True
            current = current.inner
        return False

    def _remove(self) -> None:
        """Takes off what stands outermost; the interceptors of other callbacks take off their own."""
        for name, inner in ((_STEP, self._inner_step), (_EPOCH, self._inner_epoch)):
            if getattr(getattr(self._model, name), "interceptor", None) is self:
                setattr(self._model, name, inner)
        bound = self._model.__dict__.get(_EPOCH)
        if bound is not None and not hasattr(bound, "interceptor"):
            delattr(self._model, _EPOCH)

    def _step(self, iterator: Any) -> Any:
        armed, self._armed = self._armed, False
        try:
            logs = self._inner_step(iterator)
        except BaseException:
            self._remove()
            raise
        if not armed:
            self._remove()
            return logs
        self._inner_logs = logs
        # A new object, by which the call at the epoch's end is told from one in an evaluation.
        self._outer_logs = {**logs, **(self._on_step() if self._on_step else {})}
        return self._outer_logs

    def _epoch(self, logs: Any) -> Any:
        if logs is not self._outer_logs:
            return self._inner_epoch(logs)
        self._remove()
        result = dict(self._inner_epoch(self._inner_logs))
        self._inner_logs = self._outer_logs = None
        return {**result, **self._on_epoch(result)}
