"""Reading a training history from whatever recorded it.

What a file holds (see `files`), or an object in memory, is a document: a JSON object, a list of rows or named columns.
It is rearranged step by step until it is the named columns of a run. Each known form is one row of `DOCUMENT_FORMS`, or
of `FILE_FORMS` in `files`: how it is recognised, and one function.
"""

from __future__ import annotations

import functools
import html.parser
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_lr._utils.formatting import format_rate
from keras_lr.analysis._diagnosis.files import (
    Form,
    Runs,
    columns_of_rows,
    is_rows,
    read_path,
    without_blanks,
)
from keras_lr.analysis._diagnosis.history import CONTEXT, TrainingHistory, from_columns, with_known
from keras_lr.analysis._diagnosis.printed import printed_history, shows_fit, shows_rows
from keras_lr.analysis._diagnosis.table import (
    TRAINING_WORDS,
    VALIDATION_WORDS,
    counter_kind,
    is_learning_rate,
    is_validation,
    kind_of,
    words,
)
from keras_lr.errors import CurveError, InvalidArgumentError
from keras_lr.results import AutoLRLog, Diagnosis, RangeTestResult, SensitivityResult
from keras_lr.results._record import Record

# Under one of these names, an object holds its history beside other fields.
WRAPPERS = ("history", "log_history", "metrics")
# Columns of a table with one value per row, and of the run that it belongs to.
NAME_COLUMNS = ("key", "metric", "name", "tag")
RUN_COLUMNS = ("run_id", "run_uuid", "run id", "run", "run_name", "run name")
# A column that says for each row on which data it was measured.
DATA_COLUMNS = ("mode", "split", "phase", "stage", "subset", "dataset", "set", "data")
# Columns of a table with one row per run.
SUMMARY_COLUMNS = ({"run_id", "experiment_id"}, {"run id", "start time"}, {"name", "created"})
# What fastai and Hugging Face call the losses of a table whose other columns are metrics of validation data.
EVALUATED_COLUMNS = ({"epoch", "train_loss", "valid_loss", "time"}, {"training loss", "validation loss"})
# So many rows with distinct names, most of them without a digit, are no epochs.
MIN_THINGS = 5
# W&B adds the extremes of each series to the download of a chart.
EXTREMES = re.compile(r"__(MIN|MAX)$")

RECORDS: dict[str, type[Record]] = {
    record.kind: record for record in (AutoLRLog, Diagnosis, RangeTestResult, SensitivityResult)
}


def read_history(
    source: Any, *, run: str | int | None = None, validation_freq: int | Iterable[int] | None = None
) -> TrainingHistory:
    """The training history in `source`.

    Args:
        source: What `analyze_history` takes.
        run: Which of several runs to read, by its name or number; by default the last, if epochs start over.
        validation_freq: As given to `fit`; needed if the lengths do not show which epochs were validated.

    Raises:
        CurveError: `source` holds no history that can be judged, or several runs side by side.
        InvalidArgumentError: `source` is none of these, or there is no such run.
        ResultFormatError: A stored result is damaged.
        OSError: The file cannot be read.
    """
    if isinstance(source, TrainingHistory):
        return source
    return _history_in(_arranged(_loaded(source)), source, run=run, validation_freq=validation_freq)


def readable_runs(source: Any) -> dict[str | None, Callable[[], TrainingHistory]]:
    """What reads each run that stands side by side with others in `source`, by its name; None names a single run.

    Args:
        source: What `read_history` takes.

    Raises:
        CurveError: `source` holds no history that can be judged.
        OSError: The file cannot be read.
    """
    document = _arranged(_loaded(source))
    names = list(document.columns) if isinstance(document, Runs) and len(document.columns) > 1 else [None]
    return {name: functools.partial(_history_in, document, source, run=name) for name in names}


def _history_in(
    document: Any,
    source: Any,
    *,
    run: str | int | None = None,
    validation_freq: int | Iterable[int] | None = None,
) -> TrainingHistory:
    """The history in the arranged document that was read from `source`."""
    if isinstance(document, Record):
        return _from_record(document)
    if isinstance(document, Runs):
        document, run = _chosen(document, run, source)
    return with_known(from_columns(document, run=run, validation_freq=validation_freq), _known_beside(source))


