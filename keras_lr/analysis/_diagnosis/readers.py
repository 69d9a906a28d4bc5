"""Reading a training history from whatever recorded it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_lr._utils.formatting import format_rate
from keras_lr.analysis._diagnosis.history import TrainingHistory, from_columns
from keras_lr.errors import CurveError, InvalidArgumentError
from keras_lr.results import AutoLRLog, Diagnosis, RangeTestResult, SensitivityResult
from keras_lr.results._record import Record

SEPARATORS = ",;\t|"

PARTS = ("train", "validation")

STORED: dict[str, type[Record]] = {
    record.kind: record for record in (AutoLRLog, Diagnosis, RangeTestResult, SensitivityResult)
}


def read_csv_columns(path: Path) -> dict[str, np.ndarray]:
    """The columns of the file, whichever separator its header shows; beside semicolons a decimal comma is read too.

    Raises:
        CurveError: It is no text, has no header, or a row has more fields than that.
    """
    with path.open("rb") as stream:
        start = stream.read(4096)
    if b"\0" in start:
        raise CurveError(f"`source` must be a text file. Received: {path}, which is binary. Pass the CSVLogger's file.")
    header = start.decode(errors="replace").partition("\n")[0]
    separator = max(SEPARATORS, key=header.count)
    try:
        # Where all rows are longer than the header, pandas would take the first column for an index, or warn.
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            frame = pd.read_csv(
                path, sep=separator, decimal="," if separator == ";" else ".", skipinitialspace=True, index_col=False
            )
    except (pd.errors.ParserWarning, ValueError) as err:
        raise CurveError(
            f"`source` must be a CSV file with a header. Received: {path}: {err} Check that it is whole."
        ) from err
    return {str(name).strip(): frame[name].to_numpy() for name in frame.columns}


def read_event_columns(directory: Path) -> dict[str, np.ndarray]:
    """The columns in `directory` as Keras's `TensorBoard` callback writes them.

    Scalars under `train/` keep their names, those under `validation/` get the prefix `val_`; `epoch_` is dropped.

    Raises:
        CurveError: There are no event files, those of several runs, or no scalars in them.
    """
    files = sorted(directory.rglob("*tfevents*"))
    if not files:
        raise CurveError(
            f"`source` must hold TensorBoard event files. Received: {directory}, which has none. Pass the `log_dir`."
        )
    runs = sorted({file.parent.parent if file.parent.name in PARTS else file.parent for file in files})
    if len(runs) > 1:
        raise CurveError(
            f"`source` must hold one run. Received: {directory}, with {len(runs)}, such as {runs[0]}. "
            "Pass one of these."
        )
    scalars: dict[str, dict[int, float]] = {}
    for file in files:
        prefix = "val_" if file.parent.name == "validation" else ""
        for name, step, value in _scalars(file):
            scalars.setdefault(prefix + name.removeprefix("epoch_"), {})[step] = value
    if not scalars:
        raise CurveError(
            f"`source` must hold scalars. Received: {directory}, whose event files have none. Log the loss."
        )
    steps = sorted(scalars.get("loss", {}) or {step for series in scalars.values() for step in series})
    columns = {name: np.array([series.get(step, np.nan) for step in steps]) for name, series in scalars.items()}
    return {"epoch": np.array(steps, dtype=np.float64), **columns}


def _scalars(file: Path) -> Iterator[tuple[str, int, float]]:
    import tensorflow

    try:
        for record in tensorflow.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tensorflow.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                number = _scalar(tensorflow, value)
                if number is not None:
                    yield value.tag, int(event.step), number
    except tensorflow.errors.DataLossError:
        # A killed writer leaves a cut last record; what stands before it is sound.
        return


def _scalar(tensorflow: Any, value: Any) -> float | None:
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if value.HasField("tensor") and value.tensor.dtype == tensorflow.float32.as_datatype_enum:
        array = tensorflow.make_ndarray(value.tensor)
        return float(array) if array.ndim == 0 else None
    return None


def record_columns(record: Record) -> Mapping[str, Any]:
    """The columns of a run that a record holds: an `AutoLRLog`, or a `Diagnosis` to judge anew.

    Raises:
        InvalidArgumentError: The record is not of a single run.
    """
    if isinstance(record, AutoLRLog):
        return {str(name): column.to_numpy() for name, column in record.to_frame().items()}
    if isinstance(record, Diagnosis):
        return _diagnosed(record)
    if isinstance(record, RangeTestResult):
        raise InvalidArgumentError(
            "`source` must be a training run. Received: a RangeTestResult, whose every step had another learning rate. "
            "Read its `suggestion`."
        )
    raise InvalidArgumentError(
        f"`source` must be one training run. Received: {type(record).__name__}. "
        "Pass a search's result to `analyze_histories`."
    )


def sensitivity_runs(result: SensitivityResult) -> dict[str, pd.DataFrame]:
    """Each run of a search by a name such as "3e-4, repeat 0"; those that failed or were pruned are left out."""
    keys = ["learning_rate", "repeat", "batch_size"]
    sizes = result.frame["batch_size"].nunique()
    runs = {}
    for (_, repeat, size), run in result.frame.groupby(keys, sort=True):
        if run["status"].isin(["ok", "diverged"]).all():
            name = f"{format_rate(run['learning_rate'].iloc[0], digits=3)}, repeat {repeat}"
            name += f", batch size {size}" if sizes > 1 else ""
            runs[name] = run[["epoch", "loss", "val_loss", "learning_rate"]].reset_index(drop=True)
    return runs


def _diagnosed(diagnosis: Diagnosis) -> Mapping[str, Any]:
    named = {
        diagnosis.unit: diagnosis.epochs,
        # What was judged is a loss even where its name is a metric's: it was negated then.
        "loss": diagnosis.losses,
        "val_loss": diagnosis.val_losses,
        "learning_rate": diagnosis.learning_rates,
    }
    return {name: np.array(values, dtype=np.float64) for name, values in named.items() if len(values)}


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
