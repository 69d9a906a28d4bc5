"""Random histories, and the sentences about a run that its verdict forbids."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from keras_lr.results import Diagnosis

_LOWER = r"(lower|reduce|decrease|smaller|divide|too high)"
_HIGHER = r"(higher|raise|increase|larger|multiply|too low)"
_GOOD = r"(was|is) good"
_FORBIDDEN = {
    "good": (_LOWER, _HIGHER, "try"),
    "too_high": (_HIGHER, _GOOD),
    "too_low": (_LOWER, _GOOD),
    "not_the_rate": (r"(was|is) too (low|high)", _GOOD, r"\btry a"),
    "unclear": (r"(was|is) too (low|high)", _GOOD, r"\btry a"),
}


def random_run(seed: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The columns of a run of any shape, and what else is known of it."""
    rng = np.random.default_rng([seed, 4])
    epochs = int(rng.integers(3, 60))
    time = np.arange(epochs) / epochs
    level, fall = 10 ** rng.uniform(-2, 3), rng.uniform(0, 1)
    loss = level * (1 - fall + fall * np.exp(-time * 10 ** rng.uniform(-1, 2)))
    shape = rng.integers(6)
    if shape == 1:
        loss = loss * (1 + rng.uniform(0.1, 2) * (np.arange(epochs) % 2))
    elif shape == 2:
        loss = loss * 10 ** (rng.uniform(0, 4) * np.maximum(time - rng.uniform(0, 1), 0))
    elif shape == 3:
        loss = np.full(epochs, level)
    elif shape == 4:
        loss[rng.integers(epochs) :] = rng.choice([np.nan, np.inf])
    loss = loss * (1 + 10 ** rng.uniform(-5, -1) * rng.normal(size=epochs))
    columns = {"loss": loss}
    if rng.random() < 0.6:
        columns["val_loss"] = loss * (1 + rng.uniform(0, 1) * time) + 10 ** rng.uniform(-5, -1) * level * rng.normal(
            size=epochs
        )
    if rng.random() < 0.3:
        columns["accuracy"] = np.clip(1 - loss / (3 * level), 0, 1)
    known: dict[str, Any] = {}
    if rng.random() < 0.7:
        known["learning_rate"] = 10 ** rng.uniform(-7, 1)
    if rng.random() < 0.5:
        known["optimizer"] = str(rng.choice(["adam", "sgd", "momentum", "rmsprop", "lion"]))
    if rng.random() < 0.5:
        known["untrained_loss"] = level * 10 ** rng.uniform(-1, 1)
    if rng.random() < 0.3:
        known["baseline_loss"] = level * rng.uniform(0.5, 1.1)
    return columns, known


def sentences_about_the_rate(text: str) -> list[str]:
    """The sentences that tell what to do about the learning rate, or how it was."""
    sentences = re.split(r"(?<=[.!?])\s+", text)
    return [one for one in sentences if re.search(r"learning rate|\brates?\b", one, re.IGNORECASE)]


def contradictions(diagnosis: Diagnosis, text: str) -> list[str]:
    """The sentences about the rate that its verdict forbids.

    What the usual rates are, what the benchmark showed, and where the optimizer's default lies says nothing of the run.
    """
    told = [
        re.sub(r"(upper|lower) half|far (above|below) the usual", "", one, flags=re.IGNORECASE)
        for one in sentences_about_the_rate(text)
    ]
    forbidden = "|".join(_FORBIDDEN[diagnosis.verdict])
    return [one for one in told if re.search(rf"\b({forbidden})", one, re.IGNORECASE)]