def _known_beside(source: Any) -> dict[str, Any]:
    """What a callback of this package has stored beside its series, or the model of a Keras `History` shows.

    A `History` is asked for its model only if the model has not been trained further since.
    """
    stored = getattr(source, "known", None)
    if isinstance(stored, Mapping):
        return {name: stored[name] for name in CONTEXT if name in stored}
    model = getattr(source, "model", None)
    if model is None or getattr(model, "history", None) is not source:
        return {}
    loss = getattr(model, "loss", None)
    one = isinstance(loss, str) or (callable(loss) and (hasattr(loss, "__name__") or hasattr(loss, "reduction")))
    optimizer = getattr(model, "optimizer", None)
    # A model with a `train_step` of its own may train with other optimizers than the compiled one.
    idle = int(getattr(optimizer, "iterations", 1)) == 0
    return {**({} if idle else {"optimizer": optimizer}), **({"loss": loss} if one else {})}


def search_runs(result: SensitivityResult) -> dict[str, TrainingHistory]:
    """The runs of a search by names such as "3e-4, repeat 0", without those that failed or were pruned."""
    known = {name: result.known[name] for name in CONTEXT if result.known.get(name) is not None}
    keys = ["learning_rate", "repeat", "batch_size"]
    batch_sizes = result.frame["batch_size"].nunique()
    runs = {}
    for (_, repeat, batch_size), run in result.frame.groupby(keys, sort=True):
        if run["status"].isin(["ok", "diverged"]).all():
            name = f"{format_rate(run['learning_rate'].iloc[0], digits=3)}, repeat {repeat}"
            name += f", batch size {batch_size}" if batch_sizes > 1 else ""
            frame = run[["epoch", "loss", "val_loss", "learning_rate"]].reset_index(drop=True)
            runs[name] = with_known(read_history(frame), known)
    return runs


def _loaded(source: Any) -> Any:
    """The source as a record, a mapping, a list of rows or `Runs`."""
    if isinstance(source, (str, Path)):
        return read_path(Path(source))
    if isinstance(source, (Record, Mapping)):
        return source
    if isinstance(source, pd.DataFrame):
        return _frame_columns(source)
    if is_rows(source):
        return source
    log, result = getattr(source, "log", None), getattr(source, "sensitivity", None)
    if isinstance(log, AutoLRLog):
        return log
    if callable(result):
        return result()
    columns = getattr(source, "history", None)
    if isinstance(columns, Mapping):
        epochs = getattr(source, "epoch", None)
        named = {"epoch": epochs} if epochs and "epoch" not in columns else {}
        return {**named, **columns}
    rows = getattr(source, "log_history", None)
    if is_rows(rows):
        return rows
    raise InvalidArgumentError(
        f"`source` must be a History, a dict, a DataFrame or a path. "
        f"Received: {type(source).__name__}. Pass what `fit` returned."
    )


def _arranged(document: Any) -> Any:
    """The document as a record, as named columns or as `Runs`; unchanged if it is of no known form."""
    while form := next((form for form in DOCUMENT_FORMS if form.recognise(document)), None):
        document = form.read(document)
    return document


def _chosen(runs: Runs, run: str | int | None, source: Any) -> tuple[Mapping[str, Any], str | int | None]:
    """The columns of one of several runs, and which of the runs within it to read."""
    names = list(runs.columns)
    name, within = run, None
    if len(names) == 1 and run not in names:
        name, within = names[0], run
    elif isinstance(run, int) and 1 <= run <= len(names):
        name = names[run - 1]
    if name is None:
        place = source if isinstance(source, (str, Path)) else type(source).__name__
        raise CurveError(
            f"`source` must hold one run. Received: {place}, with {len(names)}, such as {names[0]}. "
            "Pass one of these, or its name as `run`."
        )
    if name not in names:
        raise InvalidArgumentError(f"`run` must be one of {names[:12]}. Received: {run!r}. Choose one of these runs.")
    columns = runs.columns[str(name)]
    return columns() if callable(columns) else columns, within


def _frame_columns(frame: pd.DataFrame) -> dict[str, Any]:
    """The columns of a DataFrame, and its index if that has a name.

    pandas reads a blank cell as NaN. So a NaN counts as logged only at the end of a series, because a loss that is NaN
    stays NaN, and only in a row of training: not beside a validation value, or beside a series that is never logged
    together with this one.
    """
    if frame.index.name is not None and frame.index.name not in frame.columns:
        frame = frame.reset_index()
    columns = {str(name): without_blanks(frame[name]) for name in frame.columns}
    known = {name: np.isfinite(np.ma.filled(column, np.nan)) for name, column in columns.items() if _is_real(column)}
    for name in known:
        column = columns[name]
        if isinstance(column, np.ma.MaskedArray):
            blank = np.arange(column.size) < np.flatnonzero(known[name]).max(initial=-1)
            for other, rows in known.items():
                if is_validation(other) or (known[name].any() and not (rows & known[name]).any()):
                    blank |= rows
            columns[name] = np.ma.masked_array(column.data, mask=column.mask & blank)
    return columns


