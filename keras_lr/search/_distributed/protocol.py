"""What the processes of a search have agreed on: their roles, the size of a claim, and heartbeats.

KerasTuner's environment variables define the role: `KERASTUNER_TUNER_ID` (`chief`, or a unique name for a worker),
`KERASTUNER_ORACLE_IP` and `KERASTUNER_ORACLE_PORT` (the chief's address). The chief assigns work and trains nothing.
Results are not sent: each worker writes its own journal in the folder of the search, which all processes share.
"""

from __future__ import annotations

import math
import os
from typing import Literal

from keras_lr._utils.validation import whole_number
from keras_lr.errors import InvalidArgumentError
from keras_lr.search._keras_tuner import TrialStatus, roles

WORKERS_VARIABLE = "KERAS_LR_WORKERS"
"""Number of workers that share the grid (default 2)."""

STALE_VARIABLE = "KERAS_LR_STALE_SECONDS"
"""Seconds without a heartbeat before a worker's points are reassigned (default 60)."""

MAX_POINTS_PER_CLAIM = 32
"""Upper bound on the points lost when a worker dies."""

Role = Literal["alone", "chief", "worker"]

IDLE, STOPPED = TrialStatus.IDLE, TrialStatus.STOPPED
_ALIVE = "alive"


def role() -> Role:
    """The role of this process.

    Raises:
        InvalidArgumentError: Some but not all of KerasTuner's three variables are set.
    """
    try:
        if not roles.has_chief_oracle():
            return "alone"
    except RuntimeError as err:
        raise InvalidArgumentError(f"{err} Set all three variables, or none.") from err
    return "chief" if roles.is_chief_oracle() else "worker"


def claim_size(open_points: int) -> int:
    """Number of points that a worker claims at a time: an even share, which it can train as one program.

    Args:
        open_points: Number of points that are not done.

    Returns:
        At least 1, at most `MAX_POINTS_PER_CLAIM`.

    Raises:
        InvalidArgumentError: `KERAS_LR_WORKERS` is not an integer >= 1.
    """
    workers = _integer(WORKERS_VARIABLE, default="2", least=1, remedy="Set it to the number of workers.")
    return min(MAX_POINTS_PER_CLAIM, max(1, math.ceil(open_points / workers)))


def stale_seconds() -> float:
    """Seconds without a heartbeat before a worker's points are reassigned.

    Raises:
        InvalidArgumentError: `KERAS_LR_STALE_SECONDS` is not an integer >= 5.
    """
    return float(_integer(STALE_VARIABLE, default="60", least=5, remedy="Unset it for the default of 60."))


def _integer(variable: str, *, default: str, least: int, remedy: str) -> int:
    """The value of an environment variable; raises `InvalidArgumentError` unless it is an integer >= `least`."""
    text = os.environ.get(variable, default)
    return whole_number(variable, int(text) if text.isdecimal() else text, least=least, remedy=remedy)


def owner_of(tuner_id: str) -> str:
    """Name of the process that claims under `tuner_id`, which may end in "#" and the number of the claim."""
    return tuner_id.rpartition("#")[0] or tuner_id


def heartbeat_id(owner: str) -> str:
    """The tuner id under which a worker sends heartbeats."""
    return f"{owner}#{_ALIVE}"


def is_heartbeat(tuner_id: str) -> bool:
    """Whether a call is a heartbeat, which claims no point."""
    return tuner_id.endswith(f"#{_ALIVE}")
