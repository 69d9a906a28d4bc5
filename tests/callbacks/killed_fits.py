"""Two nested fits that a `SIGKILL` ends in their fourth epoch: python -m ... FOLDER kill|resume.

Prints what the callbacks saw in the resumed fits as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_lr
from keras_lr import schedules
from tests.callbacks.regression import STEPS_PER_EPOCH, X, Y, fit, regression

EPOCHS = 7
FITS = ("backup_first", "backup_last")


def resumable_fit(name: str, folder: Path | None, interrupt: Callable[[], None] | None = None) -> dict[str, Any]:
    """Trains with several resumable callbacks and returns what they saw, and the weights."""
    if name == "backup_first":
        schedule = schedules.OneCycle(0.05, EPOCHS * STEPS_PER_EPOCH)
        model = regression(keras.optimizers.SGD(schedule, momentum=0.9))
    else:
        model = regression(keras.optimizers.SGD(0.05, momentum=0.9), steps_per_execution=3)
    recorder = keras_lr.LRRecorder(frequency="step")
    momentum = keras_lr.MomentumCycle(rate_range=None if name == "backup_first" else (0.0, 0.1))
    plateau = keras_lr.ReduceOnPlateau("val_loss", factor=0.5, patience=2, min_delta=1e3)
    monitor = keras_lr.HistoryMonitor(max_cost=1.0)
    callbacks: list[Any] = [recorder, momentum, plateau, monitor]
    if folder is not None:
        backup = keras.callbacks.BackupAndRestore(folder / name)
        callbacks.insert(0 if name == "backup_first" else len(callbacks), backup)
    if interrupt is not None:

        def at_batch(batch: int, logs: Any) -> None:
            if model.optimizer.iterations >= 3 * STEPS_PER_EPOCH + 3:
                interrupt()

        callbacks.append(keras.callbacks.LambdaCallback(on_train_batch_end=at_batch))
    history = fit(model, *callbacks, epochs=EPOCHS, validation_data=(X, Y))
    return {
        "rates": recorder.to_frame()["learning_rate"].tolist(),
        "epochs_trained": len(history["loss"]),
        "weights": np.concatenate([weight.ravel() for weight in model.get_weights()]).tolist(),
        "total_factor": plateau.total_factor,
        "diagnosed_losses": None if monitor.diagnosis is None else monitor.diagnosis.losses,
        "findings": [finding.kind for finding in monitor.findings],
    }


def main() -> None:
    """Kills this process within both fits, or resumes both."""
    folder, task = Path(sys.argv[1]), sys.argv[2]
    if task == "kill":

        def kill() -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        resumable_fit(FITS[0], folder, lambda: resumable_fit(FITS[1], folder, kill))  # type: ignore[arg-type,return-value]
    else:
        print(json.dumps({name: resumable_fit(name, folder) for name in FITS}))


if __name__ == "__main__":
    main()
