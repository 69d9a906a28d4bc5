"""Models of every kind that a range test must support."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def momentum() -> keras.optimizers.Optimizer:
    """An optimizer with a state, which is traced twice as fast as Adam."""
    return keras.optimizers.SGD(0.01, momentum=0.9)


def classifier(optimizer: Any = None, *, regularizer: Any = None, **compile_options: Any) -> keras.Model:
    """A deferred-build classifier with every layer that holds state: BatchNorm, Dropout, GaussianNoise."""
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Dense(16, activation="relu", kernel_regularizer=regularizer),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.GaussianNoise(0.1),
            layers.Dense(10),
        ]
    )
    model.compile(optimizer or momentum(), CROSS_ENTROPY, metrics=["accuracy"], **compile_options)
    return model


def plain_classifier(optimizer: Any = None, **compile_options: Any) -> keras.Model:
    """A classifier whose training and inference passes agree, built with its optimizer.

    An optimizer that is built by the first step of `fit` is traced twice.
    """
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(10)])
    model.compile(optimizer or momentum(), CROSS_ENTROPY, **compile_options)
    model.optimizer.build(model.trainable_variables)
    return model


class CustomStep(keras.Model):
    """A subclassed model with a `train_step` and a loss tracker of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = keras.layers.Dense(16, activation="relu")
        self.dropout = keras.layers.Dropout(0.3)
        self.head = keras.layers.Dense(10)
        self.tracker = keras.metrics.Mean(name="loss")
        self.calls = tf.Variable(0, dtype=tf.int64, trainable=False)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.head(self.dropout(self.hidden(inputs), training=training))

    def train_step(self, data: Any) -> dict[str, Any]:
        inputs, targets = data[:2]
        with tf.GradientTape() as tape:
            loss = CROSS_ENTROPY(targets, self(inputs, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self.tracker.update_state(loss)
        self.calls.assign_add(1)
        return {"loss": self.tracker.result()}

    @property
    def metrics(self) -> list[Any]:
        return [self.tracker]


def custom_step(optimizer: Any = None, **compile_options: Any) -> keras.Model:
    """A compiled `CustomStep`."""
    model = CustomStep()
    model.compile(optimizer or momentum(), **compile_options)
    return model


def two_outputs(optimizer: Any = None, **compile_options: Any) -> keras.Model:
    """A functional model of two named outputs."""
    inputs = keras.Input((64,), name="image")
    hidden = keras.layers.Dense(16, activation="relu")(inputs)
    digit = keras.layers.Dense(10, name="digit")(hidden)
    odd = keras.layers.Dense(1, activation="sigmoid", name="odd")(keras.layers.Dropout(0.2)(hidden))
    model = keras.Model(inputs, {"digit": digit, "odd": odd})
    model.compile(optimizer or momentum(), {"digit": CROSS_ENTROPY, "odd": "binary_crossentropy"}, **compile_options)
    return model


def all_values(model: keras.Model) -> list[np.ndarray]:
    """Every variable of the model and its optimizer, as arrays."""
    return [keras.ops.convert_to_numpy(variable) for variable in [*model.variables, *model.optimizer.variables]]
