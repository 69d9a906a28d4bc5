"""Words that every section uses."""

from __future__ import annotations

import re
from typing import Any

BADGES = {"clear": "Clear", "tentative": "Tentative", "none": "No answer"}
NO_RATE = "No usable learning rate found"


def verdict(
    *, level: str, lead: str, rest: str, reason: str, badge: str = "", rate: str = "", code: str = ""
) -> dict[str, str]:
    """What the first screen says of a section.

    Args:
        level: "clear", "tentative" or "none"; colours the badge.
        lead: The sentence, up to the learning rate where there is one.
        rest: The sentence after it.
        reason: Why, for the badge.
        badge: Its word; by default the level's.
        rate: The learning rate.
        code: Something to paste.
    """
    return {
        "level": level,
        "badge": badge or BADGES[level],
        "lead": lead,
        "rate": rate,
        "rest": rest,
        "reason": reason,
        "code": code,
    }


def count(number: int, noun: str) -> str:
    """`1 step`, `2 steps`, `20,000 steps`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def sentence(text: str) -> str:
    """`text` with a full stop at its end, where it has any text."""
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def optimizer_call(environment: dict[str, Any], rate: str) -> str:
    """The line to paste: a new optimizer where it is known which, else the rate of the one there is."""
    if optimizer := known(environment, "optimizer", ""):
        return f"keras.optimizers.{optimizer}(learning_rate={rate})"
    return f"model.optimizer.learning_rate = {rate}"


def known(environment: dict[str, Any], name: str, default: str) -> str:
    """An entry that can stand in code: a Python name or a whole number; `default` for anything else."""
    value = environment.get(name)
    if isinstance(value, dict):
        value = value.get("name")
    usable = (isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w{0,60}", value, re.ASCII)) or (
        isinstance(value, int) and not isinstance(value, bool)
    )
    return str(value) if usable else default


def thinning_note(measured: int, kept: int, noun: str) -> str:
    """What was left out of the page's numbers; empty where nothing was."""
    if kept == measured:
        return ""
    return (
        f"Thinned from {count(measured, noun)} to {kept:,} here, in the CSV and in the JSON; each stretch kept its "
        "lowest and highest loss."
    )