def _is_real(column: Any) -> bool:
    return isinstance(column.dtype, np.dtype) and column.dtype.kind == "f"


class _Tables(html.parser.HTMLParser):
    """The cells of all table rows, in order; the first row of a table is its header."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        self._open = tag in ("td", "th") and bool(self.tables and self.tables[-1])
        if self._open:
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.tables[-1][-1][-1] += data.strip()


def _html_rows(text: str) -> list[dict[str, str]]:
    """The rows of every table that counts and has a loss, as fastai and Hugging Face show them."""
    parser = _Tables()
    parser.feed(text)
    rows = []
    for header, *body in filter(None, parser.tables):
        if any(map(counter_kind, header)) and any("loss" in words(name) for name in header):
            rows += [dict(zip(header, row, strict=False)) for row in body]
    return rows


def _wrapped(document: Any) -> Any:
    """The history that an object holds beside other fields, such as Hugging Face's `trainer_state.json`.

    Under another name than those of `WRAPPERS`, it is the only field with a series that can be judged.
    """
    if not isinstance(document, Mapping):
        return None
    inner = {name: document[name] for name in WRAPPERS if name in document}
    if found := next((value for value in inner.values() if is_rows(value) or _is_columns(value)), None):
        return found
    if any(kind_of(str(name)) for name in document) or _is_evaluation(document):
        return None
    judged = [value for value in document.values() if _holds_series(value)]
    return judged[0] if len(judged) == 1 else None


def _holds_series(value: Any) -> bool:
    """Whether this is a list of rows, or columns, with a series that can be judged."""
    columns = columns_of_rows(value) if is_rows(value) else value
    return isinstance(columns, Mapping) and any(
        isinstance(values, list) and kind_of(str(name)) for name, values in columns.items()
    )


def _is_columns(document: Any) -> bool:
    return isinstance(document, Mapping) and any(isinstance(values, (list, Mapping)) for values in document.values())


def _is_notebook(document: Any) -> bool:
    return isinstance(document, Mapping) and "nbformat" in document


def _read_notebook(notebook: Mapping[str, Any]) -> Any:
    """The history that the output cells of a notebook show: the console text of `fit`, else tables, else other text.

    Raises:
        CurveError: The notebook shows no history.
    """
    outputs = [_mappings(cell.get("outputs")) for cell in _cells(notebook)]
    code = "\n".join(_joined(cell.get("source", cell.get("input"))) for cell in _cells(notebook) if "outputs" in cell)
    console = "\n".join("".join(_joined(output.get("text")) for output in cell) for cell in outputs)
    if shows_fit(console):
        return printed_history(console, code)
    rows = [row for cell in outputs for output in cell for row in _html_rows(_page(output))]
    if not rows and shows_rows(console):
        return printed_history(console, code)
    if not rows:
        raise CurveError(
            "The notebook must show the epochs of a `fit` in an output cell. Received: none. "
            "Run it with `verbose=2` and save the notebook with its outputs."
        )
    return rows


def _cells(notebook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The cells in order; before version 4 of the format they are in worksheets."""
    return [
        cell for sheet in (notebook, *_mappings(notebook.get("worksheets"))) for cell in _mappings(sheet.get("cells"))
    ]


def _page(output: Mapping[str, Any]) -> str:
    """The HTML of an output."""
    data = next(iter(_mappings([output.get("data")])), output)
    return _joined(data.get("text/html", data.get("html")))


def _mappings(items: Any) -> list[Mapping[str, Any]]:
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []


def _joined(text: Any) -> str:
    return "".join(part for part in (text if isinstance(text, list) else [text]) if isinstance(part, str))


def _is_kaggle_log(document: Any) -> bool:
    return is_rows(document) and all("stream_name" in row and isinstance(row.get("data"), str) for row in document)


def _read_kaggle_log(lines: list[Mapping[str, Any]]) -> Any:
    return printed_history("".join(line["data"] for line in lines))


def _is_evaluation(document: Any) -> bool:
    """Whether this is what XGBoost and LightGBM call `evals_result`: the metrics of each data set."""
    return (
        isinstance(document, Mapping)
        and bool(document)
        and all(
            isinstance(metrics, Mapping) and metrics and all(isinstance(values, list) for values in metrics.values())
            for metrics in document.values()
        )
    )


