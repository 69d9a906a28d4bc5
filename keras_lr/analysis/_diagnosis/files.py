"""Reading files and directories: CSV, JSON, printed text, event files of TensorBoard, metrics of MLflow.

`read_path` returns named columns, a list of rows, a JSON object or several runs; `readers` makes a history of them.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import csv
import functools
import gzip
import io
import itertools
import lzma
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd

from keras_lr.analysis._diagnosis.printed import (
    ANSI_CODES,
    parsed_json,
    printed_history,
    printed_settings,
    shows_fit,
    shows_rows,
)
from keras_lr.analysis._diagnosis.table import MISSING_WORDS, counter_kind, is_validation, kind_of
from keras_lr.errors import CurveError

CSV_SEPARATORS = ",;\t|"
# Enough of a file to hold its header, and to tell text from binary.
HEADER_BYTES = 4096
# Console text may begin with warnings and the summary of a model.
CONSOLE_BYTES = 2**20
# As many rows show how numbers are written.
MAX_SNIFFED_ROWS = 100
COMMA_NUMBER = r"\s*[-+\u2212]?\d[\d.]*(?:,\d+)+(?:\.\d+)?(?:[eE][-+]?\d+)?\s*%?\s*"
# "12 000,5" or "12'000.5", as French and Swiss programs write numbers.
GROUPED_NUMBER = r"\s*[-+\u2212]?\d{1,3}(?:[\s'\u2019]\d{3})+(?:[.,]\d+)?\s*"
POINT_NUMBER = r"\s*[-+\u2212]?\d+(?:\.\d+)+(?:[eE][-+]?\d+)?\s*"
NUMBER_WITH = {",": COMMA_NUMBER, ".": POINT_NUMBER}
# Numbers in which the mark may stand between thousands.
GROUPED_BY = {
    ",": r"\s*[-+\u2212]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?\s*",
    ".": r"\s*[-+\u2212]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?\s*",
}
GROUP_MARK = r"(?<=\d)[\s'\u2019](?=\d)"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# The first bytes of a compressed file, and what opens it.
COMPRESSIONS: Mapping[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
# Control characters that no text holds; backspace and escape are those of a console.
BINARY = frozenset(range(32)) - frozenset(b"\b\t\n\v\f\r\x1b")
BLANKS = sorted({*MISSING_WORDS, *(word.upper() for word in MISSING_WORDS), "None", "No log"})
# What the lines around the header of a printed table are made of.
RULES = "+-=|: "
# The line below the header of a table in Markdown.
MARKDOWN_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)+\|?[ \t]*")
# Excel reads the separator from a first line such as "sep=;".
EXCEL_HINT = re.compile("sep=.", re.IGNORECASE)
# What to do with a file of numbers in another form, by its first bytes.
REMEDIES = {
    b"PK": "Unpack the archive, or save the table as CSV.",
    b"\x80": "If you trust its source, load it with `pickle` and pass the history.",
    b"\x93NUMPY": "Load it with NumPy and pass the columns as a dict.",
    b"PAR1": "Load it with pandas and pass the DataFrame.",
    b"\x89HDF": "Load it with `h5py` and pass the columns as a dict.",
}
NO_TEXT = "Pass the file that `CSVLogger` wrote."
# A name with its value where a header has names alone.
FREE_TEXT = re.compile(r"\w['\"]?\s*[:=]\s*[-+]?\d")

# The last suffix but that of a compression.
LOG_SUFFIXES = {".csv", ".tsv", ".txt", ".log", ".out", ".json", ".jsonl", ".ndjson", ".ipynb", ".md"}

# Folders that hold a part of the run above them.
TRAINING_FOLDERS = ("train", "training")
VALIDATION_FOLDERS = ("validation", "val", "valid", "eval", "test")
# Sizes in bytes of the two kinds of fixed-size fields of a protobuf message.
FIXED_FIELD_SIZES = {1: 8, 5: 4}
TENSOR_FORMATS = {1: "<f", 2: "<d"}


class Runs(NamedTuple):
    """Several runs in one source.

    Attributes:
        columns: The named columns of each run, by its name; a function that reads them, if that takes long.
    """

    columns: Mapping[str, Mapping[str, Any] | Callable[[], Mapping[str, Any]]]


class Form(NamedTuple):
    """A form in which histories are stored.

    Attributes:
        name: What it is called in the documentation.
        recognise: Whether this is of the form.
        read: Takes what was recognised one step further.
    """

    name: str
    recognise: Callable[[Any], Any]
    read: Callable[[Any], Any]


@dataclass(frozen=True)
class File:
    """A file, and enough of its first bytes to recognise its form.

    Attributes:
        path: Where it is.
        start: Its first bytes once decompressed, at most `CONSOLE_BYTES`.
        opener: Opens it, and decompresses it if it is compressed.
    """

    path: Path
    start: bytes
    opener: Callable[[Path], Any]

    @classmethod
    def at(cls, path: Path) -> File:
        """The file at `path`."""
        with path.open("rb") as stream:
            mark = stream.read(max(map(len, COMPRESSIONS)))
        opener = next((opener for first, opener in COMPRESSIONS.items() if mark.startswith(first)), _open_plain)
        with opener(path) as stream:
            return cls(path, stream.read(CONSOLE_BYTES), opener)

    @functools.cached_property
    def encoding(self) -> str:
        """UTF-8 or UTF-16; Latin-1, in which any bytes are text, if the first bytes are neither."""
        if self.start.startswith(UTF16_MARKS):
            return "utf-16"
        try:
            codecs.getincrementaldecoder("utf-8")().decode(self.start)
        except UnicodeDecodeError:
            return "latin-1"
        return "utf-8-sig"

    @functools.cached_property
    def head(self) -> str:
        """The text of its first bytes, without colours."""
        return ANSI_CODES.sub("", self.start.decode(self.encoding, errors="replace"))

    def text(self, errors: str = "strict") -> str:
        """The whole text."""
        with self.opener(self.path) as stream:
            return str(stream.read().decode(self.encoding, errors))

    def stream(self) -> BinaryIO:
        """Its bytes from the beginning, without colours and the zeros with which a power failure may end a file."""
        stream: BinaryIO = self.opener(self.path)
        if self.encoding == "utf-16" or not (self._end.endswith(b"\0") or b"\x1b" in self.start):
            return stream
        with stream:
            plain = ANSI_CODES.sub("", stream.read().rstrip(b"\0").decode(self.encoding, "surrogateescape"))
            return io.BytesIO(plain.encode(self.encoding, "surrogateescape"))

    @property
    def last_line(self) -> str:
        """The text after the last line break; empty in a complete file."""
        return self._last_lines[-1]

    @property
    def last_whole_line(self) -> str:
        """The text before the last line break; empty if it is not among the last bytes of the file."""
        return self._last_lines[-2] if len(self._last_lines) > 2 else ""

    @functools.cached_property
    def _last_lines(self) -> list[str]:
        """The last bytes as lines, the first of which may be a part of one; empty in UTF-16."""
        ended = "" if self.encoding == "utf-16" else self._end.rstrip(b"\0").decode(self.encoding, errors="replace")
        return re.split(r"\r\n|\r|\n", ended)

    @functools.cached_property
    def _end(self) -> bytes:
        """Its last bytes; empty if it is compressed."""
        if self.opener is not _open_plain:
            return b""
        with self.path.open("rb") as stream:
            stream.seek(-min(HEADER_BYTES, self.path.stat().st_size), io.SEEK_END)
            return stream.read()


def read_path(path: Path) -> Any:
    """Named columns, a list of rows, a JSON object or `Runs`, as the file or directory holds them.

    Raises:
        CurveError: It is of no known form, or damaged.
        OSError: It cannot be read.
    """
    if path.is_dir():
        return _read_directory(path)
    if not path.exists():
        raise FileNotFoundError(f"`source` must be an existing file or directory. Received: {path}. Check the path.")
    try:
        file = File.at(path)
        return next(form for form in FILE_FORMS if form.recognise(file)).read(file)
    except DAMAGED as err:
        raise CurveError(
            f"`source` must be a complete file. Received: {path}, which cannot be decompressed: {err}. Save it again."
        ) from err


def logs_in(directory: Path) -> list[Path]:
    """The files in `directory` that may hold a history, by their names, and the directories of TensorBoard and MLflow.

    Hidden files and folders, and links to folders, are left out.
    """
    found = [directory] if _is_of_tool(directory) else []
    shown = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    suffixes = ({suffix.lower() for suffix in path.suffixes[-2:]} for path in shown)
    found += [path for path, last in zip(shown, suffixes, strict=True) if path.is_file() and last & LOG_SUFFIXES]
    if directory not in found:
        folders = (path for path in shown if path.is_dir() and not path.is_symlink())
        found += [log for folder in folders for log in logs_in(folder)]
    return found


def _is_of_tool(directory: Path) -> bool:
    """Whether TensorBoard or MLflow keeps a run directly in `directory`."""
    parts = (directory / name for name in (*TRAINING_FOLDERS, *VALIDATION_FOLDERS))
    of_tensorboard = any(file.is_file() for folder in (directory, *parts) for file in folder.glob("*tfevents*"))
    return of_tensorboard or directory.name == "metrics" or (directory / "metrics").is_dir()


def _open_plain(path: Path) -> BinaryIO:
    return path.open("rb")


def _refuse_binary(file: File) -> Any:
    remedy = next((remedy for mark, remedy in REMEDIES.items() if file.start.startswith(mark)), NO_TEXT)
    raise CurveError(f"`source` must be a text file. Received: {file.path}, which is binary. {remedy}")


def _refuse_empty(file: File) -> Any:
    raise CurveError(
        f"`source` must hold a history. Received: {file.path}, which is empty. Check that the run has written to it."
    )


def _is_binary(file: File) -> bool:
    start = file.start[:HEADER_BYTES]
    if b"\n" in start:
        start = start.rstrip(b"\0")
    return not BINARY.isdisjoint(start) and not start.startswith(UTF16_MARKS)


def _is_json(file: File) -> bool:
    # A compressed file has another extension behind this one.
    last = {suffix.lower() for suffix in file.path.suffixes[-2:]}
    named = not last.isdisjoint((".json", ".jsonl", ".ndjson", ".ipynb"))
    return named or re.match(r"\s*(\{|\[\s*[{\]])", file.head) is not None


def _read_json(file: File) -> Any:
    """A JSON document, or a dict as Python prints it; a list of rows if there is one document per line."""
    try:
        text = file.text()
        try:
            document = parsed_json(text)
        except ValueError:
            if shows_rows(file.head):
                return _read_printed(file)
            document = [parsed_json(line) for line in text.splitlines() if line.strip()]
            if len(document) < 2:
                raise
    except (UnicodeDecodeError, ValueError, RecursionError) as err:
        raise CurveError(
            f"`source` must be JSON text. Received: {file.path}, which is not: {err}. Save the file again."
        ) from err
    if isinstance(document, dict) or is_rows(document):
        return document
    raise CurveError(
        f"`source` must hold a JSON object of columns. Received: {type(document).__name__} in {file.path}. "
        "Save `History.history`."
    )


def _read_printed(file: File) -> Any:
    return printed_history(file.text(errors="replace"))


def _markdown_tables(text: str) -> list[pd.DataFrame]:
    """The tables in a Markdown document that count epochs or steps and hold what can be judged, their cells as text."""
    lines = text.splitlines()
    tables = []
    for place in range(1, len(lines)):
        names = _cells(lines[place - 1])
        if MARKDOWN_RULE.fullmatch(lines[place]) is None or len(_cells(lines[place])) != len(names):
            continue
        if any(map(counter_kind, names)) and any(map(kind_of, names)):
            below = itertools.takewhile(lambda line: "|" in line, lines[place + 1 :])
            rows = [dict(zip(names, _cells(line), strict=False)) for line in below]
            tables.append(_with_decimal_points(pd.DataFrame(rows, columns=[*dict.fromkeys(names)], dtype=object)))
    return [table for table in tables if len(table)]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def _read_markdown(file: File) -> Any:
    """The columns of the table in a Markdown document, with the settings of the run that it names; several as `Runs`.

    The model card that Hugging Face's `Trainer` writes is such a document.
    """
    text = file.text(errors="replace")
    settings = printed_settings(text)
    found = [
        {
            **{name: [value] * len(table) for name, value in settings.items() if name not in table},
            **table.to_dict("list"),
        }
        for table in _markdown_tables(text)
    ]
    return found[0] if len(found) == 1 else Runs({f"table {number}": table for number, table in enumerate(found, 1)})


class _Dialect(NamedTuple):
    """How a CSV file is written.

    Attributes:
        separator: What separates the fields, a regular expression for white space.
        decimal: Comma or point.
        header: The line that names the columns.
        place: Number of that line, from 0.
        trails: Whether each row ends with more separators than the header has.
    """

    separator: str
    decimal: str
    header: str
    place: int
    trails: bool


def _dialect(text: str) -> _Dialect:
    """The dialect of a CSV file by its first lines; beside another separator, a comma may be decimal.

    Lines that begin with `#` are comments. The last of them is the header if numbers follow.
    """
    numbered = [(place, line.strip()) for place, line in enumerate(text.splitlines())]
    lines = [(place, line) for place, line in numbered if line.strip(RULES) and not EXCEL_HINT.fullmatch(line)]
    lines = lines or [(0, "")]
    comments = next((count for count, (_, line) in enumerate(lines) if not line.startswith("#")), 0)
    if comments and any(map(_is_number, re.split(r"[,;|\s]", lines[comments][1]))):
        comments -= 1
    (place, header), *rest = lines[comments:]
    named, rows = header.lstrip("# "), [row for _, row in rest]
    separator = max(CSV_SEPARATORS, key=named.count)
    unnamed = len(rows[0].split()) - len(named.split()) if rows else -1
    if separator not in named and unnamed in (0, 1):
        # A printed DataFrame has no name for its index.
        separator, header = r"\s+", "# index " * unnamed + header
    decimal = "," if separator != "," and re.search(r"\d,\d", "\n".join(rows)) else "."
    between = separator if separator == r"\s+" else re.escape(separator)
    cells = [cell.strip('" ') for row in rows for cell in re.split(between, row)]
    if decimal == "," and _is_grouped_by(",", cells) and any(map(_has_decimals_behind_a_point, cells)):
        decimal = "."
    # The last one may be cut off.
    complete = rows[:-1] or rows
    trails = bool(rows) and all(
        row.endswith(separator) and row.count(separator) > header.count(separator) for row in complete
    )
    return _Dialect(separator, decimal, header, place, trails)


def _is_grouped_by(mark: str, cells: Sequence[str]) -> bool:
    """Whether there are numbers with a comma, or a point, and it may stand between thousands in all of them."""
    marked = [cell for cell in cells if re.fullmatch(NUMBER_WITH[mark], cell)]
    return bool(marked) and all(re.fullmatch(GROUPED_BY[mark], cell) for cell in marked)


def _has_decimals_behind_a_point(cell: str) -> bool:
    return bool(re.fullmatch(POINT_NUMBER, cell)) and not re.fullmatch(GROUPED_BY["."], cell)


def _read_csv(file: File) -> dict[str, Any]:
    """The columns of a CSV file.

    Raises:
        CurveError: The file is not text, has no header, or has rows with other fields than the header.
    """
    dialect = _dialect(file.head[:HEADER_BYTES])
    header: dict[str, Any] = {"skiprows": dialect.place}
    if dialect.header.startswith("#") and dialect.separator == r"\s+":
        header = {"skiprows": dialect.place + 1, "header": None, "names": dialect.header.lstrip("# ").split()}
    elif dialect.trails:
        header["usecols"] = range(dialect.header.count(dialect.separator) + 1)
    if FREE_TEXT.search(dialect.header):
        raise CurveError(
            f"`source` must be a table with a header. Received: {file.path}, whose first line is "
            f"{dialect.header[:60]!r}. Save the values of each epoch in columns, as `CSVLogger` does."
        )
    if dialect.separator != r"\s+" and not dialect.trails:
        _check_widths(file, dialect)
    frame = _without_repeated_headers(_read_rows(file, dialect, header))
    frame = _with_decimal_points(frame, decimal=dialect.decimal)
    columns = {str(name): without_blanks(frame[name]) for name in frame.columns}
    return _named_by_tag(columns, file.path)


def _check_widths(file: File, dialect: _Dialect) -> None:
    """Raises `CurveError` if all rows from some line on, more than one, have another number of fields than the header.

    `CSVLogger(append=True)` writes no second header, whatever a later run logs, so the names of its columns are not
    known. A writer that ends a row after the last value leaves out validation within a run.
    """
    if file.last_whole_line.count(dialect.separator) == dialect.header.count(dialect.separator):
        return
    rows = []
    with file.stream() as stream, io.TextIOWrapper(stream, file.encoding, errors="replace", newline="") as text:
        reader = csv.reader(itertools.islice(text, dialect.place, None), delimiter=dialect.separator)
        # pandas reports a quote without an end.
        with contextlib.suppress(csv.Error):
            rows = [(reader.line_num, len(row), row[0]) for row in reader if row]
    if rows and file.last_line:
        # A writer that was killed may have cut it off.
        rows.pop()
    if not rows or rows[-1][1] == rows[0][1]:
        return
    (_, expected, _), (_, last, _) = rows[0], rows[-1]
    others = list(itertools.takewhile(lambda row: row[1] == last, reversed(rows)))
    if len(others) in (1, len(rows) - 1):
        return
    first, before = others[-1], rows[-len(others) - 1]
    starts_over = _is_number(first[2]) and _is_number(before[2]) and float(first[2]) <= float(before[2])
    names = [name.strip("# \"'") for name in dialect.header.split(dialect.separator)]
    if last < expected and not starts_over and all(map(is_validation, names[last:])):
        return
    raise CurveError(
        f"`source` must have a value for each column of its header in every row. Received: {file.path}, whose header "
        f"has {expected} columns, and whose rows from line {dialect.place + first[0]} on have {last}, as if a run "
        "with other columns had been appended. Save the runs in separate files, each with its own header."
    )


def _read_rows(file: File, dialect: _Dialect, header: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of a CSV file, whose header pandas finds by the arguments `header`."""
    try:
        # If all rows are longer than the header, pandas would take the first column for an index, or warn.
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning), file.stream() as stream:
            frame: pd.DataFrame = pd.read_csv(
                stream,
                sep=dialect.separator,
                decimal=dialect.decimal,
                encoding=file.encoding,
                skipinitialspace=True,
                index_col=False,
                low_memory=False,
                keep_default_na=False,
                na_values=BLANKS,
                **header,
            )
        if file.last_line.count(dialect.separator) < dialect.header.count(dialect.separator) and file.last_line:
            # A writer that was killed may have cut a number off, too.
            frame = frame.iloc[:-1]
        # pandas adds ".1" to the second of two equal names.
        numbers = [_is_number(name) or _is_number(re.sub(r"\.\d+$", "", str(name))) for name in frame.columns]
        if all(numbers) or (dialect.separator == r"\s+" and any(numbers)):
            raise ValueError("its first row holds numbers, not names such as `epoch,loss`")
    except (pd.errors.ParserWarning, ValueError) as err:
        received = str(err).rstrip(".\n")
        raise CurveError(
            f"`source` must be a CSV file with a header. Received: {file.path}: {received}. "
            "Check that the file is complete."
        ) from err
    return frame.rename(columns=lambda name: str(name).lstrip("#").strip())


