"""A search in Weights & Biases: a group with a run per learning rate, and a run with the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras_lr._utils.validation import missing_package
from keras_lr.integrations._trials import answer_of, result_of, trials_of
from keras_lr.report import Report

if TYPE_CHECKING:
    from keras_lr.results._sensitivity import SensitivityResult
    from keras_lr.search._tuner import LogGridSearch


def to_wandb(
    search: LogGridSearch | SensitivityResult, *, group: str = "learning rate search", **kwargs: Any
) -> tuple[str, ...]:
    """Writes a search to Weights & Biases: a run per learning rate, and one with the answer and the report.

    A run has its learning rate and batch size as configuration, the metrics of each epoch, and in its summary the best
    value of the objective, `best_<objective>`, and how it ended, `status`. A run that is already active stays so.

    Args:
        search: A `LogGridSearch`, a `RaceSearch` or a `SensitivityResult`.
        group: The group of the runs.
        **kwargs: Further arguments of `wandb.init`, such as `project`, `entity`, `dir`, or `mode="offline"` to write
            files that `wandb sync` uploads later.

    Returns:
        The ids of the runs; the last is that of the run with the report.

    Raises:
        MissingPackageError: W&B is not installed.
        InvalidArgumentError: `search` is of another type.
        SearchError: Nothing is recorded yet.

    Source:
        W&B's grouped runs, https://docs.wandb.ai/guides/runs/grouping.

    Example:
        >>> ids = keras_lr.integrations.to_wandb(tuner, project="digits", mode="offline")
    """
    result = result_of(search)
    try:
        import wandb
    except ImportError as err:
        raise missing_package("`to_wandb`", "W&B", "wandb") from err

    ids = []
    common = {"group": group, "reinit": "create_new", **kwargs}
    for trial in trials_of(result):
        config = {**trial.parameters, "repeats": trial.repeats}
        run = wandb.init(name=trial.name, job_type="learning rate", config=config, **common)
        for epoch, logged in trial.logged():
            run.log({"epoch": epoch, **logged})
        run.summary["status"] = trial.status
        if trial.value is not None:
            run.summary[f"best_{result.objective}"] = trial.value
        run.finish(exit_code=int(trial.status == "failed"))
        ids.append(str(run.id))
    run = wandb.init(name=group, job_type="search", **common)
    run.summary.update(answer_of(result))
    run.log({"report": wandb.Html(Report(group).add(result).to_html(), inject=False)})
    run.finish()
    return (*ids, str(run.id))
