"""Errors for a misspelt or foreign name that say which name was meant."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

from keras_lr.errors import UnknownArgumentError

F = TypeVar("F", bound=Callable[..., Any])

_SIMILARITY = 0.65
"""Least ratio of `difflib.SequenceMatcher` at which one name is taken for another."""
_ABBREVIATION = 3
"""Least number of letters of an abbreviation."""

_FOREIGN_ARGUMENTS = {
    "T_0": ("first_decay_steps",),
    "T_max": ("total_steps", "decay_steps"),
    "T_mult": ("t_mul",),
    "anneal_strategy": ("shape", "decay_shape"),
    "base_lr": ("base_learning_rate", "min_lr"),
    "base_momentum": ("min_momentum",),
    "batch_size": ("batch_sizes",),
    "bs": ("batch_size",),
    "cycle_mult": ("t_mul",),
    "div": ("div_factor",),
    "div_final": ("final_div_factor",),
    "diverge_th": ("stop_on_divergence",),
    "early_stop": ("stop_on_divergence",),
    "early_stop_threshold": ("stop_on_divergence",),
    "end_lr": ("end_learning_rate", "max_lr"),
    "end_value": ("end_learning_rate",),
    "epsilon": ("min_delta",),
    "eta_min": ("end_learning_rate",),
    "executions_per_trial": ("repeats",),
    "filename": ("path",),
    "filepath": ("path",),
    "final_lr": ("end_learning_rate",),
    "first_cycle_steps": ("first_decay_steps",),
    "init_lr": ("initial_learning_rate", "min_lr"),
    "init_value": ("initial_learning_rate", "base_learning_rate", "peak_learning_rate"),
    "initial_learning_rate": ("base_learning_rate", "min_lr"),
    "learning_rate": ("peak_learning_rate", "schedule", "initial_learning_rate", "learning_rates"),
    "lr": ("peak_learning_rate", "schedule", "initial_learning_rate", "learning_rates"),
    "lr_max": ("peak_learning_rate", "max_learning_rate", "max_lr"),
    "lr_min": ("end_learning_rate", "base_learning_rate", "min_lr"),
    "lrs": ("learning_rates",),
    "max_learning_rate": ("peak_learning_rate", "max_lr"),
    "max_lr": ("peak_learning_rate", "max_learning_rate", "initial_learning_rate"),
    "maximal_learning_rate": ("max_learning_rate", "peak_learning_rate"),
    "metric": ("monitor", "objective"),
    "milestones": ("boundaries",),
    "min_learning_rate": ("end_learning_rate", "base_learning_rate", "min_lr"),
    "min_lr": ("base_learning_rate", "end_learning_rate"),
    "mode": ("sweep", "shape"),
    "num_it": ("num_steps",),
    "num_iter": ("num_steps",),
    "num_points": ("points_per_decade",),
    "num_steps": ("total_steps", "decay_steps", "probe_steps"),
    "num_training": ("num_steps",),
    "num_training_steps": ("total_steps", "decay_steps"),
    "num_warmup_steps": ("warmup_steps",),
    "pct_start": ("warmup_fraction",),
    "peak_lr": ("peak_learning_rate", "max_learning_rate", "initial_learning_rate"),
    "peak_value": ("peak_learning_rate", "max_learning_rate", "initial_learning_rate"),
    "schedulers": ("schedules",),
    "start_lr": ("initial_learning_rate", "min_lr"),
    "step_mode": ("sweep",),
    "step_size": ("up_steps",),
    "step_size_down": ("down_steps",),
    "step_size_up": ("up_steps",),
    "stop_div": ("stop_on_divergence",),
    "threshold": ("min_delta",),
    "total_iters": ("total_steps", "decay_steps", "warmup_steps"),
    "total_steps": ("decay_steps",),
    "transition_steps": ("decay_steps", "total_steps"),
    "update_attr": ("apply",),
    "val_data": ("validation_data",),
    "val_loader": ("validation_data",),
    "warmup_lr": ("initial_learning_rate",),
    "warmup_ratio": ("warmup_fraction",),
    "warmup_target": ("peak_learning_rate", "initial_learning_rate"),
}
"""Arguments of PyTorch, fastai, Keras, KerasTuner, optax and Hugging Face, and what they may be called here; the first
one that is an argument of the class is meant."""

_FOREIGN_NAMES = {
    "CosineAnnealingLR": "keras.optimizers.schedules.CosineDecay",
    "ExponentialLR": "keras.optimizers.schedules.ExponentialDecay",
    "LRFinder": "keras_lr.LRRangeTest",
    "LambdaLR": "keras.callbacks.LearningRateScheduler",
    "LearningRateFinder": "keras_lr.LRRangeTest",
    "LinearLR": "keras_lr.schedules.Warmup",
    "MultiStepLR": "keras.optimizers.schedules.PiecewiseConstantDecay",
    "ReduceLROnPlateau": "keras_lr.ReduceOnPlateau",
    "StepLR": "keras.optimizers.schedules.ExponentialDecay",
    "get_cosine_schedule_with_warmup": "keras_lr.schedules.WarmupStableDecay",
    "get_linear_schedule_with_warmup": "keras_lr.schedules.WarmupStableDecay",
    "lr_find": "keras_lr.find_lr",
    "lr_finder": "keras_lr.find_lr",
}
"""Names of PyTorch, fastai, Lightning and Hugging Face that resemble no name here, and what stands for them."""

_STEPS_REMEDY = "Count optimizer steps: `{right}` is `epochs * steps_per_epoch`."
_TEST_REMEDY = "The test counts training steps, not epochs. Pass `{right}`."
_COMPILED_REMEDY = "The test uses what the model was compiled with."
_SMOOTHED_REMEDY = "The curve is smoothed without an argument, and the losses are recorded as they are."
_REMEDIES = {
    **{name: {"total_steps": _STEPS_REMEDY, "num_steps": _TEST_REMEDY} for name in ("epochs", "steps_per_epoch")},
    **{name: {"num_steps": _COMPILED_REMEDY} for name in ("optimizer", "loss", "loss_fn", "criterion", "metrics")},
    **{name: {"num_steps": _SMOOTHED_REMEDY} for name in ("smooth_f", "smoothing", "beta")},
    **{name: {"num_steps": "Call `plot()` of the result."} for name in ("show_plot", "show", "plot")},
    "seed": {"num_steps": "Call `keras.utils.set_random_seed` before the test."},
    "callbacks": {"num_steps": "Pass `keras_lr.LRRangeTest()` to `fit` beside other callbacks."},
    "suggest_funcs": {"num_steps": "Pass the rates and losses of the result to `keras_lr.suggest(..., rule=...)`."},
}
"""Arguments that no single one replaces: by the argument of the class that does, what to do."""


def similar_name(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `name` resembles most or abbreviates, ignoring case and underscores; None if none does.

    "lr" and "learning_rate" are the same word.
    """
    by_letters = {_letters(candidate): candidate for candidate in known}
    letters = _letters(name)
    found = difflib.get_close_matches(letters, by_letters, n=1, cutoff=_SIMILARITY)
    if not found and len(letters) >= _ABBREVIATION:
        found = [candidate for candidate in by_letters if candidate.startswith(letters)]
    return by_letters[found[0]] if len(found) == 1 else None


