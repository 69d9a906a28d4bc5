"""The environment of a run as rows of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_LABELS = {
    "cpus": "CPUs",
    "cuda": "CUDA",
    "cuda_version": "CUDA",
    "cudnn_version": "cuDNN",
    "gpus": "GPUs",
    "jit_compile": "XLA (jit_compile)",
    "keras": "Keras",
    "keras_lr": "keras_lr",
    "keras_lr_version": "keras_lr",
    "keras_version": "Keras",
    "numpy": "NumPy",
    "python": "Python",
    "python_version": "Python",
    "tensorflow": "TensorFlow",
    "tensorflow_version": "TensorFlow",
    "xla": "XLA",
}
_VALUES = {"_DefaultDistributionStrategy": "none, one device"}


def environment_rows(environment: Mapping[str, Any]) -> list[dict[str, str]]:
    """One `label` and `value` a fact, in the order given; what is None or an empty text is left out."""
    rows = ({"label": _label(str(name)), "value": _value(value)} for name, value in environment.items())
    return [row for row in rows if row["value"]]


def shared_environments(sections: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows that all sections have in common, once, and then what each has of its own, under its heading."""
    stated = [section for section in sections if section["environment"]]
    if not stated:
        return []
    common = [row for row in stated[0]["environment"] if all(row in section["environment"] for section in stated)]
    parts = [{"heading": "", "rows": common}]
    for section in stated:
        own = [row for row in section["environment"] if row not in common]
        parts.append({"heading": section["heading"], "rows": own})
    return [part for part in parts if part["rows"]]


def _label(name: str) -> str:
    words = name.replace("_", " ").strip()
    return _LABELS.get(name) or words[:1].upper() + words[1:]


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_label(str(name))}: {_value(item)}" for name, item in value.items() if _value(item))
    if isinstance(value, (list, tuple)):
        return "; ".join(filter(None, map(_value, value))) or "none"
    return _VALUES.get(str(value), str(value))
