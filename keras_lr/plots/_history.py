"""The pictures of training histories, with what was found in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes

from keras_lr.analysis._diagnosis.history import is_higher_better
from keras_lr.plots._losses import LossLines, Scale, checked_panels, draw_losses, label_panel, mark_findings, name_lines
from keras_lr.plots._style import new_axes, plain_text
from keras_lr.results._diagnosis import Diagnosis


def plot_history(diagnosis: Diagnosis, *, ax: Axes | None = None) -> Axes:
    """Draws loss and validation loss against the epoch, and hatches the epochs in which something was found.

    A loss far above the rest, or not finite, is a cross at the upper edge.

    Args:
        diagnosis: What `analyze_history` returned.
        ax: Axes to draw on; those of a new figure where None.

    Returns:
        The axes drawn on.
    """
    ax = new_axes() if ax is None else ax
    lines = _lines(diagnosis)
    draw_losses(ax, [lines], Scale.of([lines]))
    mark_findings(ax, diagnosis.findings)
    ax.set_xlabel(diagnosis.unit.capitalize())
    name = plain_text(diagnosis.monitor, limit=32)
    # What should grow is negated in the record, so that lower is better everywhere.
    ax.set_ylabel(f"Negated {name}" if is_higher_better(diagnosis.monitor) else name.capitalize(), parse_math=False)
    name_lines(ax)
    return ax


def plot_histories(diagnoses: Mapping[str, Diagnosis], *, axes: Sequence[Axes] | None = None) -> list[Axes]:
    """Draws several runs beside each other, with one scale for all.

    Args:
        diagnoses: What `analyze_history` returned, by the run's name.
        axes: As many Axes as runs; those of a new figure where None.

    Returns:
        The axes drawn on, one a run.

    Raises:
        InvalidArgumentError: `axes` are more or fewer than the runs.
    """
    drawn = checked_panels(axes, len(diagnoses))
    for ax, draw in zip(drawn, history_panels(diagnoses).values(), strict=True):
        draw(ax)
    if drawn:
        name_lines(drawn[0])
    return drawn


def history_panels(diagnoses: Mapping[str, Diagnosis]) -> dict[str, Callable[[Axes], None]]:
    """What draws each panel of `plot_histories`, all to one scale, by the run's name."""
    scale = Scale.of([_lines(diagnosis) for diagnosis in diagnoses.values()])

    def drawn(name: str, diagnosis: Diagnosis) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            draw_losses(ax, [_lines(diagnosis)], scale)
            mark_findings(ax, diagnosis.findings)
            label_panel(ax, title=name, x=diagnosis.unit.capitalize(), y="Loss")

        return draw

    return {name: drawn(name, diagnosis) for name, diagnosis in diagnoses.items()}


def _lines(diagnosis: Diagnosis) -> LossLines:
    return LossLines.of(diagnosis.epochs, diagnosis.losses, diagnosis.val_losses)
