"""What a user's type checker sees of the public names. mypy and pyright read this file, nothing runs it.

A line with `type: ignore` is an error. mypy reports an ignore that is not needed, and a test compares the lines with
pyright's errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import numpy as np
import pandas as pd

import keras_lr
from keras_lr import LogGridSearch, RaceSearch, schedules


class Model:
    """A model as the checker sees it: Keras itself has no type information."""

    def compile(self, *args: object, **kwargs: object) -> None: ...

    def fit(self, *args: object, **kwargs: object) -> None: ...


def right(model: Model, x: list[float]) -> None:
    result = keras_lr.find_lr(model, x, num_steps=50)
    assert_type(result, keras_lr.RangeTestResult)
    assert_type(result.suggestion, keras_lr.Suggestion)
    assert_type(result.suggestion.learning_rate, float | None)
    assert_type(result.to_frame(), pd.DataFrame)
    assert_type(keras_lr.LRRangeTest(num_steps=50), keras_lr.LRRangeTest)
    assert_type(keras_lr.suggest([1e-3, 1e-2], [1.0, 0.5]), keras_lr.Suggestion)
    assert_type(keras_lr.analyze_history({"loss": [1.0]}), keras_lr.Diagnosis)
    assert_type(keras_lr.Report("Digits").add(result), keras_lr.Report)
    assert_type(schedules.OneCycle(0.1, 1000), schedules.OneCycle)
    search = LogGridSearch(None, learning_rates=np.geomspace(1e-4, 1e-1, 4), batch_sizes=np.array([16, 32]))
    RaceSearch(None, learning_rates=np.geomspace(1e-4, 1e-1, 4))
    keras_lr.analysis.Race(np.geomspace(1e-4, 1e-1, 4)).tell(1e-4, np.array([1.0, 0.5]))
    assert_type(search.sensitivity(), keras_lr.SensitivityResult)
    assert_type(keras_lr.integrations.to_tensorboard(search, "logs"), Path)
    assert_type(keras_lr.integrations.to_mlflow(search.sensitivity()), str)


def wrong(diagnosis: keras_lr.Diagnosis) -> None:
    print(keras_lr.find_LR)  # type: ignore[attr-defined]
    keras_lr.find_lr("not a model", [1.0])  # type: ignore[arg-type]
    keras_lr.LRRangeTest(num_steps="100")  # type: ignore[arg-type]
    keras_lr.LRRangeTest(wibble=3)  # type: ignore[call-arg]
    print(diagnosis.verdictt)  # type: ignore[attr-defined]
    schedules.OneCycle(0.1)  # type: ignore[call-arg]
    keras_lr.integrations.to_mlflow({"loss": [1.0]})  # type: ignore[arg-type]
    LogGridSearch(None, engine="fast")  # type: ignore[arg-type]
