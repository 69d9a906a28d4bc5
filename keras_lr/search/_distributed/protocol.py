"""Which part a process plays in a search over several processes, and how work is cut for it.

KerasTuner's own environment variables decide: `KERASTUNER_TUNER_ID` (`chief`, or any other name of this process alone),
`KERASTUNER_ORACLE_IP` and `KERASTUNER_ORACLE_PORT` (where the chief listens). The chief gives out work and trains
nothing. Numbers do not travel: each worker writes its own journal into the project's folder, which all must share.
"""

from __future__ import annotations

import math
import os
from typing import Literal

from keras_lr.errors import InvalidArgumentError
from keras_lr.search._keras_tuner import TrialStatus, roles

WORKERS_VARIABLE = "KERAS_LR_WORKERS"
"""How many workers share the grid; 2 where it is not set."""

STALE_VARIABLE = "KERAS_LR_STALE_SECONDS"
"""After so long without a sign of life, which a worker gives every two seconds, its work goes to another; 60 s."""

MAX_POINTS_AN_ITEM = 32
"""So much is trained again at most when a worker dies."""

Role = Literal["alone", "chief", "worker"]

IDLE, STOPPED = TrialStatus.IDLE, TrialStatus.STOPPED
_ALIVE = "alive"


def role() -> Role:
    """The part this process plays.

    Raises:
        InvalidArgumentError: Only some of KerasTuner's three variables are set.
    """
    try:
        if not roles.has_chief_oracle():
            return "alone"
    except RuntimeError as err:
        raise InvalidArgumentError(f"{err} Set all three variables, or none.") from err
    return "chief" if roles.is_chief_oracle() else "worker"


def claim_size(open_points: int) -> int:
    """How many points of the grid a worker takes at a time: an even share, so that it can train them as one program.

    Args:
        open_points: Points that nobody has finished or taken.

    Returns:
        At least 1, at most `MAX_POINTS_AN_ITEM`.

    Raises:
        InvalidArgumentError: `KERAS_LR_WORKERS` is not a whole number of at least 1.
    """
    workers = _whole_number(WORKERS_VARIABLE, default="2", least=1, mend="Count the workers.")
    return min(MAX_POINTS_AN_ITEM, max(1, math.ceil(open_points / workers)))


def stale_seconds() -> float:
    """How long a worker may be silent before its work goes to another, in seconds.

    Raises:
        InvalidArgumentError: `KERAS_LR_STALE_SECONDS` is not a whole number of at least 5.
    """
    return float(_whole_number(STALE_VARIABLE, default="60", least=5, mend="Leave it out for 60."))


def _whole_number(variable: str, *, default: str, least: int, mend: str) -> int:
    """The environment variable as a number; raises `InvalidArgumentError` where it is none of at least `least`."""
    text = os.environ.get(variable, default)
    if not text.isdecimal() or int(text) < least:
        raise InvalidArgumentError(
            f"`{variable}` must be a whole number of at least {least}. Received: {text!r}. {mend}"
        )
    return int(text)


def owner_of(tuner_id: str) -> str:
    """The worker's own name."""
    return tuner_id.rpartition("#")[0] or tuner_id


def heartbeat_id(owner: str) -> str:
    """The name under which a worker shows that it lives."""
    return f"{owner}#{_ALIVE}"


def is_heartbeat(tuner_id: str) -> bool:
    """Whether a call is a sign of life and asks for nothing."""
    return tuner_id.endswith(f"#{_ALIVE}")
