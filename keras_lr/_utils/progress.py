"""Progress bars and notices on stderr."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Update = Callable[[int, int, int, str], None]
"""Takes the number of epochs done, the total of all runs, the number of grid points done, and the best so far as text.
"""


@contextlib.contextmanager
def progress_line(
    task: str, total: int, *, show: bool | Literal["auto", 0, 1, 2], unit: str = "steps"
) -> Iterator[Callable[[int], None]]:
    """A progress bar for one task; a terminal clears it at the end, a log file keeps it.

    Args:
        task: What is running, to the left of the bar.
        total: Number of steps, or of `unit`.
        show: "auto" shows the bar on a terminal only.
        unit: What is counted.

    Yields:
        A function that takes the number of steps done.
    """
    if not _is_shown(show):
        yield lambda done: None
        return
    with _bar(task, unit, total=total, keep_in_logs=True) as update:
        yield lambda done: update(completed=done)


@contextlib.contextmanager
def search_line(*, verbose: Any, summary: Callable[[], str] = str) -> Iterator[Update | None]:
    """The progress of a search over learning rates: a bar on a terminal, cleared at the end; elsewhere plain lines.

    Args:
        verbose: As in `fit`: "auto" shows the bar on a terminal only, 0 nothing, any other number the progress.
        summary: Returns the last of the plain lines.

    Yields:
        The function to call after each epoch; None if nothing is shown.
    """
    console = Console(stderr=True)
    if not _is_shown(verbose):
        yield None
    elif console.is_terminal or console.is_jupyter:
        counts = "epochs, {task.fields[points]} rates done, best {task.fields[best]}"
        with _bar("Learning rates", counts, total=None, points=0, best="none yet") as update:
            yield lambda done, total, points, best: update(completed=done, total=total, points=points, best=best)
    else:
        yield _plain_lines()
        if line := summary():
            notice(line, verbose=verbose)


def _plain_lines() -> Update:
    """Writes a line whenever another tenth of the epochs is done."""
    written = None

    def write(done: int, total: int, points: int, best: str) -> None:
        nonlocal written
        tenth = total, 10 * done // max(total, 1)
        if tenth != written:
            written = tenth
            notice(f"{done}/{total} epochs, {points} rates done, best {best}", verbose=True)

    return write


def notice(line: str, *, verbose: Any) -> None:
    """Writes one line to stderr unless `verbose` is 0; a log file gets it too."""
    if verbose:
        print(f"keras_lr: {line}", file=sys.stderr, flush=True)


def _is_shown(show: Any) -> bool:
    return sys.stderr.isatty() if show == "auto" else bool(show)


@contextlib.contextmanager
def _bar(
    task: str, counts: str, *, total: int | None, keep_in_logs: bool = False, **fields: Any
) -> Iterator[Callable[..., None]]:
    """A bar between `task` and `counts`, which may name `fields`; yields the function that changes any of them."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(counts),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=console.is_terminal or not keep_in_logs) as progress:
        yield functools.partial(progress.update, progress.add_task(task, total=total, **fields))
