"""Reading the scalars of a TensorBoard log directory with TensorFlow's record reader, loaded only here."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_lr.errors import CurveError

PARTS = ("train", "validation")


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
    tensorflow: Any = importlib.import_module("tensorflow")
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
