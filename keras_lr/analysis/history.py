"""Reading a training history from whatever recorded it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_lr.analysis.history_columns import from_columns
from keras_lr.analysis.history_csv import read_csv_columns
from keras_lr.analysis.history_events import read_event_columns
from keras_lr.analysis.history_records import STORED, record_columns
from keras_lr.analysis.history_series import TrainingHistory
from keras_lr.errors import CurveError, InvalidArgumentError
from keras_lr.records.base import Record


def read_history(source: Any) -> TrainingHistory:
    """The history in `source`.

    Args:
        source: A Keras `History`, a dict or DataFrame of columns, an `AutoLRLog` or a `Diagnosis`, or the path of a
            `CSVLogger` file, a JSON file of columns or of one of these records, or a TensorBoard log directory.

    Raises:
        CurveError: There is no history in it that can be judged.
        InvalidArgumentError: `source` is nothing of these.
        ResultFormatError: A stored record has been damaged.
        OSError: The file cannot be read.
    """
    if isinstance(source, TrainingHistory):
        return source
    if isinstance(source, (str, Path)):
        return _filled(_read_path(Path(source)), source)
    if isinstance(source, Record):
        return from_columns(record_columns(source))
    if isinstance(source, pd.DataFrame):
        return from_columns({str(name): source[name].to_numpy() for name in source.columns})
    if isinstance(source, Mapping):
        return from_columns(source)
    columns = getattr(source, "history", None)
    if isinstance(columns, Mapping):
        epochs = getattr(source, "epoch", None)
        named = {"epoch": epochs} if epochs and "epoch" not in columns else {}
        return from_columns({**named, **columns})
    raise InvalidArgumentError(
        f"`source` must be a History, a dict, a DataFrame or a path. "
        f"Received: {type(source).__name__}. Pass what `fit` returned."
    )


def _filled(history: TrainingHistory, path: str | Path) -> TrainingHistory:
    """The history, once it is sure that the file holds one: a column of NaN is also what a broken logger leaves."""
    if np.isnan(history.loss).all():
        raise CurveError(
            f"A history file must have a finite loss. Received: only NaN in `{history.monitor}` of {path}. "
            "If the run really diverged at once, lower its learning rate by 10."
        )
    return history


def _read_path(path: Path) -> TrainingHistory:
    if path.is_dir():
        return from_columns(read_event_columns(path))
    if not path.exists():
        raise FileNotFoundError(f"`source` must be an existing file or directory. Received: {path}.")
    if path.suffix.lower() == ".json":
        return from_columns(_json_columns(path))
    return from_columns(read_csv_columns(path))


def _json_columns(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError) as err:
        raise CurveError(f"`source` must be JSON text. Received: {path}, which is not: {err}. Save it anew.") from err
    if isinstance(data, list) and all(isinstance(row, dict) for row in data):
        return {str(name): column.to_numpy() for name, column in pd.DataFrame(data).items()}
    if isinstance(data, dict):
        # A column may be called "kind" too.
        stored = STORED.get(str(data.get("kind")))
        if stored:
            return record_columns(stored.from_dict(data))
        return data["history"] if isinstance(data.get("history"), dict) else data
    raise CurveError(
        f"`source` must hold an object of columns. Received: {type(data).__name__} in {path}. Save `History.history`."
    )
