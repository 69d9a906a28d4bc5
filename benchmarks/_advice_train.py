"""Computes a task's ground truth with Keras: a grid of constant rates, range tests, and short runs for refinement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from _advice_score import path_of
from _advice_tasks import Task

GRID = np.logspace(-6, 1, 22)
SWEEP = (1e-7, 10.0)
STEPS = (100, 300)
SHORT_RATES = np.logspace(-5, 1, 25)


class Trainer:
    """One traced model of a task, which can be reset to the initial state of any seed."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.x, self.y, self.x_val, self.y_val = task.data()
        self.starts = [self._start(seed) for seed in range(task.seeds)]
        self.model = task.model()
        self.model(self.x[:2])
        self.optimizer = task.optimizer()
        self.optimizer.build(self.model.trainable_variables)
        self.slots = [variable.numpy() for variable in self.optimizer.variables]
        self.step = tf.function(self._step, jit_compile=task.compiled)
        self.train = tf.function(self._train, reduce_retracing=True)
        self.evaluate = tf.function(self._evaluate, jit_compile=task.compiled)

    def _start(self, seed: int) -> list[np.ndarray]:
        keras.utils.set_random_seed(seed)
        model = self.task.model()
        model(self.x[:2])
        return [variable.numpy() for variable in model.variables]

    def reset(self, seed: int) -> None:
        """Restores the initial weights, random states and optimizer slots of `seed`."""
        for variable, value in zip(self.model.variables, self.starts[seed], strict=True):
            variable.assign(value)
        for variable, value in zip(self.optimizer.variables, self.slots, strict=True):
            variable.assign(value)

    def batches(self, seed: int, steps: int) -> np.ndarray:
        """Sample indices of `steps` batches, shuffled again in each epoch, shape `(steps, batch_size)`."""
        generator = np.random.default_rng(seed)
        size = self.task.batch_size
        a_pass = len(self.x) // size
        passes = [
            generator.permutation(len(self.x))[: a_pass * size].reshape(-1, size) for _ in range(-(-steps // a_pass))
        ]
        return np.concatenate(passes)[:steps]

    def _loss(self, x: Any, y: Any, *, training: bool) -> tuple[Any, Any]:
        output = self.model(x, training=training)
        hits = tf.cast(tf.argmax(output, -1) == y, tf.float32) if self.task.classes else tf.constant([np.nan])
        return self.task.loss(y, output), tf.reduce_mean(hits)

    def _evaluate(self) -> Any:
        return tf.stack(self._loss(tf.constant(self.x_val), tf.constant(self.y_val), training=False))

    def _step(self, x: Any, y: Any) -> Any:
        weights = self.model.trainable_variables
        with tf.GradientTape() as tape:
            loss, accuracy = self._loss(x, y, training=True)
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return tf.stack([loss, accuracy])

    def _train(self, rates: Any, indices: Any) -> Any:
        """Loss and accuracy of each step, shape `(steps, 2)`; `indices` has one row per step."""
        x, y = tf.constant(self.x), tf.constant(self.y)
        trace = tf.TensorArray(tf.float32, tf.shape(rates)[0], element_shape=(2,))
        for step in tf.range(tf.shape(rates)[0]):
            self.optimizer.learning_rate.assign(rates[step])
            trace = trace.write(step, self.step(tf.gather(x, indices[step]), tf.gather(y, indices[step])))
        return trace.stack()

    def run(self, seed: int, rates: np.ndarray, *, order: int | None = None) -> np.ndarray:
        """Losses of one run of `seed` with `rates`, shape `(steps,)`; `order` is the seed of the shuffling."""
        self.reset(seed)
        indices = self.batches(seed if order is None else order, len(rates))
        return self.train(tf.constant(rates, tf.float32), tf.constant(indices)).numpy()[:, 0]

    def grid_run(self, seed: int, rate: float) -> list[dict[str, float]]:
        """One row per epoch at a constant rate; ends with the first non-finite validation loss."""
        self.reset(seed)
        a_pass = len(self.x) // self.task.batch_size
        indices = self.batches(seed, a_pass * self.task.epochs).reshape(self.task.epochs, a_pass, -1)
        rates = tf.fill([a_pass], np.float32(rate))
        rows = []
        for epoch, epoch_indices in enumerate(indices):
            loss, accuracy = self.train(rates, tf.constant(epoch_indices)).numpy().mean(axis=0)
            val_loss, val_accuracy = self.evaluate().numpy()
            rows.append(
                {"lr": rate, "seed": seed, "epoch": epoch, "loss": loss, "val_loss": val_loss}
                | {"accuracy": accuracy, "val_accuracy": val_accuracy}
            )
            if not np.isfinite(val_loss):
                break
        return rows


def sweep_rates(num_steps: int) -> np.ndarray:
    """Logarithmically spaced rates of a range test, shape `(num_steps,)`."""
    return np.geomspace(*SWEEP, num_steps)


def make(name: str, task: Task, folder: Path) -> None:
    """Writes `NAME.grid.csv.gz`, `NAME.range.csv.gz` and `NAME.short.csv.gz` to `folder`."""
    trainer = make_grid(name, task, folder)
    make_short(name, trainer, folder)
    sweeps = [
        pd.DataFrame({"num_steps": steps, "seed": seed, "step": range(steps), "lr": sweep_rates(steps)}).assign(
            loss=trainer.run(seed, sweep_rates(steps))
        )
        for steps in STEPS
        for seed in range(trainer.task.seeds)
    ]
    write(pd.concat(sweeps), path_of(name, "range", folder))


def make_grid(name: str, task: Task, folder: Path) -> Trainer:
    """Writes `NAME.grid.csv.gz`: every epoch at each rate and seed; returns the trainer."""
    trainer = Trainer(task)
    rates = GRID[task.highest * 1.01 >= GRID]
    rows = [row for rate in rates for seed in range(task.seeds) for row in trainer.grid_run(seed, rate)]
    write(pd.DataFrame(rows), path_of(name, "grid", folder))
    return trainer


def make_short(name: str, trainer: Trainer, folder: Path) -> None:
    """Writes `NAME.short.csv.gz`: the first steps at constant rates, all on the same batches."""
    runs = [
        pd.DataFrame({"lr": rate, "seed": seed, "step": range(trainer.task.short_steps)}).assign(
            loss=trainer.run(seed, np.full(trainer.task.short_steps, rate))
        )
        for rate in SHORT_RATES[trainer.task.highest * 1.01 >= SHORT_RATES]
        for seed in range(trainer.task.seeds)
    ]
    write(pd.concat(runs), path_of(name, "short", folder))


def write(frame: pd.DataFrame, path: Path) -> None:
    """Writes numbers with six digits, gzipped without a time stamp, so that the same runs give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False, float_format="%.6g", compression={"method": "gzip", "mtime": 0})
