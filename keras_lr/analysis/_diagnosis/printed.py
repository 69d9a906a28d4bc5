"""Reading what a training prints: the output of `fit`, dicts of numbers, and lines of names and numbers.

The optimizer and the learning rate may be named beside that, as settings or in the code of the model.

Training loops print in many ways, such as "Epoch [3/10], Step [100/600], Loss: 0.28", "| epoch 003 | loss 4.7 |",
"[30] train-rmse:0.5" or a progress bar that ends in "loss=0.3". What they have in common is a name, at most one sign
and a number, a counter, and the data that the numbers were measured on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from keras_lr.analysis._diagnosis.history import DEFAULT_RATES
from keras_lr.analysis._diagnosis.table import (
    TRAINING_WORDS,
    VALIDATION_WORDS,
    is_learning_rate,
    is_validation,
    kind_of,
    words,
)
from keras_lr.errors import CurveError

EPOCH_LINE = re.compile(r"^[ \t]*Epoch (\d+)/\d+[ \t]*(?=$|\d+/\d+ )", re.MULTILINE)
# A dict of numbers on a line of its own or behind a progress bar, as Hugging Face's `Trainer` prints it.
PRINTED_ROW = re.compile(r"(?:^|(?:/s|it)\])[ \t]*(\{['\"][^{}]*\})[ \t]*$", re.MULTILINE)
# "val_loss: [0.5, 0.25]" or "losses = [0.5, 0.25]" on a line of its own.
PRINTED_SERIES = re.compile(
    r"^[ \t]*['\"]?([A-Za-z][\w ]*)['\"]?[ \t]*[:=][ \t]*\[([^\[\]{}]*)\][ \t]*,?[ \t]*$", re.MULTILINE
)
# A number as NumPy, PyTorch and TensorFlow print it within a dict or a list.
WRAPPED_NUMBER = re.compile(
    r"(?<![\w.])(?:(?:np|numpy)\.\w+|array|tensor)\(([^(),\[\]]+)(?:,[^()\[\]]*)?\)"
    r"|<tf\.Tensor: shape=\(\), [^<>]*?numpy=([^<>,\s]+)>"
)
JSON_WORDS = {"None": "null", "True": "true", "False": "false", "nan": "NaN", "inf": "Infinity"}
PYTHON_WORDS = re.compile(rf"(?<![\w'\"])({'|'.join(JSON_WORDS)})(?![\w'\"])")
# Colours and cursor movements.
ANSI_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# "32/32 [====] - 1s", or only " - 1s" from old versions with `verbose=2`.
PROGRESS_LINE = re.compile(r"\s*(?:(?P<step>\d+)/(?P<steps>\d+|Unknown)\b|-? ?\d+s )")

# What launchers of several processes put before each line: "[1,0]<stdout>:", "[rank0]:", "(train pid=7)".
PROCESS = re.compile(
    r"^[ \t]*(?:\[1,(\d+)\]<std\w+>:?|\[?(?:local_)?(?:rank|gpu|worker)[ :=#_]*(\d+)[\]:]+|\(\w+ pid=(\d+)[^)\n]*\))"
    r"[ \t]?",
    re.IGNORECASE | re.MULTILINE,
)
# A date before a time, and a time, also one that is still to go.
DATE = r"(?<![\w.])\d{1,4}[-/.]\d{1,2}(?:[-/.]\d{1,4})?[ T,]+"
TIMES = re.compile(rf"\[?(?:{DATE})?(?<![\w.])\d{{1,3}}:\d\d(?::\d\d)?(?:[.,]\d+)?(?![\d.]|\s*/)Z?\]?")
BEFORE = r"(?:\b(?:at|after|in) )?(?<![a-z])"
BETWEEN = r"['\"]?[\s:=#\[(]*(?:(?:no\.?|number|num)[\s:=#\[(]*)?"
OF_ALL = r"(?:\s*(?:/|of)\s*\d+)?[\])]*"
EPOCH = re.compile(
    rf"(?:{BEFORE}ep(?:och)?(?:\s?\(\w+\))?{BETWEEN}(\d+(?:\.\d+)?)(?![\d.]*%|\d){OF_ALL}"
    # "Train: 3 [ 50/1251 (4%)]", as timm prints it.
    r"|\b(?:train|test): (\d+)(?= *\[ *\d+ */))",
    re.IGNORECASE,
)
STEP = re.compile(rf"{BEFORE}(?:step|iters?|iteration|batch|round){BETWEEN}(\d+)(?![\d%]|\.\d){OF_ALL}", re.IGNORECASE)
# "[1, 2000] loss", "[30] train-rmse", "957: 0.66"
LEADING_COUNTS = re.compile(r"^\s*(?:\[(?P<epoch>\d+),\s*(?P<batch>\d+)\]|\[(?P<round>\d+)\]|(?P<step>\d+):(?=\s))")
PART_OF_ALL = re.compile(r"(?<![\w.:/-])(\d+)\s*/\s*(\d+)(?![\w./-])")
BAR = re.compile(r"%\s*\||[\[ ][=>.#━█]{8,}")
# The names that Darknet puts behind its numbers.
NUMBERS_FIRST = re.compile(r"(\d[\d.]*) (avg loss|avg|rate)(?=,)")
# "LOSS train 0.63 valid 0.54" in PyTorch's tutorials.
LOSS_FIRST = re.compile(r"\bloss:? train[: ]+(\S+?),? (val\w*|test)(?=[: ])", re.IGNORECASE)
NAMES_FIRST = {"avg loss": "avg loss", "avg": "avg loss", "rate": "learning rate"}
# A setting on a line of its own.
RATE_SETTING = re.compile(
    r"(?:^|[ \t\"'])(?:learning[_ ]?rate|lr)[\"']?[ \t]*[:=][ \t]*([\d.]+(?:[eE][-+]?\d+)?)[ \t]*,?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
OPTIMIZER_SETTING = re.compile(
    r"(?:^|[ \t\"'])optimizer[\"']?[ \t]*[:=][ \t]*[\"']?(?:use )?(adamw?|nadam|adamax|rmsprop|lion)(?![a-z])",
    re.IGNORECASE | re.MULTILINE,
)

COMMENT = re.compile(r"#.*")
POSITIVE = r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
# `Adam(0.001)`, `optimizers.SGD(lr=0.1, momentum=0.9)`, `optimizer_rmsprop()` of R.
OPTIMIZER_CALL = re.compile(
    r"(?<![\w\"'])(?:optimizer_(?P<r>adam|adamw|nadam|adamax|rmsprop|sgd|adagrad)"
    r"|(?P<python>Adam|AdamW|Nadam|Adamax|RMS[pP]rop|Lion|SGD|Adagrad))[ \t]*\((?P<given>[^()]*)(?P<end>[()])"
)
OPTIMIZER_WORD = re.compile(r"(?:\boptimizer[ \t]*=|\bcompile\()\s*[\"']([A-Za-z]+)[\"']")
RATE_GIVEN = re.compile(r"\b(?:learning_rate|lr)\s*=\s*([^,\s]+)")
MOMENTUM_GIVEN = re.compile(rf"\bmomentum\s*=\s*({POSITIVE})")
# What changes the rate while a model trains.
CHANGES = re.compile(r"schedul|ReduceLR|reduce_lr|OneCycle|\w+Decay\(|set_value|\.assign\(|adapt\(", re.IGNORECASE)

# What stands before a number that a name follows: "400 records/second. Loss", "181 samples/sec Train-accuracy".
UNIT = re.compile(r"[a-z]+/(?:s|sec|second|step|iter|it|min|h)\.?", re.IGNORECASE)

WORD = r"[A-Za-z_][\w@/.'-]{0,60}"
NAME = rf"{WORD}(?: {WORD}){{0,3}}(?: ?\([A-Za-z ]+\))?"
NUMBER = r"[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?%?|nan\b|inf(?:inity)?\b)"
PAIR = re.compile(
    rf"(?P<name>{NAME})[\"']?(?:\s*(?P<sign>[:=]+>?|->)\s*|\s+)"
    rf"(?:[\w.]*[(\[]+\s*|['\"])?(?P<number>{NUMBER})(?:\s*/\s*(?P<all>\d+)(?!\d))?",
    re.IGNORECASE,
)
# "0,25", "1,234.5" or "1.234,5" behind a name and a sign.
COMMA_VALUE = re.compile(
    r"(?<=[A-Za-z)'\"\s][:=])\s?[-+]?(?:\d{1,3}(?:,\d{3})+\.\d+|\d{1,3}(?:\.\d{3})+,\d+|\d+,\d+|\d{1,3}(?:,\d{3}){2,})"
    r"(?![\w.,]*\d)"
)
GROUPED_BY_COMMA = re.compile(r"\s?[-+]?[1-9]\d{0,2}(?:,\d{3})+")
# LightGBM's "valid_1's l2" and XGBoost's "validation_1-rmse", which stands beside "validation_0-rmse" of training.
DATA_NUMBER = re.compile(r"(training|valid|validation|eval|test)(?:_\d+)?(?:'s)?(?=[- ])")
FIRST_OF_TWO = re.compile(r"validation_0(?=.*validation_1)")
# Words around a name that belong to the sentence.
FILLERS = frozenset(
    {"value", "with", "and", "the", "after", "at", "for", "in", "on", "of", "is", "was", "info", "debug"}
)
MAX_START = 2**18
MAX_LINE = 4000
MAX_TITLE_WORDS = 4
MIN_ROWS = 2
# Lines without a counter belong to the steps before them if they are at least this part as many.
MIN_BESIDE = 0.8

# In order of preference: a line per epoch, the last state of a progress bar, a line per step.
BY_EPOCH, BY_BAR, BY_STEP = range(3)


class _Line(NamedTuple):
    """What one line says.

    Attributes:
        epoch: Its epoch, or that of the lines before it; empty without one.
        step: Its step; empty without one.
        total: What the steps of a progress bar end at; empty without one.
        kind: Which of `BY_EPOCH`, `BY_BAR` and `BY_STEP` it is.
        values: Number by name; each is a loss, an error, a metric or a learning rate.
    """

    epoch: str
    step: str
    total: str
    kind: int
    values: dict[str, str]


def plain_text(text: str) -> str:
    """Console text with a line for each state of a progress bar, without colours, of the first process alone."""
    plain = re.sub(r"\r\n|[\b\r]+", "\n", ANSI_CODES.sub("", text))
    process = PROCESS.search(plain)
    if process is None:
        return plain
    lines = []
    for line in plain.split("\n"):
        found = PROCESS.match(line)
        if found is None or found.groups() == process.groups():
            lines.append(line[found.end() :] if found else line)
    return "\n".join(lines)


def shows_fit(text: str) -> bool:
    """Whether this is the output of `fit`, or of a loop that begins its epochs in the same way."""
    return EPOCH_LINE.search(plain_text(text)) is not None


def shows_rows(text: str) -> bool:
    """Whether this is text with printed dicts, or with lines of names and numbers, near its beginning."""
    plain = plain_text(text[:MAX_START])
    if _dicts(plain):
        return True
    found = filter(_is_judged, _lines(plain))
    return next(found, None) is not None and next(found, None) is not None


def printed_history(text: str, code: str | None = None) -> Any:
    """The rows in what a training printed, or the columns of the last history that it printed as a dict.

    Rows without a learning rate get the optimizer and the constant rate that the code names, if it names one alone.

    Args:
        text: What was printed.
        code: The code that printed it; if it is None, the text may also hold that code.

    Raises:
        CurveError: No epoch was finished.
    """
    plain = plain_text(text)
    for read in (_rows_of_fit, _dicts, _rows_of_lines):
        if found := read(plain):
            return _with_settings(found, plain, plain if code is None else code)
    raise CurveError("The console text shows no finished epoch with its loss. Record it with `verbose=2`.")


def _with_settings(found: Any, plain: str, code: str) -> Any:
    """The rows with the settings of their run, if they hold no learning rate; columns as they are."""
    if isinstance(found, Mapping) or any(is_learning_rate(name) for row in found for name in row):
        return found
    settings = printed_settings(plain) | written_settings(code)
    return [{**row, **settings} for row in found]


def printed_settings(text: str) -> dict[str, str]:
    """The learning rate and the optimizer that a text names once, on lines of their own."""
    named = {"learning_rate": RATE_SETTING, "optimizer": OPTIMIZER_SETTING}
    found = {name: {*map(str.lower, pattern.findall(text))} for name, pattern in named.items()}
    return {name: values.pop() for name, values in found.items() if len(values) == 1}


def written_settings(code: str) -> dict[str, str]:
    """The optimizer and the constant learning rate that code for Keras gives each of its models.

    Empty if it gives two models different ones, changes the rate in training, or gives one that is not a number.
    """
    code = COMMENT.sub("", code)
    found = {*_called(code), *_named(code)}
    if CHANGES.search(code) or len(found) != 1 or None in found:
        return {}
    (pair,) = found
    return dict(zip(("optimizer", "learning_rate"), pair or (), strict=False))


def _called(code: str) -> Iterator[tuple[str, str] | None]:
    for call in OPTIMIZER_CALL.finditer(code):
        name = (call["r"] or call["python"]).lower()
        momentum = MOMENTUM_GIVEN.search(call["given"])
        if name == "sgd" and momentum and float(momentum[1]) > 0:
            name = "momentum"
        rate = _rate(call["given"], name, code) if call["end"] == ")" else None
        yield (name, rate) if rate else None


def _named(code: str) -> Iterator[tuple[str, str]]:
    for word in OPTIMIZER_WORD.findall(code):
        name = word.lower()
        if name in DEFAULT_RATES:
            yield name, str(DEFAULT_RATES[name])


def _rate(given: str, name: str, code: str) -> str | None:
    """The rate among the arguments of an optimizer, or Keras's default; None if it is no number that is known."""
    named = RATE_GIVEN.search(given)
    first = given.split(",")[0].strip()
    if named is None and (not first or "=" in first):
        return str(DEFAULT_RATES[name])
    value = named[1] if named else first
    if re.fullmatch(r"[A-Za-z_]\w*", value):
        assigned = {*re.findall(rf"^[ \t]*{value}[ \t]*(?:=|<-)[ \t]*(\S+)[ \t]*;?$", code, re.MULTILINE)}
        value = assigned.pop() if len(assigned) == 1 else ""
    return value if re.fullmatch(POSITIVE, value) and float(value) > 0 else None