def _with_decimal_points(frame: pd.DataFrame, *, decimal: str = "") -> pd.DataFrame:
    """Numbers written as text, such as "0,25", "1.234,5" or "1 234,5", with a decimal point and no mark of thousands.

    Of a comma and a point in one number, the first marks thousands.

    Args:
        frame: A table, as read.
        decimal: What stands before the decimals of the numbers that have been read as such.
    """
    text = frame.select_dtypes(exclude="number")
    parsed = frame.select_dtypes("float")
    if (parsed.notna() & (parsed != parsed.round())).to_numpy().any():
        mark = "." if decimal == "," else ","
        thousands: list[Any] = [name for name in text if _is_grouped_by(mark, _sniffed(text[name]))]
        frame = frame.assign(**{name: text[name].str.replace(mark, "", regex=False) for name in thousands})
        text = frame.select_dtypes(exclude="number")
    grouped = _columns_like(text, GROUPED_NUMBER)
    text = text.assign(**{name: text[name].str.replace(GROUP_MARK, "", regex=True) for name in grouped})
    named = _columns_like(text, COMMA_NUMBER)
    cells = [cell for name in named for cell in _sniffed(text[name])]
    if any(re.search(r"\.\d+,", cell) for cell in cells):
        marks = {".": "", ",": "."}
    else:
        marks = {",": "" if any("." in cell for cell in cells) else "."}
    numbers = {name: text[name].str.translate(str.maketrans(marks)) for name in named}
    return frame.assign(**{name: text[name] for name in grouped} | numbers)


