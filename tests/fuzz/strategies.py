"""Hypothesis strategies for inputs that nobody would pass on purpose."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from hypothesis import strategies as st

NUMBERS = st.one_of(
    st.floats(),
    st.floats(-1e3, 1e3),
    st.integers(),
    st.sampled_from([0.0, -0.0, 1e308, -1e308, 5e-324, 10**400, float("nan"), float("inf"), float("-inf")]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=10), inner, max_size=5)),
    max_leaves=20,
)
COLUMN_NAMES = st.one_of(
    st.sampled_from(["loss", "val_loss", "epoch", "step", "learning_rate", "accuracy", "val_accuracy", "lr"]),
    st.text(max_size=12),
)
ANYTHING = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=40),
    st.lists(st.lists(SCALARS, max_size=5), max_size=5),
    st.lists(NUMBERS, max_size=60).map(lambda values: np.array(values, dtype=object)),
    st.binary(max_size=20),
    st.builds(object),
)


def curves() -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Increasing learning rates, and losses of any size."""
    return st.integers(2, 120).flatmap(
        lambda steps: st.tuples(
            st.tuples(st.floats(-300, 0), st.floats(0.001, 20)).map(
                lambda ends: np.logspace(ends[0], ends[0] + ends[1], steps)
            ),
            st.lists(st.one_of(NUMBERS, st.floats(0, 5)), min_size=steps, max_size=steps).map(_floats),
        )
    )


def mutated(tree: Any) -> st.SearchStrategy[Any]:
    """`tree`, a JSON value, with one to four of its nodes replaced, removed or duplicated."""
    return st.lists(
        st.tuples(st.integers(0, 2**16), st.sampled_from(("replace", "remove", "add")), JSON), min_size=1, max_size=4
    ).map(lambda edits: _edited(tree, edits))


def _floats(values: list[Any]) -> np.ndarray:
    return np.array([float(value) if abs(value) < 1e308 else 1e308 for value in values])


def _edited(tree: Any, edits: list[tuple[int, str, Any]]) -> Any:
    tree = copy.deepcopy(tree)
    for place, edit, value in edits:
        holders = list(_holders(tree))
        holder, key = holders[place % len(holders)]
        if edit == "replace":
            holder[key] = value
        elif edit == "remove":
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, value)
        else:
            holder[f"{key}x"] = value
        if not list(_holders(tree)):
            break
    return tree


def _holders(tree: Any) -> Any:
    """Every (container, key) pair below `tree`; of a long container only the first and the last four items."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    for key in keys if len(keys) < 12 else [*keys[:4], *keys[-4:]]:
        yield tree, key
        yield from _holders(tree[key])
