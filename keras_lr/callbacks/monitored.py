"""The value that a callback is told to read from an epoch's logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_lr.errors import ModelError


def check_logged(monitor: str, logs: Mapping[str, Any]) -> None:
    """Refuses the name of a loss that an epoch does not log.

    Raises:
        ModelError: `logs` do not hold it.
    """
    if monitor not in logs:
        raise ModelError(
            f"`monitor` must name a loss in the logs. Received: {monitor!r}; the logs hold {sorted(logs)}. "
            "Name one of these."
        )