def _columns_like(text: pd.DataFrame, form: str) -> list[Any]:
    """The columns with a number of this form."""
    return [name for name in text if any(re.fullmatch(form, cell) for cell in _sniffed(text[name]))]


def _sniffed(column: pd.Series) -> list[str]:
    """The first and the last cells: losses are large at the beginning, counters at the end."""
    ends = [column.head(MAX_SNIFFED_ROWS), column.iloc[MAX_SNIFFED_ROWS:].tail(MAX_SNIFFED_ROWS)]
    return [str(cell) for part in ends for cell in part.dropna()]


def _is_number(text: Any) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _without_repeated_headers(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that are not the header again. Without a counter, one is added that starts over after each header."""
    if frame.columns.size == 0 or any(pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes):
        return frame
    cells = frame.astype(str)
    repeated = np.logical_and.reduce([(cells[name].str.strip() == name).to_numpy() for name in frame.columns])
    if not repeated.any():
        return frame
    if not any(counter_kind(name) for name in frame.columns):
        block = pd.Series(np.cumsum(repeated))
        frame = frame.assign(epoch=block.groupby(block).cumcount() - (block > 0))
    return frame.drop(index=np.flatnonzero(repeated).tolist()).reset_index(drop=True)


def without_blanks(column: pd.Series) -> Any:
    """The values, masked or None in blank cells; the text "nan" is no blank."""
    blank = column.isna().to_numpy()
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype(object).where(~blank, None).to_numpy()
    return np.ma.masked_array(column.to_numpy(), mask=blank) if blank.any() else column.to_numpy()


def _named_by_tag(columns: dict[str, Any], path: Path) -> dict[str, Any]:
    """TensorBoard's download of one scalar has a column `Value`, and the name of the scalar in that of the file."""
    tag = re.search(r"tag-(.+)", path.stem)
    if tag is None or {name.lower() for name in columns} != {"wall time", "step", "value"}:
        return columns
    scalar = tag[1].removeprefix("epoch_")
    return {scalar if name.lower() == "value" else name: values for name, values in columns.items()}


def _read_directory(directory: Path) -> Any:
    """The runs in a directory of TensorBoard, or the metrics of those in a directory of MLflow.

    Raises:
        CurveError: There are neither event files nor metrics.
    """
    files = sorted(file for file in directory.rglob("*tfevents*") if file.is_file())
    if not files and (metrics := _read_metrics(directory)):
        return metrics
    if not files:
        logs = logs_in(directory)
        remedy = f"Pass a log in it, such as {logs[0]}." if logs else "Pass the callback's `log_dir`."
        raise CurveError(f"`source` must hold TensorBoard event files. Received: {directory}, which has none. {remedy}")
    runs: dict[Path, list[Path]] = {}
    for file in files:
        is_part = file.parent != directory and file.parent.name in (*TRAINING_FOLDERS, *VALIDATION_FOLDERS)
        runs.setdefault(file.parent.parent if is_part else file.parent, []).append(file)
    return Runs({str(run): functools.partial(_event_columns, parts) for run, parts in runs.items()})


def _read_metrics(directory: Path) -> list[dict[str, str]]:
    """Every value of the metrics that MLflow keeps in or at `directory`.

    A run has a folder `metrics` with a file per metric, of lines "timestamp value step".
    """
    rows = []
    for folder in sorted(folder for folder in (directory, *directory.rglob("metrics")) if folder.name == "metrics"):
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            where = {"run": folder.parent.name, "key": file.relative_to(folder).as_posix()}
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                rows.append({**where, **dict(zip(("timestamp", "value", "step"), line.split(), strict=False))})
    return rows


def _event_columns(files: list[Path]) -> dict[str, Any]:
    """The scalars in the event files of a run, one row per step, in order of time.

    Scalars of the validation part get the prefix `val_`; the prefix `epoch_` is dropped.

    Raises:
        CurveError: There are no scalars.
    """
    events = []
    in_epochs = False
    for file in files:
        prefix = "val_" if file.parent.name in VALIDATION_FOLDERS else ""
        for time, step, name, value in _scalars(file):
            in_epochs |= name.startswith("epoch_")
            events.append((time, step, prefix + name.removeprefix("epoch_"), value))
    if not events:
        raise CurveError(
            f"`source` must hold scalars. Received: {files[0].parent}, whose event files have none. "
            "Log the loss as a scalar."
        )
    counter = "epoch" if in_epochs else "step"
    rows: list[dict[str, Any]] = []
    for _, step, name, value in sorted(events, key=lambda event: event[0]):
        if name == counter:
            continue
        if not rows or rows[-1][counter] != step or name in rows[-1]:
            rows.append({counter: step})
        rows[-1][name] = value
    return columns_of_rows(rows)


def _scalars(file: Path) -> Iterator[tuple[float, int, str, float]]:
    """Time, step, name and value of each scalar in an event file, up to its first damaged record."""
    try:
        for record in _records(file):
            fields = dict(_fields(record))
            for _, summary in (field for field in _fields(fields.get(5, b"")) if field[0] == 1):
                value = dict(_fields(summary))
                number = _scalar(value)
                if number is not None and 1 in value:
                    time = struct.unpack("<d", fields.get(1, bytes(8)))[0]
                    # The step is an int64, which protobuf writes as its two's complement.
                    step = (fields.get(2, 0) ^ 2**63) - 2**63
                    yield time, step, value[1].decode(errors="replace"), number
    except (ValueError, TypeError, AttributeError, struct.error):
        return


def _records(file: Path) -> Iterator[bytes]:
    """The records of a TFRecord file: each has its length and a checksum before it, and a checksum after it."""
    left = file.stat().st_size
    with file.open("rb") as stream:
        while len(header := stream.read(12)) == 12:
            size = int.from_bytes(header[:8], "little")
            left -= size + 16
            # A writer that was killed leaves its last record incomplete.
            if left < 0:
                return
            yield stream.read(size)
            stream.read(4)


def _fields(message: Any) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a protobuf message: an integer, or bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(message, place)
        elif kind == 2 or kind in FIXED_FIELD_SIZES:
            size, place = _varint(message, place) if kind == 2 else (FIXED_FIELD_SIZES[kind], place)
            value, place = message[place : place + size], place + size
        else:
            raise ValueError("a field of an unknown kind")
        if place > len(message):
            raise ValueError("an incomplete field")
        yield key >> 3, value


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """The integer at `place`, seven bits per byte, and the place after it."""
    number = 0
    for digit, byte in enumerate(message[place : place + 10]):
        number |= (byte & 127) << 7 * digit
        if byte < 128:
            return number & (2**64 - 1), place + digit + 1
    raise ValueError("an integer without an end")


def _scalar(value: Mapping[int, Any]) -> float | None:
    """The number in a summary value: its field 2, or the tensor of no dimensions in its field 8."""
    if 2 in value:
        return float(struct.unpack("<f", value[2])[0])
    tensor = dict(_fields(value.get(8, b"")))
    kind = TENSOR_FORMATS.get(tensor.get(1, 0))
    # Field 2 of a tensor is its shape; 4 holds its bytes, 5 and 6 numbers of either precision.
    content = tensor.get(4) or tensor.get(5) or tensor.get(6)
    if kind is None or tensor.get(2) or content is None:
        return None
    return float(struct.unpack(kind, content)[0])


def columns_of_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """One list per name, with None where a row does not have it. What is inside of another is named after both."""
    flat = [_flat(row) for row in rows]
    names = dict.fromkeys(name for row in flat for name in row)
    return {name: [row.get(name) for row in flat] for name in names}


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        inner = _flat(value) if isinstance(value, Mapping) else {}
        found |= {f"{name}_{part}": cell for part, cell in inner.items()} or {str(name): value}
    return found


def is_rows(document: Any) -> bool:
    """Whether this is a list of at least one row, each a mapping."""
    return isinstance(document, list) and bool(document) and all(isinstance(row, Mapping) for row in document)


FILE_FORMS = (
    Form("TensorBoard event file", lambda file: "tfevents" in file.path.name, lambda file: _event_columns([file.path])),
    Form("empty file", lambda file: not file.head.strip(), _refuse_empty),
    Form("binary file", _is_binary, _refuse_binary),
    Form("console text of `fit`", lambda file: shows_fit(file.head), _read_printed),
    Form("JSON", _is_json, _read_json),
    Form("tables in Markdown", lambda file: _markdown_tables(file.head), _read_markdown),
    Form("printed dicts, or lines of names and numbers", lambda file: shows_rows(file.head), _read_printed),
    Form("CSV", lambda file: True, _read_csv),
)
