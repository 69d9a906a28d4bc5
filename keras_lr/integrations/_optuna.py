"""A search as an Optuna study, for its dashboard, its plots and its samplers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras_lr._utils.validation import missing_package
from keras_lr.integrations._trials import answer_of, result_of, trials_of

if TYPE_CHECKING:
    from keras_lr.results._sensitivity import SensitivityResult
    from keras_lr.search._tuner import LogGridSearch

_STATE = {"ok": "COMPLETE", "pruned": "PRUNED", "diverged": "FAIL", "failed": "FAIL"}


def to_optuna(search: LogGridSearch | SensitivityResult, **kwargs: Any) -> Any:
    """Makes an Optuna study of a search, with a trial per learning rate and batch size.

    The parameters of a trial are `learning_rate`, on a log scale, and `batch_size` if there are several. Its value is
    the best objective, and its intermediate values are those of each epoch. A trial that stopped early is "PRUNED", one
    that diverged or failed is "FAIL". The study's attribute `keras_lr` holds the answer.

    Args:
        search: A `LogGridSearch`, a `RaceSearch` or a `SensitivityResult`.
        **kwargs: Further arguments of `optuna.create_study`, such as `study_name`, or `storage` for `optuna-dashboard`.

    Returns:
        The `optuna.Study`. `study.optimize` can continue it with a function that asks for the same parameters.

    Raises:
        MissingPackageError: Optuna is not installed.
        InvalidArgumentError: `search` is of another type.
        SearchError: Nothing is recorded yet.

    Source:
        Akiba et al. 2019, arXiv:1907.10902; https://optuna.readthedocs.io.

    Example:
        >>> study = keras_lr.integrations.to_optuna(tuner, study_name="lr", storage="sqlite:///study.db")
        >>> study.best_params["learning_rate"]
    """
    result = result_of(search)
    try:
        import optuna
    except ImportError as err:
        raise missing_package("`to_optuna`", "Optuna", "optuna") from err

    rates = result.learning_rates
    space: dict[str, Any] = {
        "learning_rate": optuna.distributions.FloatDistribution(float(rates[0]), float(rates[-1]), log=True)
    }
    if len(result.batch_sizes) > 1:
        space["batch_size"] = optuna.distributions.CategoricalDistribution(result.batch_sizes)
    study = optuna.create_study(**{"direction": f"{result.direction}imize", **kwargs})
    study.set_user_attr("keras_lr", answer_of(result))
    for trial in trials_of(result):
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[_STATE[trial.status]],
                value=trial.value if trial.status == "ok" else None,
                params={name: trial.parameters[name] for name in space},
                distributions=space,
                user_attrs={
                    "status": trial.status,
                    "repeats": trial.repeats,
                    "batch_size": trial.parameters["batch_size"],
                },
                intermediate_values={
                    epoch: logged[result.objective] for epoch, logged in trial.logged() if result.objective in logged
                },
            )
        )
    return study