def foreign_name(name: str, module: str) -> str | None:
    """What stands for a name of another package, without `module` if it is a name of that module; None if unknown."""
    meant = _FOREIGN_NAMES.get(name)
    home, _, short = (meant or "").rpartition(".")
    return short if home == module else meant


def _letters(name: str) -> str:
    return name.lower().replace("_", "").replace("learningrate", "lr")


def missing_attribute(owner: str, name: str, right: str | None) -> AttributeError:
    """The error for an attribute that `owner`, such as "module 'keras_lr'", lacks; `right` is what was meant."""
    hint = f". Did you mean {right!r}?" if right else ""
    # With a name, but without an object, Python adds no suggestion of its own to the traceback.
    return AttributeError(f"{owner} has no attribute {name!r}{hint}", name=name)


def module_getattr(module: str, known: Iterable[str]) -> Callable[[str], Any]:
    """A `__getattr__` for a module that suggests one of its public names, `known`, for one that it lacks."""

    def fail(name: str) -> Any:
        right = None if name.startswith("_") else foreign_name(name, module) or similar_name(name, known)
        raise missing_attribute(f"module {module!r}", name, right)

    return fail


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` for a package whose public names are loaded when they are first used.

    Args:
        package: Name of the package.
        homes: The module that defines each public name.
    """
    fail = module_getattr(package, homes)

    def load(name: str) -> Any:
        if name not in homes:
            fail(name)
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return load, lambda: sorted({*homes, *vars(sys.modules[package])})


class SuggestsAttributes:
    """A base class whose error for a missing attribute says which one was meant.

    A subclass lists in `_elsewhere`, by names that it lacks, the attributes that have what is looked for.
    """

    _elsewhere: ClassVar[Mapping[str, str]] = MappingProxyType({})

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            kind = type(self)
            right = None
            if not name.startswith("_"):
                public = [known for known in dir(kind) if not known.startswith("_")]
                fields = getattr(kind, "__dataclass_fields__", ())
                right = kind._elsewhere.get(name) or similar_name(name, [*fields, *public])
            raise missing_attribute(f"{kind.__name__!r} object", name, right)


class SuggestsArguments:
    """A base class whose error for a misspelt or foreign keyword argument says which one was meant."""

    def __new__(cls, *_: Any, **kwargs: Any) -> Self:
        """Checks the names of the keyword arguments."""
        parameters = inspect.signature(cls).parameters.values()
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            check_argument_names(cls.__name__, kwargs, [parameter.name for parameter in parameters])
        return super().__new__(cls)


def suggests_arguments(function: F) -> F:
    """`function` with an error for a misspelt or foreign keyword argument that says which one was meant.

    Its type is a plain variable because editors, unlike type checkers, lose a function of a `ParamSpec`.
    """
    accepted = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        check_argument_names(function.__name__, kwargs, accepted)
        return function(*args, **kwargs)

    return cast(F, checked)


def check_argument_names(
    owner: str, received: Iterable[str], accepted: Collection[str], *, remedies: Mapping[str, str] | None = None
) -> None:
    """Raises an error for keyword arguments that `owner` does not have, and says which ones were meant.

    Args:
        owner: Name of the class or function.
        received: Names of the keyword arguments.
        accepted: Names of its arguments.
        remedies: By an argument that it does not have, a sentence that says what to do instead.

    Raises:
        UnknownArgumentError: An argument is not among the accepted ones.
    """
    names: dict[str, list[str]] = {}
    for name in received:
        if name not in accepted:
            names.setdefault((remedies or {}).get(name) or _remedy(name, accepted), []).append(f"`{name}`")
    if names:
        sentences = [f"`{owner}` has no argument {' or '.join(same)}. {remedy}" for remedy, same in names.items()]
        raise UnknownArgumentError(" ".join(sentences))


def _remedy(name: str, accepted: Collection[str]) -> str:
    for right, remedy in _REMEDIES.get(name, {}).items():
        if right in accepted:
            return remedy.format(right=right)
    translated = next((known for known in _FOREIGN_ARGUMENTS.get(name, ()) if known in accepted), None)
    if meant := translated or similar_name(name, accepted):
        return f"Did you mean `{meant}`?"
    return f"Its arguments are {', '.join(f'`{known}`' for known in accepted)}."
