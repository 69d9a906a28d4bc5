"""A search in MLflow: a parent run with a child run per learning rate, and the report as an artifact."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from keras_lr._utils.validation import missing_package
from keras_lr.integrations._trials import Trial, answer_of, result_of, trials_of
from keras_lr.report import Report
from keras_lr.results._sensitivity import RunStatus

if TYPE_CHECKING:
    from keras_lr.results._sensitivity import SensitivityResult
    from keras_lr.search._tuner import LogGridSearch

_STATUS: dict[RunStatus, str] = {"ok": "FINISHED", "pruned": "KILLED", "diverged": "FAILED", "failed": "FAILED"}
_BATCH = 1000
"""Most metrics that MLflow takes at once."""

_NOT_ALLOWED = re.compile(r"[^\w.\- /]")
"""What the name of a metric must not hold."""


def to_mlflow(search: LogGridSearch | SensitivityResult, *, run_name: str = "learning rate search") -> str:
    """Writes a search to MLflow: a parent run with the answer, and below it a child run per learning rate.

    A child run has its learning rate and batch size as parameters, the metrics of each epoch, and the best value of
    the objective as `best_<objective>`. It is "FINISHED"; if it stopped early "KILLED", and if it diverged or failed
    "FAILED". The parent run has the report, `report.html`, and the result, `result.json`, as artifacts.

    The runs go to the tracking server and the experiment that are set with `mlflow.set_tracking_uri` and
    `mlflow.set_experiment`. If a run is active, the parent becomes a child of it.

    Args:
        search: A `LogGridSearch`, a `RaceSearch` or a `SensitivityResult`.
        run_name: Name of the parent run.

    Returns:
        The id of the parent run.

    Raises:
        MissingPackageError: MLflow is not installed.
        InvalidArgumentError: `search` is of another type.
        SearchError: Nothing is recorded yet.

    Source:
        MLflow's nested runs, https://mlflow.org/docs/latest/ml/traditional-ml/tutorials/hyperparameter-tuning.

    Example:
        >>> import mlflow
        >>> experiment = mlflow.set_experiment("digits")
        >>> run_id = keras_lr.integrations.to_mlflow(tuner, run_name="learning rate")
    """
    result = result_of(search)
    try:
        import mlflow
    except ImportError as err:
        raise missing_package("`to_mlflow`", "MLflow", "mlflow") from err

    answer = answer_of(result)
    numbers = {name: float(value) for name, value in answer.items() if isinstance(value, (int, float))}
    with mlflow.start_run(run_name=run_name, nested=True) as parent:
        client = mlflow.MlflowClient()
        for trial in trials_of(result):
            _write_child(client, parent.info, trial, result.objective)
        mlflow.log_params({name: answer[name] for name in ("objective", "direction", "engine")})
        mlflow.log_metrics(numbers)
        mlflow.set_tags({name: answer[name] for name in ("confidence", "reason")})
        mlflow.log_text(Report(run_name).add(result).to_html(), "report.html")
        mlflow.log_dict(result.to_dict(), "result.json")
    return str(parent.info.run_id)


def _write_child(client: Any, parent: Any, trial: Trial, objective: str) -> None:
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    run = client.create_run(parent.experiment_id, run_name=trial.name, tags={"mlflow.parentRunId": parent.run_id})
    metrics = [
        Metric(_NOT_ALLOWED.sub("_", name), value, now, epoch)
        for epoch, logged in trial.logged()
        for name, value in logged.items()
    ]
    if trial.value is not None:
        metrics.append(Metric(_NOT_ALLOWED.sub("_", f"best_{objective}"), trial.value, now, 0))
    client.log_batch(
        run.info.run_id,
        params=[Param(name, str(value)) for name, value in trial.parameters.items()],
        tags=[RunTag("status", trial.status), RunTag("repeats", str(trial.repeats))],
    )
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run.info.run_id, metrics=metrics[start : start + _BATCH])
    client.set_terminated(run.info.run_id, _STATUS[trial.status])