def _unwrapped(text: str) -> str:
    return WRAPPED_NUMBER.sub(lambda found: found[1] or found[2], text)


def parsed_json(text: str) -> Any:
    """A JSON document; of what is none, the document that Python prints as this text."""
    try:
        return json.loads(text)
    except ValueError:
        quoted = re.sub(r"(?<!\w)'([^'\"\\]*)'", r'"\1"', _unwrapped(text))
        try:
            return json.loads(PYTHON_WORDS.sub(lambda word: JSON_WORDS[word[0]], quoted))
        except ValueError:
            pass
        raise


def _dicts(plain: str) -> Any:
    """The dicts of numbers that are on lines of their own, or the last one of lists; empty if there are none."""
    rows: list[Mapping[str, Any]] = []
    for printed in PRINTED_ROW.findall(plain):
        try:
            row = parsed_json(printed)
        except ValueError:
            continue
        if isinstance(row, Mapping) and any(map(kind_of, map(str, row))):
            rows.append(row)
    series = [row for row in rows if any(isinstance(values, list) for values in row.values())]
    if series:
        return series[-1]
    if columns := _series(plain):
        return columns
    return rows if len(rows) >= MIN_ROWS else []


def _series(plain: str) -> dict[str, list[str]]:
    """The lists of numbers that are on lines of their own, by their names; empty without one that can be judged."""
    columns = {
        name.strip(): [part.strip() for part in cells.split(",")]
        for name, cells in PRINTED_SERIES.findall(_unwrapped(plain))
    }
    judged = any(kind_of(name) and len(cells) >= MIN_ROWS for name, cells in columns.items())
    numbers = re.compile(NUMBER, re.IGNORECASE)
    return {name: cells for name, cells in columns.items() if all(map(numbers.fullmatch, cells))} if judged else {}


