"""How a worker's calls are named, so that KerasTuner's protocol can also carry signs of life.

A worker may hold several points of the grid at once; it asks for each as `NAME#0`, `NAME#1`, ..., since KerasTuner's
oracle gives one trial to a tuner's name. A call as `NAME#alive` asks for nothing and only shows that the worker lives.
"""

from __future__ import annotations

from keras_tuner.src.engine.trial import TrialStatus

IDLE, STOPPED = TrialStatus.IDLE, TrialStatus.STOPPED
_ALIVE = "alive"


def owner_of(tuner_id: str) -> str:
    """The worker's own name."""
    return tuner_id.rpartition("#")[0] or tuner_id


def sign_of_life(owner: str) -> str:
    """The name under which a worker shows that it lives."""
    return f"{owner}#{_ALIVE}"


def shows_life(tuner_id: str) -> bool:
    """Whether a call is a sign of life and asks for nothing."""
    return tuner_id.endswith(f"#{_ALIVE}")
