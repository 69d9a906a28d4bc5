"""Values that a callback adds to the logs of `fit` before any other callback sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

_STEP, _EPOCH = "train_function", "_get_metrics_result_or_logs"


class LogInterceptor:
    """Adds to the logs of a running `fit` at their source, so that a callback's place in the list does not matter.

    `fit` calls `logs = model.train_function(iterator)` for each execution, and after the last one of an epoch
    `model._get_metrics_result_or_logs(logs)`. Both are wrapped on the model at the first step of an epoch and unwrapped
    after its last. Interceptors nest: each wraps what it finds and unwraps only itself.

    `arm` announces an execution. One that comes without it belongs to another `fit`, after an error has ended this
    one; it gets the logs it would have had, and the wrappers are removed.

    Args:
        model: The model being trained.
        on_step: Returns the values to add to the logs of the execution that has just run; None to add none.
        on_epoch: Receives an epoch's training logs, without validation, and returns the values to add to them.

    Attributes:
        first_logs: What the first execution returned; empty before it.
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
        self.first_logs: dict[str, Any] = {}
        self._inner_logs: Any = None
        self._outer_logs: Any = None

    def arm(self) -> None:
        """Prepares for the next execution; to be called from `on_train_batch_begin`."""
        self._armed = True
        # A loop of `train_on_batch` makes it only in its first step, and not where a wrapper stands.
        if self._model.train_function is None:
            self._model.make_train_function()
        if not self._wraps(_STEP):
            self._inner_step = self._wrap(_STEP, self._step)
        if not self._wraps(_EPOCH):
            self._inner_epoch = self._wrap(_EPOCH, self._epoch)

    def _wrap(self, name: str, method: Callable[[Any], Any]) -> Any:
        """Puts `method` in the place of the model's `name`, and returns what was there."""
        inner = getattr(self._model, name)

        def intercepted(value: Any) -> Any:
            return method(value)

        intercepted.interceptor, intercepted.inner = self, inner  # type: ignore[attr-defined]
        setattr(self._model, name, intercepted)
        return inner

    def _wraps(self, name: str) -> bool:
        """Whether this interceptor wraps the model's `name`, directly or inside the wrappers of others."""
        current = getattr(self._model, name)
        while hasattr(current, "interceptor"):
            if current.interceptor is self:
                return True
            current = current.inner
        return False

    def disarm(self) -> None:
        """Removes the outermost wrappers if they are this interceptor's; the others remove theirs in turn.

        To be called when the training ends, in case a loop of `train_on_batch` has left them.
        """
        for name, inner in ((_STEP, self._inner_step), (_EPOCH, self._inner_epoch)):
            if getattr(getattr(self._model, name), "interceptor", None) is self:
                setattr(self._model, name, inner)
        # The last one out deletes the attribute, so that the method of the class shows again.
        bound = self._model.__dict__.get(_EPOCH)
        if bound is not None and not hasattr(bound, "interceptor"):
            delattr(self._model, _EPOCH)

    def _step(self, iterator: Any) -> Any:
        armed, self._armed = self._armed, False
        try:
            logs = self._inner_step(iterator)
        except BaseException:
            self.disarm()
            raise
        if not armed:
            self.disarm()
            return logs
        self._inner_logs = logs
        self.first_logs = self.first_logs or dict(logs)
        self._outer_logs = {**logs, **(self._on_step() if self._on_step else {})}
        return self._outer_logs

    def _epoch(self, logs: Any) -> Any:
        # `evaluate` calls this method too. The call at the epoch's end passes on the very dict that `_step` returned.
        if logs is not self._outer_logs:
            return self._inner_epoch(logs)
        self.disarm()
        result = dict(self._inner_epoch(self._inner_logs))
        self._inner_logs = self._outer_logs = None
        return {**result, **self._on_epoch(result)}
