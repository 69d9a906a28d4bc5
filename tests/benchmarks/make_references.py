"""Writes `references.json`: a quadratic minimized by optax's Prodigy and Mechanic. Needs JAX and optax; run by hand."""

from __future__ import annotations

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax

STEPS, KEPT = 150, 10
"""Length of a run; every how many of its steps are written."""

START = {"a": [3.0, -2.0, 0.5], "b": [[1.0, -1.0], [0.25, 4.0]]}
CURVATURE = {"a": [1.0, 10.0, 0.1], "b": [[2.0, 0.5], [5.0, 1.0]]}
COSINE = [float(0.5 * (1 + np.cos(np.pi * step / STEPS))) for step in range(STEPS)]


def trajectory(optimizer: optax.GradientTransformation) -> dict[str, list]:
    curvature = {name: jnp.asarray(value) for name, value in CURVATURE.items()}
    weights = {name: jnp.asarray(value) for name, value in START.items()}
    state = optimizer.init(weights)
    seen: dict[str, list] = {name: [] for name in weights}
    for step in range(STEPS):
        # A gradient with a swing of its own, so that the steps are not all of one sign.
        grads = {name: curvature[name] * (weights[name] - 1) + np.sin(2.1 * step) for name in weights}
        updates, state = optimizer.update(grads, state, weights)
        weights = optax.apply_updates(weights, updates)
        for name, value in weights.items() if (step + 1) % KEPT == 0 else ():
            seen[name].append(np.asarray(value, dtype=np.float64).tolist())
    return seen


def main() -> None:
    rates = jnp.asarray(COSINE)
    adamw = optax.adamw(lambda step: rates[step], weight_decay=0.004)
    found = {
        "start": START,
        "curvature": CURVATURE,
        "cosine": COSINE,
        "kept": KEPT,
        "Prodigy": trajectory(optax.contrib.prodigy(lambda step: rates[step])),
        "Mechanic": trajectory(optax.contrib.mechanize(adamw)),
    }
    (Path(__file__).parent / "references.json").write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
