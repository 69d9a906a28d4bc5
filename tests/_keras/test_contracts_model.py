"""What keras_lr relies on in private parts of `keras.Model`: one test per touch, named after what the rest needs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.common import global_state
from keras.src.backend.tensorflow.trainer import TFEpochIterator

from keras_lr._keras.model import attributes_of_keras, settings_of, users_code
from tests._keras.tiny_model import X, Y, fit, tiny_model


def nested() -> tuple[keras.Model, keras.Model, keras.layers.Layer]:
    leaf = keras.layers.Dense(1)
    inner = keras.Sequential([leaf])
    return keras.Sequential([keras.Input((3,)), inner]), inner, leaf


def test_flatten_layers_lists_the_model_and_layers_at_every_depth() -> None:
    model, inner, leaf = nested()
    assert [layer for layer in model._flatten_layers() if layer in (model, inner, leaf)] == [model, inner, leaf]
    assert model not in list(model._flatten_layers(include_self=False))


def test_flatten_layers_without_recursive_lists_direct_layers_alone() -> None:
    model, inner, leaf = nested()
    direct = list(model._flatten_layers(include_self=False, recursive=False))
    assert inner in direct
    assert leaf not in direct


def test_nodes_by_depth_lists_each_call_before_what_uses_it() -> None:
    data = keras.Input((3,), name="data")
    shared = keras.layers.Dense(3, name="shared")
    first = shared(data)
    model = keras.Model(data, keras.layers.Add(name="add")([first, shared(first)]))
    nodes = [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]
    assert [node.operation.name for node in nodes] == ["data", "shared", "shared", "add"]
    assert [node.is_input for node in nodes] == [True, False, False, False]
    assert [[nodes.index(parent) for parent in node.parent_nodes] for node in nodes] == [[], [0], [1], [1, 2]]
    assert not hasattr(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]), "_nodes_by_depth")


def test_distribute_strategy_is_none_unless_the_model_is_made_in_a_scope() -> None:
    assert tiny_model()._distribute_strategy is None
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        assert tiny_model()._distribute_strategy is strategy


def test_symbolic_build_of_a_batch_builds_model_metrics_and_optimizer() -> None:
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    model._symbolic_build(data_batch=(X, Y, None))
    assert model.built
    assert model.optimizer.built
    assert {metric.name for metric in model.metrics} == {"loss", "compile_metrics"}
    assert "mae" in model.get_metrics_result()
    assert len(model.optimizer.variables) > 2


def test_compile_metrics_are_made_from_targets_and_outputs() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    metrics = model._compile_metrics
    assert not metrics.built
    for _ in range(2):
        metrics.build(keras.KerasTensor((None, 1)), model.outputs[0])
        assert [metric.name for metric in metrics.metrics] == ["mae"]
        metrics.built = False
    assert metrics.variables == []


def test_maybe_symbolic_build_builds_from_an_epoch_iterator_under_a_strategy_alone() -> None:
    def built(strategy: Any) -> bool:
        with strategy.scope():
            model = keras.Sequential([keras.layers.Dense(1)])
            model.compile("sgd", "mse")
        model._maybe_symbolic_build(iterator=TFEpochIterator(distribute_strategy=strategy, x=X, y=Y, batch_size=4))
        return bool(model.built)

    assert built(tf.distribute.OneDeviceStrategy("CPU:0"))
    assert not built(tf.distribute.get_strategy())


def test_get_metrics_result_or_logs_gives_what_fit_logs_for_an_epoch() -> None:
    model = tiny_model(metrics=["mae"])
    logs = model.train_on_batch(X, Y, return_dict=True)
    epoch = model._get_metrics_result_or_logs(logs)
    assert set(epoch) == {"loss", "mae"}
    assert float(epoch["loss"]) == pytest.approx(float(logs["loss"]))


def test_fit_passes_the_last_step_s_logs_to_get_metrics_result_or_logs_and_logs_what_it_returns() -> None:
    model = tiny_model()
    seen: list[Any] = []
    steps: list[Any] = []
    model._get_metrics_result_or_logs = lambda logs: seen.append(logs) or {"ours": 1.0}
    keep = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(logs))
    history = fit(model, keep, epochs=1)
    assert len(steps) == 2
    assert seen == [steps[-1]]
    assert history.history == {"ours": [1.0]}


def test_fit_reads_train_function_before_each_execution() -> None:
    model = tiny_model()
    calls: list[int] = []

    def replace(batch: int, logs: Any = None) -> None:
        inner = model.train_function

        def counted(iterator: Any) -> Any:
            calls.append(batch)
            return inner(iterator)

        model.train_function = counted

    fit(model, keras.callbacks.LambdaCallback(on_train_batch_begin=replace), epochs=1)
    assert calls == [0, 1, 0]


def test_loss_tracker_is_new_after_each_compile_and_none_before_the_first() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    assert model._loss_tracker is None
    model.compile("sgd", "mse")
    first = model._loss_tracker
    model.compile("sgd", "mae")
    assert first is not None
    assert model._loss_tracker is not first


def test_loss_tracker_s_result_after_one_step_is_that_batch_s_loss() -> None:
    model = tiny_model()
    for rows in (slice(0, 4), slice(4, 8)):
        expected = float(np.mean((model.predict_on_batch(X[rows]) - Y[rows]) ** 2))
        model.reset_metrics()
        logs = model.train_step((tf.constant(X[rows]), tf.constant(Y[rows])))
        assert float(model._loss_tracker.result()) == pytest.approx(expected, rel=1e-5)
        assert float(logs["loss"]) == pytest.approx(expected, rel=1e-5)


def test_call_has_training_arg_is_whether_call_takes_training() -> None:
    class Plain(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    assert tiny_model()._call_has_training_arg
    assert not Plain()._call_has_training_arg


def test_compute_loss_adds_regularizers_to_the_compiled_loss() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.5))])
    model.compile("sgd", "mse")
    prediction = model(X)
    loss = model._compute_loss(x=X, y=Y, y_pred=prediction, sample_weight=None, training=True)
    penalty = 0.5 * float(np.sum(np.square(model.layers[-1].kernel)))
    assert float(loss) == pytest.approx(float(np.mean((np.asarray(prediction) - Y) ** 2)) + penalty, rel=1e-5)


def test_settings_stay_the_same_whatever_is_done_with_a_model() -> None:
    model = keras.Sequential(
        [
            keras.Input((3, 1)),
            keras.layers.LSTM(2, dropout=0.1),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ]
    )
    x = np.ones((4, 3, 1), "float32")
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), "mse", metrics=["mae"])
    model.fit(x, Y[:4], verbose=0)

    def settings() -> list[list[Any]]:
        return [settings_of(part) for part in [*users_code(model), model.optimizer.inner_optimizer]]

    before = settings()
    stop = keras.callbacks.EarlyStopping(patience=1, min_delta=1e9)
    model.fit(x, Y[:4], epochs=3, validation_data=(x, Y[:4]), verbose=0, callbacks=[stop])
    model.evaluate(x, Y[:4], verbose=0)
    model.predict(x, verbose=0)
    keras.Sequential([keras.Input((3, 1)), model])
    assert settings() == before
    model.layers[1].momentum = 0.5
    assert settings() != before


@pytest.mark.parametrize(
    ("metric", "direction"),
    [(keras.metrics.BinaryAccuracy(), "up"), (keras.metrics.MeanSquaredError(), "down"), (keras.metrics.Mean(), None)],
)
def test_metrics_declare_their_direction(metric: Any, direction: str | None) -> None:
    assert getattr(metric, "_direction", None) == direction


def test_object_name_uids_counts_names_and_none_starts_again() -> None:
    counters = global_state.get_global_attribute("object_name_uids")
    try:
        global_state.set_global_attribute("object_name_uids", None)
        assert [keras.layers.Dense(1).name for _ in range(2)] == ["dense", "dense_1"]
        assert global_state.get_global_attribute("object_name_uids")["dense"] == 2
        global_state.set_global_attribute("object_name_uids", None)
        assert keras.layers.Dense(1).name == "dense"
    finally:
        global_state.set_global_attribute("object_name_uids", counters)


@pytest.mark.parametrize("eagerly", [False, True])
def test_the_attributes_that_keras_adds_to_a_used_model_are_known(*, eagerly: bool) -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    model = Own()
    model.compile("adam", "mse", metrics=["mae"], run_eagerly=eagerly)
    model.fit(X, Y, validation_data=(X, Y), verbose=0)
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    model.train_on_batch(X, Y)
    assert vars(model).keys() - attributes_of_keras(keras.Model) == {"dense"}
