"""What the records of a search come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd

from keras_lr.analysis.sensitivity import sensitivity_result
from keras_lr.records.sensitivity import SensitivityResult
from keras_lr.search.tiers.base import TIERS


def outcome(
    frame: pd.DataFrame, lines: Sequence[dict[str, Any]], *, objective: str, direction: Literal["min", "max"]
) -> SensitivityResult:
    """The result; where runs were trained in several ways, it names the slowest.

    Args:
        frame: The rows of `lines`, at least one.
        lines: Lines of the journals.
        objective: Name of the value that is judged.
        direction: "min" or "max".
    """
    tiers = [line for line in lines if line.get("event") == "tier"]
    nothing: dict[str, Any] = {"tier": "rebuild"}
    slowest = max(tiers, key=lambda line: TIERS.index(line["tier"]), default=nothing)
    return sensitivity_result(
        frame,
        objective=objective,
        direction=direction,
        tier=slowest["tier"],
        tier_reason=slowest.get("reason", ""),
        environment=slowest.get("environment"),
    )
