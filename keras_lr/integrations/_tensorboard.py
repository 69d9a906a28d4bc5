"""A search in TensorBoard: scalars per epoch, and the HParams plugin's table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_lr.errors import InvalidArgumentError
from keras_lr.integrations._trials import Trial, result_of, trials_of

if TYPE_CHECKING:
    from keras_lr.results._sensitivity import SensitivityResult
    from keras_lr.search._tuner import LogGridSearch


def to_tensorboard(search: LogGridSearch | SensitivityResult, log_dir: str | Path) -> Path:
    """Writes a search for TensorBoard: the scalars of each epoch, and a row per learning rate for the HParams plugin.

    Each learning rate and batch size is a run in a folder of its own. The HParams table shows the best value of the
    objective as `best/<objective>`; trials that diverged or failed have the status "failure".

    Args:
        search: A `LogGridSearch`, a `RaceSearch` or a `SensitivityResult`.
        log_dir: Folder for the runs, as for `tensorboard --logdir`. It may hold other runs, but not these.

    Returns:
        The folder.

    Raises:
        InvalidArgumentError: `search` is of another type, or `log_dir` already holds a run of the same name.
        SearchError: Nothing is recorded yet.
        OSError: The folder cannot be written.

    Source:
        TensorBoard's HParams plugin, https://www.tensorflow.org/tensorboard/hyperparameter_tuning_with_hparams.

    Example:
        >>> folder = keras_lr.integrations.to_tensorboard(tuner, "logs/learning_rate")
    """
    from tensorboard.plugins.hparams import api

    result, folder = result_of(search), Path(log_dir)
    trials = trials_of(result)
    if there := [trial.name for trial in trials if (folder / trial.name).exists()]:
        raise InvalidArgumentError(
            f"`log_dir` must not hold these runs yet. Received: {folder}, which holds {there[0]!r}. Pass another "
            "folder."
        )
    best = f"best/{result.objective}"
    rates = [trial.parameters["learning_rate"] for trial in trials]
    table = [
        api.HParam("learning_rate", api.Discrete(sorted(set(rates)), dtype=float)),
        api.HParam("batch_size", api.Discrete(list(result.batch_sizes))),
    ]
    with _events(folder) as write:
        write(api.hparams_config_pb(table, [api.Metric(best, display_name=f"best {result.objective}")]))
    for trial in trials:
        _write_trial(folder / trial.name, trial, best)
    return folder


def _write_trial(folder: Path, trial: Trial, best: str) -> None:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api, api_pb2, summary

    with _events(folder) as write:
        write(api.hparams_pb(trial.parameters, trial_id=trial.name))
        for epoch, logged in trial.logged():
            write(Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in logged.items()]), epoch)
        if trial.value is not None:
            write(Summary(value=[Summary.Value(tag=best, simple_value=trial.value)]), int(trial.curves.index[-1]))
        broken = trial.status in ("diverged", "failed")
        write(summary.session_end_pb(api_pb2.STATUS_FAILURE if broken else api_pb2.STATUS_SUCCESS))


@contextmanager
def _events(folder: Path) -> Iterator[Callable[..., None]]:
    """A function that writes summaries to a new event file in `folder`."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))

    def write(summary: Any, step: int = 0) -> None:
        # Some of TensorBoard's functions return TensorFlow's own class of summaries.
        same = Summary.FromString(summary.SerializeToString())
        writer.add_event(Event(summary=same, step=step, wall_time=time.time()))

    try:
        yield write
    finally:
        writer.close()
