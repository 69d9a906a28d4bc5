"""A fit after a range test equals a fit without one, bit for bit."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorflow.python.framework.config import disable_op_determinism

import keras_lr
from tests.training_models import CROSS_ENTROPY, all_values, classifier, custom_step, plain_classifier, two_outputs

optimizers = keras.optimizers

CASES: dict[str, Any] = {
    "sgd-momentum-spe7": lambda: classifier(optimizers.SGD(0.1, momentum=0.9), steps_per_execution=7),
    "adamw-cosine": lambda: classifier(optimizers.AdamW(optimizers.schedules.CosineDecay(1e-3, 100))),
    "nadam-accumulation": lambda: classifier(optimizers.Nadam(gradient_accumulation_steps=4)),
    "adam-ema-clipnorm": lambda: classifier(
        optimizers.Adam(use_ema=True, ema_overwrite_frequency=9, global_clipnorm=1.0)
    ),
    "adagrad-loss-scale": lambda: classifier(optimizers.LossScaleOptimizer(optimizers.Adagrad())),
    "eager": lambda: classifier(run_eagerly=True),
}


@pytest.fixture(autouse=True)
def _determinism() -> Any:
    tf.config.experimental.enable_op_determinism()
    yield
    disable_op_determinism()


def built(model: Any) -> Any:
    """The model with all its variables built, so that each function is traced once."""
    model(np.zeros((1, 64), "float32"))
    model.optimizer.build(model.trainable_variables)
    return model


def arrays(digits: Any) -> tuple[Any, ...]:
    images, labels = digits
    return images[:200], labels[:200]


def nothing(model: Any, *data: Any) -> None: ...


def by_callback(model: Any, *data: Any) -> None:
    finder = keras_lr.LRRangeTest(num_steps=20)
    assert model.fit(*data, epochs=3, verbose=0, callbacks=[finder]).history == {}
    assert finder.result is not None
    assert len(finder.result.losses) > 10


def by_call(model: Any, *data: Any) -> None:
    assert len(keras_lr.find_lr(model, *data, num_steps=20).losses) > 10


def by_both(model: Any, *data: Any) -> None:
    by_callback(model, *data)
    by_call(model, *data)


def train(build: Any, data: Any, *, before: Any = nothing) -> tuple[dict[str, Any], list[np.ndarray]]:
    keras.utils.set_random_seed(7)
    model = build()
    data = data()
    before(model, *data)
    history = model.fit(*data, epochs=2, verbose=0).history
    return history, all_values(model)


def assert_same(first: Any, second: Any) -> None:
    assert first[0] == second[0]
    assert len(first[1]) == len(second[1])
    for one, other in zip(first[1], second[1], strict=True):
        np.testing.assert_array_equal(one, other)


class Anchored(optimizers.SGD):
    """Pulls each weight towards its first value, which it copies when it is built."""

    def build(self, variables: Any) -> None:
        super().build(variables)
        self.anchors = self.add_optimizer_variables(variables, "anchor")
        for anchor, variable in zip(self.anchors, variables, strict=True):
            self.copy(anchor, variable)

    def copy(self, anchor: Any, variable: Any) -> None:
        anchor.assign(variable)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        anchor = self.anchors[self._get_variable_index(variable)]
        super().update_step(gradient + 0.1 * (variable - anchor), variable, learning_rate)


class AnchoredByItself(Anchored):
    def copy(self, anchor: Any, variable: Any) -> None:
        self.assign(anchor, variable)


@pytest.mark.parametrize("case", CASES)
def test_fit_after_range_tests_equals_a_fit_without(case: str, digits: Any) -> None:
    run = functools.partial(train, lambda: built(CASES[case]()), lambda: arrays(digits))
    assert_same(run(before=by_both), run())


def test_each_way_alone_builds_and_restores(digits: Any) -> None:
    run = functools.partial(train, custom_step, lambda: arrays(digits))
    plain = run()
    for way in (by_callback, by_call):
        assert_same(run(before=way), plain)


@pytest.mark.parametrize(("optimizer", "way"), [(Anchored, by_callback), (AnchoredByItself, by_call)])
def test_an_optimizer_that_sets_values_when_fit_builds_it(optimizer: Any, way: Any, digits: Any) -> None:
    def compiled() -> Any:
        model = plain_classifier()
        model.compile(optimizers.LossScaleOptimizer(optimizer(0.1)), CROSS_ENTROPY)
        return model

    def prepared() -> Any:
        model = compiled()
        model.optimizer.build(model.trainable_variables)
        return model

    def warned(model: Any, *data: Any) -> None:
        with pytest.warns(UserWarning, match=rf"`{optimizer.__name__}` begins with values .*optimizer\.build\("):
            way(model, *data)

    plain = train(compiled, lambda: arrays(digits))
    assert_same(train(compiled, lambda: arrays(digits), before=warned), plain)
    remedied = train(prepared, lambda: arrays(digits))
    assert remedied[0] != plain[0]
    assert_same(train(prepared, lambda: arrays(digits), before=way), remedied)


def test_an_eager_fit_keeps_what_the_optimizer_sets_when_it_is_built(digits: Any) -> None:
    def build() -> Any:
        model = plain_classifier()
        model.compile(Anchored(0.1), CROSS_ENTROPY, run_eagerly=True)
        return model

    run = functools.partial(train, build, lambda: tuple(part[:64] for part in arrays(digits)))
    assert_same(run(before=by_call), run())


def test_a_seeded_shuffle_keeps_its_order(digits: Any) -> None:
    def shuffled() -> tuple[Any, ...]:
        return (tf.data.Dataset.from_tensor_slices(arrays(digits)).shuffle(200).batch(32),)

    run = functools.partial(train, lambda: built(custom_step()), shuffled)
    assert_same(run(before=by_both), run())


def test_an_augmenting_pipeline_keeps_its_random_states(digits: Any) -> None:
    def augmented() -> tuple[Any, ...]:
        noise = keras.layers.GaussianNoise(0.5, seed=3)
        generator = tf.random.Generator.from_seed(4)

        def augment(images: Any, labels: Any) -> Any:
            return noise(images, training=True) * generator.uniform([64]), labels

        dataset = tf.data.Dataset.from_tensor_slices(arrays(digits)).batch(32)
        return (dataset.map(augment).prefetch(2),)

    run = functools.partial(train, lambda: built(custom_step()), augmented)
    assert_same(run(before=by_both), run())


@pytest.mark.slow
def test_xla(digits: Any) -> None:
    # Keras turns XLA off where op determinism is on; on a CPU XLA is deterministic by itself.
    disable_op_determinism()

    def build() -> Any:
        return built(plain_classifier(jit_compile=True))

    def check(model: Any, *data: Any) -> None:
        by_both(model, *data)
        assert model.jit_compile

    run = functools.partial(train, build, lambda: tuple(part[:192] for part in arrays(digits)))
    assert_same(run(before=check), run())


def test_a_trained_optimizer_continues_as_before(digits: Any) -> None:
    def trained(model: Any, *data: Any) -> None:
        model.fit(*data, epochs=1, verbose=0)

    def trained_and_tested(model: Any, *data: Any) -> None:
        trained(model, *data)
        traced, history = model.train_function, model.history
        by_call(model, *data)
        assert model.train_function is traced
        assert model.history is history
        assert model.stop_training is False
        by_callback(model, *data)
        assert model.train_function is traced

    run = functools.partial(train, lambda: built(classifier()), lambda: arrays(digits))
    assert_same(run(before=trained_and_tested), run(before=trained))


def test_several_outputs(digits: Any) -> None:
    def data() -> tuple[Any, ...]:
        images, labels = arrays(digits)
        return images, {"digit": labels, "odd": (labels % 2).astype("float32")}

    run = functools.partial(train, two_outputs, data)
    assert_same(run(before=by_both), run())


def test_frozen_layers_and_frames(digits: Any) -> None:
    def build() -> Any:
        model = built(classifier())
        model.layers[0].trainable = False
        model.compile("sgd", CROSS_ENTROPY)
        return model

    def data() -> tuple[Any, ...]:
        images, labels = arrays(digits)
        return pd.DataFrame(images), pd.Series(labels)

    run = functools.partial(train, build, data)
    assert_same(run(before=by_call), run())
