"""The section of a search over learning rates."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_lr.analysis.run_scores import run_scores
from keras_lr.plots.heatmap import MAX_SIZES, plot_heatmap
from keras_lr.plots.sensitivity import MAX_RATES, plot_sensitivity
from keras_lr.records.sensitivity import SensitivityResult
from keras_lr.report.environment import environment_rows
from keras_lr.report.figures import figure
from keras_lr.report.sections import sensitivity_text as wording
from keras_lr.report.sections.base import Section, part_view, section_view
from keras_lr.report.sections.search_data import embedded_frame, search_data
from keras_lr.report.sections.search_histories import representative_diagnoses, search_histories
from keras_lr.report.sections.search_table import rate_table


def summarize(results: tuple[SensitivityResult], prefix: str) -> dict[str, Any]:
    """Everything the page says of a search."""
    (result,) = results
    runs = run_scores(result.frame, objective=result.objective, direction=result.direction)
    kept = embedded_frame(result)
    diagnoses = representative_diagnoses(result, runs)
    return section_view(
        heading="Sensitivity",
        verdict=wording.verdict_of(result),
        warnings=wording.warnings(result, runs, diagnoses.get(result.best_learning_rate or 0.0)),
        note="What each learning rate came to when trained in full: the answer to go by.",
        facts=wording.facts(result, runs),
        figure=figure(
            lambda fig: plot_sensitivity(result, ax=fig.subplots()),
            title=f"{wording.objective_of(result)} against learning rate",
            description=wording.describe(result, runs, drawn=min(MAX_RATES, len(result.learning_rates))),
            prefix=f"{prefix}-u",
        ),
        tables=[rate_table(result, runs)],
        parts=[*_heatmap(result, prefix), *search_histories(result, diagnoses, prefix)],
        method=wording.method(result),
        environment=environment_rows(result.environment),
        script=wording.script(result),
        data=search_data(result, kept),
        records=[dataclasses.replace(result, frame=kept).to_dict()],
    )


def _heatmap(result: SensitivityResult, prefix: str) -> list[dict[str, Any]]:
    sizes = len(result.batch_sizes)
    if sizes < 2:
        return []
    height = 1.0 + 0.45 * min(sizes, MAX_SIZES)
    picture = figure(
        lambda fig: plot_heatmap(result, ax=fig.subplots()),
        title=f"Median {wording.objective_of(result)} by learning rate and batch size",
        description=wording.describe_heatmap(result),
        prefix=f"{prefix}-batch",
        broad=True,
        heights=(height, height),
    )
    note = "The fuller a cell, the better its rank. A cross: most runs diverged. The frame: the best."
    return [part_view(name="batch", heading="Learning rate and batch size", figure=picture, note=note)]


SECTION = Section("sensitivity", "keras_lr.records.sensitivity:SensitivityResult", summarize, rank=60)
