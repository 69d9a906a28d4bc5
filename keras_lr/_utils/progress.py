"""Progress and notices: a bar on a terminal, one changing line in a notebook, a few plain lines in a log file."""

from __future__ import annotations

import builtins
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

from keras_lr._utils.formatting import counted

if TYPE_CHECKING:
    from rich.console import Console

Update = Callable[[int, int, int, str], None]
"""Takes the number of epochs done, the total of all runs, the number of grid points done, and the best so far as text.
"""

_FIRST_PAUSE_SECONDS = 3.0
_LONGEST_PAUSE_SECONDS = 60.0
_NOTEBOOK_PAUSE_SECONDS = 0.2

_summaries: ContextVar[bool] = ContextVar("keras_lr_summaries", default=True)


@contextlib.contextmanager
def progress_line(
    task: str, total: int, *, show: bool | Literal["auto", 0, 1, 2], unit: str = "steps"
) -> Iterator[Callable[[int], None]]:
    """The progress of one task, on stderr; a notebook shows it with the output of the cell.

    Args:
        task: What is running.
        total: Number of steps, or of `unit`; if more are done, only these are counted.
        show: False and 0 show nothing.
        unit: What is counted.

    Yields:
        A function that takes the number of steps done.
    """
    with _progress(task, unit, show=show, total=total) as update:

        def update_count(done: int) -> None:
            of = f"/{total}" if done <= total else ""
            update(done, max(done, total), f"{task}: {done}{of} {unit}")

        yield update_count


@contextlib.contextmanager
def search_line(*, verbose: Any) -> Iterator[Update | None]:
    """The progress of a search over learning rates.

    Args:
        verbose: As in `fit`: 0 shows nothing.

    Yields:
        The function to call after each epoch; None if nothing is shown.
    """
    if not verbose:
        yield None
        return
    counts = "epochs, {task.fields[points]} done, best {task.fields[best]}"
    with _progress(
        "Learning rates", counts, show=True, total=None, points=counted(0, "rate"), best="none yet"
    ) as update:

        def update_all(done: int, total: int, points: int, best: str) -> None:
            rates = counted(points, "rate")
            text = f"Learning rates: {done}/{total} epochs, {rates} done, best {best}"
            update(done, total, text, points=rates, best=best)

        yield update_all


def notice(line: str, *, verbose: Any) -> None:
    """Writes one line to stderr unless `verbose` is 0; a log file gets it too.

    A notebook shows stderr like an error, so there the line goes to the output of the cell.
    """
    if verbose:
        print(f"keras_lr: {line}", file=sys.stdout if _in_notebook() else sys.stderr, flush=True)


def summary(line: str, *, verbose: Any) -> None:
    """Writes a `notice` of what a call has found, unless the caller shows it itself."""
    if _summaries.get():
        notice(line, verbose=verbose)


def shown_in_fit(verbose: Any, params: Mapping[str, Any] | None) -> bool:
    """Whether a callback shows anything: its own `verbose`, where "auto" follows that of `fit`, in its `params`."""
    return bool((params or {}).get("verbose", 1) if verbose == "auto" else verbose)


@contextlib.contextmanager
def no_summaries() -> Iterator[None]:
    """Within the block, `summary` writes nothing."""
    former = _summaries.set(False)
    try:
        yield
    finally:
        _summaries.reset(former)


def _in_notebook() -> bool:
    if not hasattr(builtins, "get_ipython"):
        return False
    from rich.console import Console

    return Console().is_jupyter


@contextlib.contextmanager
def _progress(task: str, counts: str, *, show: Any, total: int | None, **fields: Any) -> Iterator[Callable[..., None]]:
    """Progress in the form that suits the place; yields a function of the count, the total and the line of text."""
    if not show:
        yield lambda done, total, text, **changed: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_jupyter:
        with _line_in_notebook() as update:
            yield update
    elif console.is_terminal:
        with _bar(console, task, counts, total=total, **fields) as update:
            yield update
    else:
        yield _lines_in_log()


@contextlib.contextmanager
def _bar(
    console: Console, task: str, counts: str, *, total: int | None, **fields: Any
) -> Iterator[Callable[..., None]]:
    """A bar between `task` and `counts`, which may name `fields`; it is cleared at the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(counts),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(task, total=total, **fields)
        yield lambda done, total, text, **changed: progress.update(bar, completed=done, total=total, **changed)


@contextlib.contextmanager
def _line_in_notebook() -> Iterator[Callable[..., None]]:
    """One line of a cell's output that is written again and again, and cleared at the end."""
    due = time.monotonic()
    width = 0

    def update(_done: int, _total: int, text: str, **_: Any) -> None:
        nonlocal due, width
        if time.monotonic() >= due:
            print(f"\r{text.ljust(width)}", end="", flush=True)
            due, width = time.monotonic() + _NOTEBOOK_PAUSE_SECONDS, len(text)

    try:
        yield update
    finally:
        if width:
            print(f"\r{' ' * width}\r", end="", flush=True)


def _lines_in_log() -> Callable[..., None]:
    """Writes lines to stderr after 3, 6, 12, 24 and 48 seconds, and then every 60."""
    pause = _FIRST_PAUSE_SECONDS
    due = time.monotonic() + pause

    def update(_done: int, _total: int, text: str, **_: Any) -> None:
        nonlocal pause, due
        if time.monotonic() >= due:
            notice(text, verbose=True)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            due = time.monotonic() + pause

    return update
