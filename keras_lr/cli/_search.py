"""`keras-lr search` and `keras-lr race`: a log-grid search and a race on the user's own model."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_lr._utils.formatting import format_rate
from keras_lr._utils.validation import learning_rate_range
from keras_lr.cli._loading import build_error, check_installed, check_targets, load_data, load_object, start_tensorflow
from keras_lr.cli._options import (
    OUTPUT_OPTIONS,
    add_device_options,
    add_model_and_data,
    add_outputs,
    learning_rate,
    named_targets,
    positive_int,
    set_up,
    to_argv,
)
from keras_lr.cli._output import FOUND, INTERRUPTED, print_sensitivity, standard_output, write_outputs

if TYPE_CHECKING:
    from keras_lr.search._tuner import LogGridSearch

_PLACE = ("workers", "cluster", "resources", "wait")
"""Options that say where to train, which are the arguments of `search`."""

_MODEL_HELP = "build(), build(learning_rate) or build(hp), which returns a compiled model"
_VALIDATION_HELP = "data to judge the runs by; without it they are judged by the training loss"


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "search",
        help="train your model over a log grid of learning rates",
        description="Trains your model several times at each learning rate of a log grid, and prints the best rate and "
        "the range of rates that are as good. Run the same command again to resume a search. MODULE is an import path "
        "or a Python file, for example train.py:build.",
    )
    add_model_and_data(parser, model=_MODEL_HELP, validation=_VALIDATION_HELP)
    _add_grid(parser)
    _add_training(parser, epochs=10, project="lr")
    _add_place(parser)
    add_outputs(parser, title="Learning-rate sensitivity")
    add_device_options(parser)
    parser.set_defaults(run=run)


def add_race_parser(commands: Any) -> None:
    """Adds the command `race` to the parser."""
    parser = commands.add_parser(
        "race",
        help="find the best learning rate for about the cost of one more training run",
        description="Races a few learning rates around the suggestion of a range test, trains your model at the best "
        "one to the end, and prints it. Run the same command again to resume a race. MODULE is an import path or a "
        "Python file, for example train.py:build.",
    )
    add_model_and_data(parser, model=_MODEL_HELP, validation=_VALIDATION_HELP)
    parser.add_argument(
        "--budget",
        type=float,
        default=1.0,
        metavar="N",
        help="complete runs that may be spent on rates other than the winner (%(default)g)",
    )
    parser.add_argument(
        "--learning-rates",
        type=learning_rate,
        nargs="+",
        metavar="LR",
        help="learning rates to choose from, instead of those around the suggestion of a range test",
    )
    parser.add_argument("--batch-size", type=positive_int, metavar="N", help="samples per step, for arrays (32)")
    _add_training(parser, epochs=20, project="race")
    _add_place(parser)
    add_outputs(parser, title="Learning-rate race")
    add_device_options(parser)
    parser.set_defaults(run=run_race)


def _add_training(parser: argparse.ArgumentParser, *, epochs: int, project: str) -> None:
    parser.add_argument("--epochs", type=positive_int, default=epochs, help="epochs of each run (%(default)d)")
    parser.add_argument("--objective", help="metric to judge the runs by (val_loss, or loss without validation data)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first repeat (%(default)d)")
    parser.add_argument(
        "--directory", type=Path, default=Path("runs"), metavar="DIR", help="directory of all searches (%(default)s)"
    )
    parser.add_argument("--project", default=project, help="name of this search, its subdirectory (%(default)s)")


def _add_grid(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--min-lr", type=learning_rate, default=1e-6, help=f"lowest learning rate ({format_rate(1e-6)})"
    )
    parser.add_argument("--max-lr", type=learning_rate, default=0.1, help=f"highest learning rate ({format_rate(0.1)})")
    parser.add_argument(
        "--points-per-decade", type=float, default=1.0, metavar="N", help="learning rates per decade (%(default)g)"
    )
    parser.add_argument(
        "--learning-rates",
        type=learning_rate,
        nargs="+",
        metavar="LR",
        help="learning rates to train, instead of a log grid",
    )
    parser.add_argument(
        "--batch-sizes",
        type=positive_int,
        nargs="+",
        metavar="N",
        help="batch size (32); several form a second axis",
    )
    parser.add_argument(
        "--repeats", type=positive_int, default=3, help="runs per learning rate, each with its own seed (%(default)d)"
    )
    parser.add_argument(
        "--no-extend", action="store_true", help="do not extend the grid if the best rate is at its edge"
    )
    parser.add_argument("--refine", action="store_true", help="add rates around the best ones")
    parser.add_argument("--pruning", action="store_true", help="stop a rate early once it can no longer be the best")


def _add_place(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("workers")
    group.add_argument("--workers", type=positive_int, metavar="N", help="train in N processes on this machine")
    group.add_argument("--cluster", metavar="ADDRESS", help="train on a Dask cluster, such as tcp://10.0.0.1:8786")
    group.add_argument(
        "--resources", type=resource, nargs="+", metavar="NAME=AMOUNT", help="what each worker must declare, as GPU=1"
    )
    group.add_argument(
        "--wait", type=float, default=300.0, metavar="S", help="seconds to wait for a worker (%(default)g)"
    )


def resource(text: str) -> tuple[str, float]:
    """A name and an amount, such as "GPU=1"."""
    name, _, amount = text.partition("=")
    try:
        found = name, float(amount)
    except ValueError:
        found = "", 0.0
    if not (found[0] and found[1] > 0):
        raise argparse.ArgumentTypeError(f"must be NAME=AMOUNT such as GPU=1. Received: {text!r}")
    return found


def run(options: argparse.Namespace) -> int:
    """Searches, prints the best rate and writes the requested files.

    Returns:
        0; 1 if `--fail-on` names the confidence, by default for no answer; 130 after Ctrl-C.
    """
    if not options.learning_rates:
        learning_rate_range(options.min_lr, options.max_lr)
    tuner = _trained(options, _search, options.batch_sizes or [])
    if tuner is None:
        return INTERRUPTED
    result, console = tuner.sensitivity(), standard_output(json=options.json)
    print_sensitivity(console, result)
    console.print(f"Records: {tuner.project_dir}", markup=False)
    write_outputs(console, options, result, search_argv(options))
    return FOUND if result.confidence in options.fail_on else 0


def run_race(options: argparse.Namespace) -> int:
    """Races, prints the best rate and writes the requested files.

    Returns:
        0; 1 if `--fail-on` names the confidence, by default for no answer; 130 after Ctrl-C.
    """
    tuner = _trained(options, _race, [options.batch_size] if options.batch_size else [])
    if tuner is None:
        return INTERRUPTED
    from keras_lr.results._search_records import SearchFolder

    result, console = tuner.sensitivity(), standard_output(json=options.json)
    print_sensitivity(console, result)
    if result.race is not None:
        cost = f"{result.race['cost']:.2g}"
        console.print(f"Cost of the other rates: {cost} complete run{'' if cost == '1' else 's'}", markup=False)
    if result.best_learning_rate is not None:
        best = tuner.oracle.get_best_trials()[0]
        console.print(f"Weights: {SearchFolder(Path(tuner.project_dir)).checkpoint(best.trial_id)}", markup=False)
    write_outputs(console, options, result, race_argv(options))
    return FOUND if result.confidence in options.fail_on else 0


def search_argv(options: argparse.Namespace) -> list[str]:
    """The command line of the same search without workers and output files, for the report."""
    return to_argv("search", options, without=(*_PLACE, *OUTPUT_OPTIONS))


def race_argv(options: argparse.Namespace) -> list[str]:
    """The command line of the same race without workers and output files, for the report."""
    return to_argv("race", options, without=(*_PLACE, *OUTPUT_OPTIONS))


def _trained(
    options: argparse.Namespace, make: Callable[..., LogGridSearch], batch_sizes: Sequence[int]
) -> LogGridSearch | None:
    """The tuner that `make` returns, once it has searched; None after Ctrl-C.

    Args:
        options: Of the command.
        make: Takes the options, the user's build function and the objective.
        batch_sizes: Those asked for. A single one is an argument of `search`, as several are of the tuner.
    """
    check_targets(named_targets(options))
    if options.workers or options.cluster:
        check_installed("distributed", user="Training in workers", package="Dask", extra="dask")
    start_tensorflow()
    place: dict[str, Any] = {name: getattr(options, name) for name in _PLACE}
    place["resources"] = dict(options.resources or ())
    batch: dict[str, Any] = {"batch_size": batch_sizes[0]} if len(batch_sizes) == 1 else {}
    try:
        with set_up(options):
            data, validation = _data_of(options)
            objective = options.objective or ("val_loss" if validation else "loss")
            tuner = make(options, _hypermodel(options.model), objective)
            tuner.search(**data, **validation, **batch, **place, epochs=options.epochs, verbose="auto")
    except KeyboardInterrupt:
        standard_output(json=options.json).print("Interrupted. Run the same command again to resume.", markup=False)
        return None
    return tuner


def _search(options: argparse.Namespace, hypermodel: Any, objective: str) -> LogGridSearch:
    from keras_lr.search._tuner import LogGridSearch

    sizes = options.batch_sizes or []
    return LogGridSearch(
        hypermodel,
        objective,
        options.min_lr,
        options.max_lr,
        options.points_per_decade,
        options.repeats,
        learning_rates=options.learning_rates,
        batch_sizes=sizes if len(sizes) > 1 else None,
        extend=not options.no_extend,
        refine=options.refine,
        pruning=options.pruning,
        seed=options.seed,
        directory=options.directory,
        project_name=options.project,
    )


def _race(options: argparse.Namespace, hypermodel: Any, objective: str) -> LogGridSearch:
    from keras_lr.search._race_search import RaceSearch

    return RaceSearch(
        hypermodel,
        objective,
        options.budget,
        learning_rates=options.learning_rates,
        seed=options.seed,
        directory=options.directory,
        project_name=options.project,
    )


def _data_of(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of `search` for the data and for the validation data, which may be none."""
    data = load_data(options.data)
    if not options.validation_data:
        return data, {}
    scored = load_data(options.validation_data, argument="--validation-data")
    return data, {"validation_data": scored["x"] if len(scored) == 1 else tuple(scored.values())}


def _hypermodel(target: str) -> Any:
    """The user's build function, whose errors are reported as errors of `MODULE:BUILD`."""
    build = load_object(target, argument="MODULE:BUILD")
    if not callable(build):
        return build

    @functools.wraps(build)
    def guarded(*arguments: Any, **keywords: Any) -> Any:
        try:
            return build(*arguments, **keywords)
        except Exception as err:
            raise build_error(target, err) from err

    return guarded
