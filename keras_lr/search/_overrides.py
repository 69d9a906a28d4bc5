"""What a subclass of the tuner overrides of KerasTuner's methods, and which arguments of KerasTuner's it gets."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

import keras_tuner

from keras_lr._keras.reader_state import is_users
from keras_lr._utils.names import check_argument_names
from keras_lr.errors import InvalidArgumentError
from keras_lr.search._description import describe, describe_class, describe_settings
from keras_lr.search._fit_arguments import FIT_DEFAULTS
from keras_lr.search._keras_tuner import NEVER_CALLED, direction_of
from keras_lr.search._model_factory import has_own_fit

EPOCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_epoch_begin", "on_epoch_end")
"""Methods of a tuner that are called while a run trains."""

TRIAL_HOOKS = ("pre_create_trial", "on_trial_begin", "on_trial_end", "run_trial")
"""Methods that are called once per trial; a tuner with its own gets one trial at a time."""

_OTHERS_ARE_FIXED = (
    "The search varies the learning rate and the batch size; other hyperparameters keep the values of "
    "`hyperparameters`, or their defaults."
)
_REMEDIES = {
    "allow_new_entries": _OTHERS_ARE_FIXED,
    "batch_size": "Pass `batch_size` to `search`, or search over several sizes with `batch_sizes`.",
    "max_consecutive_failed_trials": "The search goes on after a run that fails, and raises only if all of them have.",
    "max_epochs": "Pass `epochs` to `search`.",
    "max_retries_per_trial": "A run that fails is recorded with its error. Each run has its own fixed seed, so another "
    "attempt would fail as well.",
    "max_trials": "It trains every rate of the grid. Pass fewer `learning_rates`, or lower `points_per_decade`.",
    "oracle": "It brings its own, which hands out the rates of the grid.",
    "tier": "It is called `engine`.",
    "tune_new_entries": _OTHERS_ARE_FIXED,
}
_REMEDIES.update({name: f"Pass `{name}` to `search`." for name in FIT_DEFAULTS if name not in _REMEDIES})


def overrides(tuner: Any, base: type, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the methods `names` that `tuner` does not take from `base`."""
    found = ((name, getattr(tuner, name)) for name in names)
    return tuple(name for name, method in found if getattr(method, "__func__", None) is not getattr(base, name))


def public_name(kind: type) -> str:
    """The class of this package that `kind` is or inherits from."""
    return next(one.__name__ for one in kind.__mro__ if not is_users(one))


def check_arguments(kind: type, kwargs: dict[str, Any]) -> None:
    """Checks the names of the arguments that a tuner's class does not know and passes on to `keras_tuner.Tuner`.

    Raises:
        UnknownArgumentError: KerasTuner does not know one of them either.
        InvalidArgumentError: It is `executions_per_trial`.
    """
    name = public_name(kind)
    if "executions_per_trial" in kwargs:
        remedy = "use `repeats`" if name == "LogGridSearch" else "it trains one run per rate. Use `LogGridSearch`"
        raise InvalidArgumentError(f"`{name}` has no `executions_per_trial`; {remedy}.")
    names = [name for one in (kind, keras_tuner.Tuner) for name in inspect.signature(one).parameters]
    accepted = dict.fromkeys(name for name in names if name not in ("args", "kwargs", "oracle", "executions_per_trial"))
    check_argument_names(name, kwargs, list(accepted), remedies=_REMEDIES)


def check_overrides(tuner: Any) -> None:
    """Refuses a subclass whose own methods a search would never call.

    Raises:
        InvalidArgumentError: It overrides one of them.
    """
    if found := overrides(tuner, keras_tuner.Tuner, NEVER_CALLED):
        raise InvalidArgumentError(
            f"`{public_name(type(tuner))}` never calls `{found[0]}`, which {type(tuner).__name__} overrides. "
            f"{NEVER_CALLED[found[0]]}"
        )


def check_tuner_id(tuner_id: str) -> None:
    """Raises `InvalidArgumentError` unless `tuner_id` can name the journal of this process."""
    if not re.fullmatch(r"[\w.-]+", tuner_id):
        raise InvalidArgumentError(
            f"`tuner_id` must consist of letters, digits, '_', '-' and '.', since it names a file. Received: "
            f"{tuner_id!r}. Choose another one."
        )


def as_objective(objective: Any, *, own_result: bool) -> Any:
    """The objective for KerasTuner's oracle, which the user's own code returns if `own_result` is true.

    Raises:
        InvalidArgumentError: The direction is unknown, or None is given and nothing returns an objective.
    """
    if objective is None and not own_result:
        raise InvalidArgumentError(
            "`objective` may be None only if the `fit` of the hypermodel or the tuner's `run_trial` returns the number "
            "to minimize. Name a value that training logs, such as 'val_loss'."
        )
    if not isinstance(objective, str):
        if not isinstance(objective, (keras_tuner.Objective, list, type(None))):
            raise InvalidArgumentError(
                f"`objective` must be the name of a value that training logs, or a keras_tuner.Objective. Received: "
                f"{objective!r}. Pass for example 'val_loss'."
            )
        return objective
    direction = direction_of(objective)
    if direction is None:
        raise InvalidArgumentError(
            f"`objective` must say whether less or more is better. Received: {objective!r}. Pass for example "
            f"keras_tuner.Objective({objective!r}, direction='min')."
        )
    return keras_tuner.Objective(objective, direction)


def has_several_values(hyperparameter: Any) -> bool:
    """Whether a hyperparameter of KerasTuner's leaves a choice."""
    return len(set(hyperparameter.values)) > 1


def describe_own_code(tuner: Any, base: type) -> dict[str, Any]:
    """Descriptions of the `fit` of the hypermodel and of the tuner's own methods, where a user has written them."""
    described: dict[str, Any] = {}
    hypermodel = tuner.hypermodel
    if has_own_fit(hypermodel):
        of_class = {name: part for name, part in describe_class(type(hypermodel)).items() if name != "build"}
        described["hypermodel"] = {**of_class, "fit": describe(hypermodel.fit), **describe_settings(hypermodel)}
    found = overrides(tuner, base, (*EPOCH_HOOKS, "run_trial"))
    if found:
        settings = describe_settings(tuner) if is_users(type(tuner)) else {}
        kept = {name: part for name, part in settings.items() if name not in inspect.signature(base).parameters}
        described["tuner"] = {**{name: describe(getattr(tuner, name)) for name in found}, **kept}
    return described
