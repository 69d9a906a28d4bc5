"""A search in MLflow, read by its client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from keras_lr.integrations import to_mlflow
from keras_lr.results import SensitivityResult
from tests.integrations.searched import RATES, raced, searched, values


@pytest.fixture(scope="module")
def client(tmp_path_factory: Any) -> Iterator[Any]:
    """A client of a tracking store in a folder."""
    before = mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        mlflow.set_tracking_uri((tmp_path_factory.mktemp("mlflow") / "runs").as_uri())
        mlflow.set_experiment("digits")
        yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(before)


def children_of(client: Any, parent: str) -> dict[float, Any]:
    experiment = client.get_run(parent).info.experiment_id
    runs = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent}'")
    return {float(run.data.params["learning_rate"]): run for run in runs}


def test_each_rate_is_a_child_of_the_search(client: Any) -> None:
    result = searched()
    parent = to_mlflow(result, run_name="rates")
    children = children_of(client, parent)
    assert sorted(children) == list(RATES)
    for rate in RATES[:-1]:
        measured = values(result.frame, rate, "val_loss")
        child = children[rate]
        assert (child.info.status, child.data.params["batch_size"]) == ("FINISHED", "32")
        assert child.data.metrics["best_val_loss"] == pytest.approx(sorted(measured.min(axis=1))[1])
        history = client.get_metric_history(child.info.run_id, "val_loss")
        assert [one.step for one in history] == [0, 1, 2, 3]
        assert [one.value for one in history] == pytest.approx(np.sort(measured, axis=0)[1])
    assert (children[1.0].info.status, children[1.0].data.tags["status"]) == ("FAILED", "diverged")
    assert "best_val_loss" not in children[1.0].data.metrics


def test_the_parent_has_the_answer_and_the_report(client: Any, tmp_path: Path) -> None:
    result = searched()
    run = client.get_run(to_mlflow(result, run_name="rates"))
    assert (run.info.run_name, run.info.status) == ("rates", "FINISHED")
    assert run.data.metrics["best_learning_rate"] == result.best_learning_rate
    assert run.data.tags["confidence"] == result.confidence
    folder = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    assert "<title>rates</title>" in (folder / "report.html").read_text(encoding="utf-8")
    stored = SensitivityResult.from_dict(json.loads((folder / "result.json").read_text(encoding="utf-8")))
    assert stored.best_learning_rate == result.best_learning_rate


def test_a_run_that_is_active_becomes_the_parent_and_stays_active(client: Any) -> None:
    with mlflow.start_run() as outer:
        parent = to_mlflow(raced())
        assert mlflow.active_run().info.run_id == outer.info.run_id
    assert client.get_run(parent).data.tags["mlflow.parentRunId"] == outer.info.run_id
    assert children_of(client, parent)[1e-4].info.status == "KILLED"


def test_a_metric_with_a_name_that_mlflow_refuses_is_renamed(client: Any) -> None:
    result = raced()
    frame = result.frame.rename(columns={"accuracy": "top@5"})
    renamed = SensitivityResult.from_dict({**result.to_dict(), "frame": frame.to_dict("list")})
    metrics = children_of(client, to_mlflow(renamed))[1e-3].data.metrics
    assert {"top_5", "val_accuracy", "best_val_loss"} <= metrics.keys()
