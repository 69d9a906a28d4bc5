"""Reading a training history from whatever recorded it: Keras, files, TensorBoard logs and this package's results."""

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

CSV_SEPARATORS = ",;\t|"
# Enough of a file to hold its header, and to tell text from binary.
HEADER_BYTES = 4096
# Subfolders in which the `TensorBoard` callback puts the two parts of one run.
TENSORBOARD_PARTS = ("train", "validation")
RECORDS: dict[str, type[Record]] = {
    record.kind: record for record in (AutoLRLog, Diagnosis, RangeTestResult, SensitivityResult)
}


def read_history(source: Any) -> TrainingHistory:
    """The training history in `source`.

    Args:
        source: A Keras `History`, a dict or DataFrame of columns, an `AutoLRLog` or a `Diagnosis`, or a path: of a
            `CSVLogger` file, a JSON file with columns or one of these results, or a TensorBoard log directory.

    Raises:
        CurveError: `source` holds no history that can be judged.
        InvalidArgumentError: `source` is none of these.
        ResultFormatError: A stored result is damaged.
        OSError: The file cannot be read.
    """
    if isinstance(source, TrainingHistory):
        return source
    if isinstance(source, (str, Path)):
        return _read_path(Path(source))
    if isinstance(source, Record):
        return _from_record(source)
    if isinstance(source, pd.DataFrame):
        return from_columns(_frame_columns(source))
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


def search_runs(result: SensitivityResult) -> dict[str, pd.DataFrame]:
    """The runs of a search by names such as "3e-4, repeat 0", without those that failed or were pruned."""
    keys = ["learning_rate", "repeat", "batch_size"]
    batch_sizes = result.frame["batch_size"].nunique()
    runs = {}
    for (_, repeat, batch_size), run in result.frame.groupby(keys, sort=True):
        if run["status"].isin(["ok", "diverged"]).all():
            name = f"{format_rate(run['learning_rate'].iloc[0], digits=3)}, repeat {repeat}"
            name += f", batch size {batch_size}" if batch_sizes > 1 else ""
            runs[name] = run[["epoch", "loss", "val_loss", "learning_rate"]].reset_index(drop=True)
    return runs


def _read_path(path: Path) -> TrainingHistory:
    if path.is_dir():
        history = from_columns(_read_event_files(path))
    elif not path.exists():
        raise FileNotFoundError(f"`source` must be an existing file or directory. Received: {path}. Check the path.")
    elif path.suffix.lower() == ".json":
        history = _read_json(path)
    else:
        history = from_columns(_read_csv(path))
    # In memory, a loss that is always NaN is a run that diverged at once; in a file it may be a broken logger.
    if np.isnan(history.values).all():
        raise CurveError(
            f"A history file must have a finite loss. Received: only NaN in `{history.monitor}` of {path}. "
            "If the run really diverged in its first epoch, divide its learning rate by 10."
        )
    return history


def _read_csv(path: Path) -> dict[str, np.ndarray]:
    """The columns of a CSV file, with the separator that its header shows; with semicolons, a comma is decimal.

    Raises:
        CurveError: The file is not text, has no header, or has a row with more fields than the header.
    """
    with path.open("rb") as stream:
        start = stream.read(HEADER_BYTES)
    if b"\0" in start:
        raise CurveError(
            f"`source` must be a text file. Received: {path}, which is binary. Pass the file that `CSVLogger` wrote."
        )
    header = start.decode(errors="replace").partition("\n")[0]
    separator = max(CSV_SEPARATORS, key=header.count)
    try:
        # If all rows are longer than the header, pandas would take the first column for an index, or warn.
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            frame = pd.read_csv(
                path, sep=separator, decimal="," if separator == ";" else ".", skipinitialspace=True, index_col=False
            )
    except (pd.errors.ParserWarning, ValueError) as err:
        received = str(err).rstrip(".\n")
        raise CurveError(
            f"`source` must be a CSV file with a header. Received: {path}: {received}. Check that the file is complete."
        ) from err
    return {name.strip(): column for name, column in _frame_columns(frame).items()}