def _read_evaluation(data_sets: Mapping[str, Mapping[str, Any]]) -> Any:
    """The metrics by their names, with `val_` before those of validation; `Runs` if no name is that of a data set.

    Without a data set named like training data, the first of several counts as such, as in scikit-learn's API.
    """
    data_sets = {str(name): metrics for name, metrics in data_sets.items()}
    names = list(data_sets)
    named_training = [name for name in names if not TRAINING_WORDS.isdisjoint(words(name))]
    if not named_training and not any(map(is_validation, names)):
        return Runs(data_sets)
    trained = next(iter(named_training), names[0] if len(names) > 1 else None)
    columns: dict[str, Any] = {}
    for name, metrics in data_sets.items():
        for metric, values in metrics.items():
            full = str(metric) if name == trained else f"val_{metric}"
            columns[full if full not in columns else f"{name}-{metric}"] = values
    return columns


def _lower_names(document: Any) -> dict[str, str]:
    return {str(name).strip().lower(): name for name in document} if isinstance(document, Mapping) else {}


def _is_long(document: Any) -> bool:
    """Whether each row of a table has one value and the name of its series, as MLflow exports metrics."""
    names = _lower_names(document)
    return "value" in names and not names.keys().isdisjoint(NAME_COLUMNS) and _is_columns_of_arrays(document)


def _is_columns_of_arrays(document: Mapping[str, Any]) -> bool:
    """Whether all columns have the same number of rows, and some."""
    lengths = {len(values) if hasattr(values, "__len__") else 0 for values in document.values()}
    return len(lengths) == 1 and lengths != {0}


def _listed(values: Any) -> list[Any]:
    return list(values.values() if isinstance(values, Mapping) else values)


def _read_long(table: Mapping[str, Any]) -> Runs:
    """One column per series and run, each value in a row of its own, in order of time if it was recorded."""
    names = _lower_names(table)
    series, run, time = (
        next((names[name] for name in options if name in names), None)
        for options in (NAME_COLUMNS, RUN_COLUMNS, ("timestamp",))
    )
    frame = pd.DataFrame({name: pd.Series(_listed(values), dtype=object) for name, values in table.items()})
    if time is not None:
        text = frame[time].astype(str)
        frame = frame.iloc[np.lexsort((text, text.str.len()))]
    counters = [name for name in frame.columns if counter_kind(str(name))]
    by = _data_column(table)
    runs: dict[str, Mapping[str, Any]] = {}
    for label, part in frame.groupby(frame[run].astype(str), sort=False) if run is not None else [("", frame)]:
        columns = {str(name): part[name].tolist() for name in counters}
        kinds = part[series].astype(str)
        if by:
            measured_on = part[by].astype(str).str.lower()
            kinds = kinds.where(~measured_on.isin(VALIDATION_WORDS), measured_on + "_" + kinds)
        for name in kinds.unique():
            columns[name] = part[names["value"]].where(kinds == name, None).tolist()
        runs[str(label)] = columns
    return Runs(runs)


def _data_column(document: Any) -> str:
    """The column that says for each row whether it was measured on training or validation data; empty without one."""
    names = _lower_names(document)
    for name in DATA_COLUMNS:
        if name in names and _is_columns_of_arrays(document):
            said = {str(value).strip().lower() for value in _listed(document[names[name]]) if isinstance(value, str)}
            if said and said <= TRAINING_WORDS | {*VALIDATION_WORDS} and not said <= TRAINING_WORDS:
                return names[name]
    return ""


def _read_by_data(table: Mapping[str, Any]) -> dict[str, list[Any]]:
    """One column per series and data: the values of validation rows get the prefix that names their data."""
    by = _data_column(table)
    measured_on = [str(value).strip().lower() for value in _listed(table[by])]
    columns: dict[str, list[Any]] = {}
    for name, values in table.items():
        if name == by:
            continue
        shared = counter_kind(str(name)) is not None or is_learning_rate(str(name))
        for place, (data, value) in enumerate(zip(measured_on, _listed(values), strict=True)):
            full = f"{data}_{name}" if data in VALIDATION_WORDS and not shared else str(name)
            columns.setdefault(full, [None] * len(measured_on))[place] = value
    return columns


def _is_numbered(document: Any) -> bool:
    """Whether each epoch is an object of its own, under its number."""
    return (
        isinstance(document, Mapping)
        and bool(document)
        and all(str(name).isdecimal() and isinstance(row, Mapping) for name, row in document.items())
    )


def _read_numbered(rows: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"epoch": int(number), **row} for number, row in rows.items()]


def _is_chart(document: Any) -> bool:
    """Whether this is W&B's download of a chart: each series with its extremes, named "run - series"."""
    return isinstance(document, Mapping) and any(EXTREMES.search(str(name)) for name in document)


