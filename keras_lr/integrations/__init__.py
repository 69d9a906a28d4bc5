"""The result of a search in other tools: TensorBoard, MLflow, Weights & Biases and Optuna.

Each function takes a search, finished or not, or its `SensitivityResult`, and writes one run per learning rate and
batch size, with the metrics of each epoch, the best value of the objective, and how it ended. With several repeats the
numbers are medians.
"""

from typing import TYPE_CHECKING

from keras_lr._utils import names as _names
from keras_lr.integrations._mlflow import to_mlflow
from keras_lr.integrations._optuna import to_optuna
from keras_lr.integrations._tensorboard import to_tensorboard
from keras_lr.integrations._wandb import to_wandb

__all__ = ["to_mlflow", "to_optuna", "to_tensorboard", "to_wandb"]

if not TYPE_CHECKING:
    __getattr__ = _names.module_getattr(__name__, __all__)