def _read_event_files(directory: Path) -> dict[str, np.ndarray]:
    """The scalars that Keras's `TensorBoard` callback wrote under `directory`.

    Scalars of the validation part get the prefix `val_`; the prefix `epoch_` is dropped.

    Raises:
        CurveError: There are no event files, no scalars in them, or they belong to several runs.
    """
    files = sorted(directory.rglob("*tfevents*"))
    if not files:
        raise CurveError(
            f"`source` must hold TensorBoard event files. Received: {directory}, which has none. "
            "Pass the callback's `log_dir`."
        )
    runs = sorted({file.parent.parent if file.parent.name in TENSORBOARD_PARTS else file.parent for file in files})
    if len(runs) > 1:
        raise CurveError(
            f"`source` must hold one run. Received: {directory}, with {len(runs)}, such as {runs[0]}. "
            "Pass one of these."
        )
    scalars: dict[str, dict[int, float]] = {}
    for file in files:
        prefix = "val_" if file.parent.name == "validation" else ""
        for name, step, value in _event_scalars(file):
            scalars.setdefault(prefix + name.removeprefix("epoch_"), {})[step] = value
    if not scalars:
        raise CurveError(
            f"`source` must hold scalars. Received: {directory}, whose event files have none. Log the loss as a scalar."
        )
    steps = sorted(scalars.get("loss", {}) or {step for series in scalars.values() for step in series})
    columns = {name: np.array([series.get(step, np.nan) for step in steps]) for name, series in scalars.items()}
    return {"epoch": np.array(steps, dtype=np.float64), **columns}


def _event_scalars(file: Path) -> Iterator[tuple[str, int, float]]:
    """Name, step and value of each scalar in an event file."""
    import tensorflow

    try:
        for record in tensorflow.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tensorflow.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                number = _scalar(tensorflow, value)
                if number is not None:
                    yield value.tag, int(event.step), number
    except tensorflow.errors.DataLossError:
        # A writer that was killed leaves its last record incomplete; the records before it are sound.
        return


def _scalar(tensorflow: Any, value: Any) -> float | None:
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if value.HasField("tensor") and value.tensor.dtype == tensorflow.float32.as_datatype_enum:
        array = tensorflow.make_ndarray(value.tensor)
        return float(array) if array.ndim == 0 else None
    return None


def _read_json(path: Path) -> TrainingHistory:
    """The history in a JSON file: columns by name, a list of rows, `{"history": columns}`, or a stored result."""
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError) as err:
        raise CurveError(
            f"`source` must be JSON text. Received: {path}, which is not: {err}. Save the file again."
        ) from err
    if isinstance(data, list) and all(isinstance(row, dict) for row in data):
        return from_columns(_frame_columns(pd.DataFrame(data)))
    if isinstance(data, dict):
        # A history may have a column called "kind" too.
        record = RECORDS.get(str(data.get("kind")))
        if record:
            return _from_record(record.from_dict(data))
        return from_columns(data["history"] if isinstance(data.get("history"), dict) else data)
    raise CurveError(
        f"`source` must hold a JSON object of columns. Received: {type(data).__name__} in {path}. "
        "Save `History.history`."
    )


def _from_record(record: Record) -> TrainingHistory:
    """The history in a result of this package.

    Raises:
        InvalidArgumentError: The result is not of a single training run.
    """
    if isinstance(record, AutoLRLog):
        return from_columns(_frame_columns(record.to_frame()))
    if isinstance(record, Diagnosis):
        return _from_diagnosis(record)
    if isinstance(record, RangeTestResult):
        raise InvalidArgumentError(
            "`source` must be a training run. Received: a RangeTestResult, in which every step has another learning "
            "rate. Read its `suggestion`."
        )
    raise InvalidArgumentError(
        f"`source` must be one training run. Received: {type(record).__name__}. "
        "Pass the result of a search to `analyze_histories`."
    )


def _from_diagnosis(diagnosis: Diagnosis) -> TrainingHistory:
    series = {
        diagnosis.unit: diagnosis.epochs,
        "learning_rate": diagnosis.learning_rates,
        diagnosis.monitor: diagnosis.losses,
        f"val_{diagnosis.monitor}": diagnosis.val_losses,
    }
    columns = {name: np.array(values, dtype=np.float64) for name, values in series.items() if len(values)}
    columns.setdefault(diagnosis.monitor, np.empty(0))
    return from_columns(columns, monitor=diagnosis.monitor, direction=diagnosis.direction)


def _frame_columns(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    return {str(name): frame[name].to_numpy() for name in frame.columns}
