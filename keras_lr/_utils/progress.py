"""One live line that says what is running and how far it is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Update = Callable[[int, int, int, str], None]
"""Takes the epochs done and of all runs, the grid points done, and the best so far in words."""


@contextlib.contextmanager
def progress_line(
    task: str, total: int, *, show: bool | Literal["auto", 0, 1, 2], unit: str = "steps"
) -> Iterator[Callable[[int], None]]:
    """A progress line on stderr, gone when done on a terminal and left elsewhere.

    Yields a function that takes the number of steps, or `unit`, done.
    """
    if not (sys.stderr.isatty() if show == "auto" else show):
        yield lambda done: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=console.is_terminal) as progress:
        identifier = progress.add_task(task, total=total)
        yield lambda done: progress.update(identifier, completed=done)


@contextlib.contextmanager
def search_line(*, verbose: Any) -> Iterator[Update | None]:
    """A progress line on stderr, gone when done; yields None where it is not shown.

    Args:
        verbose: As in `fit`: "auto" shows the line on a terminal, 0 never, another number always.
    """
    if not (sys.stderr.isatty() if verbose == "auto" else verbose):
        yield None
        return
    columns = (
        TextColumn("Learning rates"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs, {task.fields[points]} rates done, best {task.fields[best]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("search", total=None, points=0, best="none yet")

        def update(done: int, total: int, points: int, best: str) -> None:
            progress.update(task, completed=done, total=total, points=points, best=best)

        yield update


def notice(line: str, *, verbose: Any) -> None:
    """Writes a line to stderr, also into a log file; `verbose=0` hides it."""
    if verbose:
        print(f"keras_lr: {line}", file=sys.stderr, flush=True)