def _rows_of_fit(plain: str) -> list[dict[str, Any]]:
    """The finished epochs in what `fit` printed with `verbose` 1 or 2."""
    starts = [*EPOCH_LINE.finditer(plain)]
    ends = [*(start.start() for start in starts[1:]), len(plain)]
    rows = []
    for start, end in zip(starts, ends, strict=False):
        values = _finished_epoch(plain[start.end() : end])
        if values:
            rows.append({"epoch": int(start[1]), **values})
    return rows


def _finished_epoch(text: str) -> dict[str, str]:
    """What was printed at the end of an epoch.

    The validation is on a later line than the last step. What follows without one, as that of `evaluate`, is another's.
    """
    finished: dict[str, str] = {}
    total = None
    for line in text.splitlines():
        progress = PROGRESS_LINE.match(line)
        if progress is None or progress["step"] != progress["steps"]:
            continue
        values = dict(_values_of_fit(line))
        validated = any(name.startswith("val_") for name in values)
        if values and (not finished or (validated and progress["steps"] == total)):
            finished, total = {**finished, **values}, progress["steps"]
    return finished


def _values_of_fit(line: str) -> Iterator[tuple[str, str]]:
    """Name and value of each "name: value" between dashes."""
    for part in re.split(r"\s-\s", line):
        name, _, value = part.strip().partition(": ")
        if re.fullmatch(NUMBER, value, re.IGNORECASE):
            yield name, value


