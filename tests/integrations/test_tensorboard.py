"""A search in TensorBoard, read by TensorBoard's own reader and by its HParams plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

from keras_lr.analysis import analyze_sensitivity
from keras_lr.errors import InvalidArgumentError
from keras_lr.integrations import to_tensorboard
from tests.integrations.searched import RATES, searched, values
from tests.sensitivity_samples import sensitivity_frame

NAMES = ("lr_0.0001", "lr_0.001", "lr_0.01", "lr_1")


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory: Any) -> Path:
    return to_tensorboard(searched(), tmp_path_factory.mktemp("logs"))


def table_of(folder: Path) -> dict[str, tuple[dict[str, float], str, float | None]]:
    """The plugin's table: hyperparameters, status and metric of each run."""
    reader = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    provider = MultiplexerDataProvider(reader, str(folder))
    context = backend_context.Context(TBContext(data_provider=provider, logdir=str(folder)))
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=100,
        include_metrics=True,
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE],
        aggregation_type=api_pb2.AGGREGATION_AVG,
    )
    found = list_session_groups.Handler(RequestContext(), context, "", request).run()
    return {
        group.name: (
            {name: value.number_value for name, value in group.hparams.items()},
            api_pb2.Status.Name(group.sessions[0].status),
            group.metric_values[0].value if group.metric_values else None,
        )
        for group in found.session_groups
    }


def test_the_table_has_a_row_per_rate(log_dir: Path) -> None:
    table = table_of(log_dir)
    assert sorted(table) == sorted(NAMES)
    frame = searched().frame
    for name, rate in zip(NAMES[:-1], RATES, strict=False):
        parameters, status, best = table[name]
        assert (parameters, status) == ({"learning_rate": rate, "batch_size": 32.0}, "STATUS_SUCCESS")
        assert best == pytest.approx(sorted(values(frame, rate, "val_loss").min(axis=1))[1], rel=1e-6)
    assert table["lr_1"] == ({"learning_rate": 1.0, "batch_size": 32.0}, "STATUS_FAILURE", None)


def test_the_scalars_are_those_of_the_epochs(log_dir: Path) -> None:
    for name, rate in zip(NAMES[:-1], RATES, strict=False):
        events = EventAccumulator(str(log_dir / name)).Reload()
        for metric in ("loss", "val_loss", "accuracy", "val_accuracy"):
            drawn = events.Scalars(metric)
            assert [one.step for one in drawn] == [0, 1, 2, 3]
            middle = np.sort(values(searched().frame, rate, metric), axis=0)[1]
            assert [one.value for one in drawn] == pytest.approx(middle, rel=1e-6)


def test_runs_are_not_written_twice(log_dir: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"`log_dir` must not hold these runs yet.*'lr_0.0001'.*another"):
        to_tensorboard(searched(), log_dir)


def test_batch_sizes_have_runs_of_their_own(tmp_path: Path) -> None:
    frame = sensitivity_frame((1e-3,), repeats=1, epochs=1, batch_sizes=(16, 64))
    to_tensorboard(analyze_sensitivity(frame), tmp_path)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"lr_0.001-batch_16", "lr_0.001-batch_64"}
