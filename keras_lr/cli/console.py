"""What commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from keras_lr.records.suggestion import Suggestion

_STYLES = {"clear": ("green", "Clear"), "tentative": ("yellow", "Tentative"), "none": ("red", "No answer")}


def standard_output() -> Console:
    """The console for results; plain where the output is not a terminal."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def print_suggestion(console: Console, suggestion: Suggestion) -> None:
    """Prints the badge, the learning rate with its interval, and the reason."""
    from rich.text import Text

    from keras_lr.plots.numbers import format_rate

    color, badge = _STYLES[suggestion.confidence]
    line = Text.assemble((f"{badge}: ", f"bold {color}"))
    if suggestion.learning_rate is None or suggestion.low is None or suggestion.high is None:
        line.append("no usable learning rate found")
    else:
        line.append(f"learning_rate={format_rate(suggestion.learning_rate)}", style="bold")
        line.append(f"  (usable from {format_rate(suggestion.low)} to {format_rate(suggestion.high)})")
    console.print(line)
    console.print(Text(suggestion.reason))
