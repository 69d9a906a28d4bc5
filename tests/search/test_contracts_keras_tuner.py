"""What the search relies on in private parts of KerasTuner: one test per touch, named after what the search needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pytest
from keras_tuner.src.distribute import utils as roles
from keras_tuner.src.engine.metrics_tracking import infer_metric_direction
from keras_tuner.src.engine.objective import MultiObjective
from keras_tuner.src.engine.trial import Trial, TrialStatus
from keras_tuner.src.engine.tuner_utils import TunerCallback

ROLE = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": "1"}


def build(hp: Any) -> keras.Model:
    units = hp.Choice("units", [1, 2])
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units)])
    model.compile("sgd", "mse")
    return model


def a_tuner(folder: Path) -> keras_tuner.Tuner:
    oracle = keras_tuner.oracles.RandomSearchOracle("loss", max_trials=2)
    return keras_tuner.Tuner(oracle, build, directory=folder, project_name="a")


@pytest.fixture
def tuner(tmp_path: Path) -> keras_tuner.Tuner:
    """A tuner alone in its process."""
    return a_tuner(tmp_path)


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> keras_tuner.Tuner:
    """A tuner in a worker's process, whose oracle answers nothing yet."""
    for name, value in (ROLE | {"KERASTUNER_TUNER_ID": "worker"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("keras_tuner.src.distribute.oracle_client.OracleClient.get_space", lambda self: None)
    monkeypatch.setattr("keras_tuner.src.distribute.oracle_client.OracleClient.update_space", lambda self, hp: None)
    return a_tuner(tmp_path)


@pytest.mark.parametrize(
    ("tuner_id", "has_chief", "is_chief"), [(None, False, False), ("chief", True, True), ("worker", True, False)]
)
def test_three_variables_decide_the_role(
    tuner_id: str | None, has_chief: bool, is_chief: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ROLE.items() if tuner_id else ():
        monkeypatch.setenv(name, value)
    if tuner_id:
        monkeypatch.setenv("KERASTUNER_TUNER_ID", tuner_id)
    assert (roles.has_chief_oracle(), roles.is_chief_oracle()) == (has_chief, is_chief)


def test_some_of_the_three_variables_raise_a_runtime_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with pytest.raises(RuntimeError, match="KERASTUNER_ORACLE_PORT"):
        roles.has_chief_oracle()


def test_is_worker_is_true_in_a_worker_s_process_alone(tuner: keras_tuner.Tuner) -> None:
    assert tuner._is_worker() is False


def test_a_tuner_is_made_in_a_worker_s_process_though_no_chief_answers(worker: keras_tuner.Tuner) -> None:
    assert worker._is_worker() is True


def test_build_hypermodel_builds_a_compiled_model_of_the_values_in_the_tuner_s_scope(tuner: keras_tuner.Tuner) -> None:
    values = tuner.oracle.get_space().copy()
    values.values["units"] = 2
    model = tuner._build_hypermodel(values)
    assert model.output_shape == (None, 2)
    assert model.compiled


def test_the_space_is_populated_by_a_build_when_a_tuner_is_made(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Populating(keras_tuner.Tuner):
        def _populate_initial_space(self) -> None:
            seen.append(self.oracle.hyperparameters.values.copy())
            super()._populate_initial_space()
            seen.append(self.oracle.hyperparameters.values.copy())

    Populating(
        keras_tuner.oracles.RandomSearchOracle("loss", max_trials=2), build, directory=tmp_path, project_name="a"
    )
    assert seen == [{}, {"units": 1}]


def test_override_compile_args_compiles_what_was_built_with_the_arguments_of_the_tuner(tmp_path: Path) -> None:
    compiled: list[tuple[str, str]] = []

    class Overriding(keras_tuner.Tuner):
        def _override_compile_args(self, model: keras.Model) -> None:
            before = type(model.optimizer).__name__
            super()._override_compile_args(model)
            compiled.append((before, type(model.optimizer).__name__))
            assert (self.optimizer, self.loss, self.metrics) == ("adam", None, None)

    oracle = keras_tuner.oracles.RandomSearchOracle("loss", max_trials=2)
    tuner = Overriding(oracle, build, optimizer="adam", directory=tmp_path, project_name="a")
    compiled.clear()
    assert tuner._build_hypermodel(tuner.oracle.get_space()).loss == "mse"
    assert compiled == [("SGD", "Adam")]


def test_infer_metric_direction_knows_the_metrics_of_keras_and_says_none_of_an_unknown_name() -> None:
    known = {"loss": "min", "accuracy": "max", "mean_squared_error": "min", "auc": "max", "unheard_of": None}
    assert {name: infer_metric_direction(name) for name in known} == known


def test_a_tuner_callback_calls_the_methods_of_the_tuner(tuner: keras_tuner.Tuner) -> None:
    calls: list[Any] = []

    class Recording:
        def __getattr__(self, name: str) -> Any:
            return lambda trial, model, number, logs=None: calls.append((name, trial, number))

    callback = TunerCallback(Recording(), "trial")
    for name in ("on_epoch_begin", "on_batch_begin", "on_batch_end", "on_epoch_end"):
        getattr(callback, name)(3, {})
    assert calls == [
        (name, "trial", 3) for name in ("on_epoch_begin", "on_batch_begin", "on_batch_end", "on_epoch_end")
    ]


def test_configure_tensorboard_dir_gives_each_trial_and_execution_a_folder(
    tuner: keras_tuner.Tuner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    callbacks: list[Any] = [keras.callbacks.TensorBoard("logs")]
    tuner._configure_tensorboard_dir(callbacks, Trial(tuner.oracle.get_space(), trial_id="7"), 2)
    assert Path(callbacks[0].log_dir).parts == ("logs", "7", "execution2")
    assert [type(callback).__module__.split(".")[0] for callback in callbacks[1:]] == ["tensorboard"]


def test_an_oracle_writes_a_trial_by_save_trial_and_itself_by_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner, saved = a_tuner(tmp_path), []
    monkeypatch.setattr(type(tuner.oracle), "_save_trial", lambda self, trial: saved.append("trial"), raising=True)
    monkeypatch.setattr(type(tuner.oracle), "save", lambda self: saved.append("oracle"))
    before = sorted(path.name for path in tmp_path.rglob("*"))
    trial = tuner.oracle.create_trial("tuner")
    tuner.oracle.update_trial(trial.trial_id, {"loss": 1.0})
    trial.status = TrialStatus.COMPLETED
    tuner.oracle.end_trial(trial)
    assert set(saved) == {"trial", "oracle"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_list_of_objectives_is_a_multi_objective(tmp_path: Path) -> None:
    oracle = keras_tuner.oracles.RandomSearchOracle(["loss", keras_tuner.Objective("val_loss", "min")], max_trials=1)
    assert isinstance(oracle.objective, MultiObjective)