def _read_chart(table: Mapping[str, Any]) -> Runs:
    shared = {name: values for name, values in table.items() if " - " not in str(name)}
    runs: dict[str, dict[str, Any]] = {}
    for name, values in table.items():
        run, separator, series = str(name).rpartition(" - ")
        if separator and not EXTREMES.search(series):
            runs.setdefault(run, {**shared})[series] = values
    return Runs(dict(runs)) if runs else Runs({"": {n: v for n, v in table.items() if not EXTREMES.search(str(n))}})


def _is_summary(document: Any) -> bool:
    names = set(_lower_names(document))
    return any(columns <= names for columns in SUMMARY_COLUMNS)


def _refuse_summary(document: Any) -> Any:
    raise CurveError(
        f"`source` must hold the history of a run. Received: a table with one row per run or thing, with the columns "
        f"{sorted(map(str, document))[:6]}. Export the history of one run."
    )


def _is_measured_on_validation(document: Any) -> bool:
    names = set(_lower_names(document))
    return any(columns <= names for columns in EVALUATED_COLUMNS) and bool(_unnamed_metrics(document))


def _unnamed_metrics(document: Mapping[str, Any]) -> list[str]:
    """The columns whose names do not say on which data they were measured."""
    known = ("time", "optimizer")
    return [
        name
        for name in map(str, document)
        if name.lower() not in known and not (counter_kind(name) or is_learning_rate(name) or is_validation(name))
        if TRAINING_WORDS.isdisjoint(words(name))
    ]


def _read_measured_on_validation(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Names the metrics as validation metrics, because fastai and Hugging Face measure them on validation data.

    Hugging Face repeats a training loss until it logs the next one; a repeated one counts as not logged.
    """
    metrics = set(_unnamed_metrics(columns))
    named = {f"valid_{name}" if name in metrics else str(name): values for name, values in columns.items()}
    training = _lower_names(columns).get("training loss")
    if training is not None:
        values = _listed(columns[training])
        pairs = zip(values, [None, *values], strict=False)
        named[str(training)] = [None if value == before else value for value, before in pairs]
    return named


def _is_of_named_things(document: Any) -> bool:
    """Whether the first column of a table without a counter gives each row a name of its own, such as a model's."""
    if not isinstance(document, Mapping) or any(counter_kind(str(name)) for name in document):
        return False
    if not _is_columns_of_arrays(document):
        return False
    first = next(iter(document.values()))
    return not isinstance(first, str) and _are_names(_listed(first))


def _are_names(values: list[Any]) -> bool:
    texts = [value for value in values if isinstance(value, str)]
    unlike_numbers = sum(not any(map(str.isdigit, text)) for text in texts)
    distinct = len(texts) == len(values) == len({*texts})
    return distinct and len(texts) >= MIN_THINGS and 2 * unlike_numbers > len(texts)


def _is_stored_record(document: Any) -> bool:
    # A history may have a column called "kind" too.
    return isinstance(document, Mapping) and str(document.get("kind")) in RECORDS


def _from_record(record: Record) -> TrainingHistory:
    """The history in a result of this package.

    Raises:
        InvalidArgumentError: The result is not of a single training run.
    """
    if isinstance(record, AutoLRLog):
        frame = record.to_frame()
        columns = {name: frame[name].to_numpy() for name in frame.columns}
        known = {name: record.known[name] for name in CONTEXT if record.known.get(name) is not None}
        return with_known(from_columns(columns, rolled_back=True), known)
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
    known = {name: getattr(diagnosis, name) for name in CONTEXT if getattr(diagnosis, name, None) is not None}
    return with_known(from_columns(columns, monitor=diagnosis.monitor, direction=diagnosis.direction), known)


# In order of recognition; each takes a document one step towards named columns.
DOCUMENT_FORMS = (
    Form("stored result", _is_stored_record, lambda stored: RECORDS[str(stored["kind"])].from_dict(stored)),
    Form("notebook", _is_notebook, _read_notebook),
    Form("Kaggle log", _is_kaggle_log, _read_kaggle_log),
    Form("rows", is_rows, columns_of_rows),
    Form("rows by the number of their epoch", _is_numbered, _read_numbered),
    Form("history beside other fields", lambda document: _wrapped(document) is not None, _wrapped),
    Form("XGBoost evaluation", _is_evaluation, _read_evaluation),
    Form("long table, as from MLflow", _is_long, _read_long),
    Form("rows of training and of validation", _data_column, _read_by_data),
    Form("W&B chart", _is_chart, _read_chart),
    Form("one row per run", _is_summary, _refuse_summary),
    Form("one row per thing", _is_of_named_things, _refuse_summary),
    Form("metrics of validation data", _is_measured_on_validation, _read_measured_on_validation),
)