def _rows_of_lines(plain: str) -> list[dict[str, Any]]:
    """The rows in lines of names and numbers; empty if fewer than two of them have a loss, an error or a metric.

    If training is printed in several ways, by epoch and by step, only the best of them counts; so it is with
    validation.
    """
    lines = _last_states(_with_steps([*_lines(_with_decimal_points(plain))]))
    trained, validated = ([_part(line, of) for line in lines] for of in (False, True))
    best = _best_kind([part for part in trained if _is_judged(part)], MIN_ROWS)
    best_validated = _best_kind([part for part in validated if _is_judged(part)], 1)
    rows: list[dict[str, Any]] = []
    for part, evaluation in zip(trained, validated, strict=True):
        row = part.values if part.kind == best else {}
        row |= evaluation.values if evaluation.kind == best_validated else {}
        if any(map(kind_of, row)):
            counts = {"epoch": part.epoch, "step": "" if part.kind == BY_EPOCH else part.step}
            rows.append({name: count for name, count in counts.items() if count} | row)
    return rows if len(rows) >= MIN_ROWS else []


def _with_decimal_points(plain: str) -> str:
    """The text with a decimal point and no mark of thousands in "loss: 0,25", "loss: 1,234.5" and "loss: 1.234,5"."""
    found = COMMA_VALUE.findall(plain)
    if not found:
        return plain
    first, last = ".,"
    if any(re.search(r",\d+\.", number) for number in found) or all(map(GROUPED_BY_COMMA.fullmatch, found)):
        first, last = ",."
    return COMMA_VALUE.sub(lambda number: number[0].replace(first, "").replace(last, "."), plain)


