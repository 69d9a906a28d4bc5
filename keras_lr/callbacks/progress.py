"""One live line that says what is running and how far it is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


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