def _with_steps(lines: list[_Line]) -> list[_Line]:
    """The lines with the step before them, if no line names an epoch and what follows a step belongs to it."""
    counted = sum(line.kind == BY_STEP for line in lines)
    beside = sum(line.kind == BY_EPOCH and _is_judged(_part(line, of_validation=False)) for line in lines)
    if any(line.epoch for line in lines) or not counted or beside < MIN_BESIDE * counted:
        return lines
    step, found = "", []
    for line in lines:
        step = line.step or step
        found.append(line._replace(step=step, kind=BY_STEP))
    return found


def _part(line: _Line, of_validation: bool) -> _Line:
    return line._replace(values={n: v for n, v in line.values.items() if is_validation(n) == of_validation})


def _is_judged(line: _Line) -> bool:
    return any(map(kind_of, line.values))


def _best_kind(lines: list[_Line], least: int) -> int | None:
    """The first kind with this many lines; without one, the most frequent kind."""
    counts = {kind: sum(line.kind == kind for line in lines) for kind in (BY_EPOCH, BY_BAR, BY_STEP)}
    enough = [kind for kind, count in counts.items() if count >= least]
    return enough[0] if enough else max(counts, key=lambda kind: counts[kind])


def _last_states(lines: list[_Line]) -> list[_Line]:
    """The lines with the last state of each progress bar alone, unless all are states of a single one."""
    places = [place for place, line in enumerate(lines) if line.kind == BY_BAR and _is_judged(line)]
    ends = [
        place
        for number, place in enumerate(places, start=1)
        if number == len(places) or _starts_over(lines[place], lines[places[number]])
    ]
    if len(ends) == 1:
        return [line._replace(kind=BY_STEP) if line.kind == BY_BAR else line for line in lines]
    finished = {place for place in ends if lines[place].step == lines[place].total}
    kept = finished if len(finished) >= MIN_ROWS else set(ends)
    return [
        line._replace(step="") if line.kind == BY_BAR else line
        for place, line in enumerate(lines)
        if line.kind != BY_BAR or place in kept
    ]


def _starts_over(state: _Line, later: _Line) -> bool:
    """Whether a state of a progress bar is that of another one than the state before it."""
    return (
        state.epoch != later.epoch
        or state.total != later.total
        or int(later.step or 0) < int(state.step or 0)
        or {*map(is_validation, state.values)}.isdisjoint(map(is_validation, later.values))
    )


def _lines(plain: str) -> Iterator[_Line]:
    """The lines with values. One without an epoch belongs to the last one that was named."""
    epoch = title = ""
    for text in plain.split("\n"):
        if not text.strip():
            title = ""
        if not re.search("[A-Za-z]", text):
            continue
        rest = NUMBERS_FIRST.sub(lambda found: f"{NAMES_FIRST[found[2]]}: {found[1]}", text[:MAX_LINE])
        rest = LOSS_FIRST.sub(r"train loss \1 \2 loss", FIRST_OF_TWO.sub("train", rest))
        rest = TIMES.sub("\t", rest)
        counts, rest = _counts(rest)
        if "epoch" in counts:
            epoch, title = counts["epoch"], ""
        values, rest = _values(rest, title)
        if not values:
            named_data = [word for word in words(rest) if _is_data(word)]
            if named_data and len(words(rest)) <= MAX_TITLE_WORDS:
                title = named_data[-1]
            continue
        part = PART_OF_ALL.search(rest)
        step = counts.get("step") or (part[1] if part else "")
        kind = BY_BAR if part and BAR.search(text) else BY_STEP if step else BY_EPOCH
        yield _Line(epoch, step, part[2] if part else "", kind, values)


def _counts(text: str) -> tuple[dict[str, str], str]:
    """The numbers of the epoch and of the step in a line, and the line without them."""
    counts: dict[str, str] = {}
    if leading := LEADING_COUNTS.match(text):
        named = {name: count for name, count in leading.groupdict().items() if count}
        counts = {"epoch" if name == "epoch" else "step": count for name, count in named.items()}
        text = text[leading.end() :]
    for name, pattern in (("epoch", EPOCH), ("step", STEP)):
        if found := pattern.search(text):
            counts[name] = next(filter(None, found.groups()))
            text = f"{text[: found.start()]}\t{text[found.end() :]}"
    return counts, text


def _values(text: str, title: str) -> tuple[dict[str, str], str]:
    """The values in a line, and the line without them.

    Args:
        text: The line without its counters.
        title: On which data they were measured, if the line does not say so; empty if that is not known either.
    """
    values: dict[str, str] = {}
    rest, end, data = [], 0, title
    for pair in PAIR.finditer(text):
        before = text[end : pair.end("name")]
        if named := [word for word in words(before) if _is_data(word)]:
            data = named[-1]
        name = _name(pair["name"])
        judged = kind_of(name) or is_learning_rate(name)
        if not pair["sign"]:
            judged = kind_of(name.rsplit(" ", 1)[-1]) or is_learning_rate(" ".join(name.split()[-2:]))
        if not judged:
            continue
        rest.append(text[end : pair.start()])
        end = pair.end()
        if kind_of(name) and data in VALIDATION_WORDS and not is_validation(name):
            name = f"{data} {name}"
        values.setdefault(name, _number(pair["number"], pair["all"]))
    return values, " ".join([*rest, text[end:]])


def _number(number: str, total: str | None) -> str:
    """The number, or the share that "90/100" says."""
    if total and number.isdecimal() and int(total):
        return str(int(number) / int(total))
    return number


def _name(text: str) -> str:
    """The name without the words of the sentence around it, and without the number of a data set."""
    found = DATA_NUMBER.sub(r"\1", text.strip("'\"")).split()
    apart = [place for place, word in enumerate(found[:-1], 1) if word.endswith(".") or UNIT.fullmatch(word)]
    found = found[max(apart, default=0) :]
    while found and found[0].lower() in FILLERS:
        found = found[1:]
    while found and found[-1].lower() in FILLERS:
        found = found[:-1]
    return " ".join(found)


def _is_data(word: str) -> bool:
    return word in TRAINING_WORDS or word in VALIDATION_WORDS
