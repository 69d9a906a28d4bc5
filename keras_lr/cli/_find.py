"""`keras-lr find`: a range test on the user's own model."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from keras_lr._utils import validation as defaults
from keras_lr._utils.formatting import format_rate
from keras_lr.cli._loading import build_model, check_targets, load_data, start_tensorflow
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
from keras_lr.cli._output import FOUND, INTERRUPTED, print_suggestion, standard_output, write_outputs

if TYPE_CHECKING:
    from keras_lr.results._range_test import RangeTestResult


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "find",
        help="run a range test on your model",
        description="Runs a learning-rate range test on your model. MODULE is an import path or a Python file, for "
        "example train.py:build.",
    )
    add_model_and_data(
        parser,
        model="a function that returns a compiled model",
        validation="one batch on which to measure the loss after each step, instead of on the training batch",
    )
    parser.add_argument(
        "--min-lr",
        type=learning_rate,
        default=defaults.MIN_LR,
        help=f"first learning rate ({format_rate(defaults.MIN_LR)})",
    )
    parser.add_argument(
        "--max-lr",
        type=learning_rate,
        default=defaults.MAX_LR,
        help=f"last learning rate ({format_rate(defaults.MAX_LR)})",
    )
    parser.add_argument(
        "--num-steps", type=positive_int, default=defaults.NUM_STEPS, help="training steps (%(default)d)"
    )
    parser.add_argument(
        "--sweep",
        choices=("exponential", "linear"),
        default=defaults.SWEEP,
        help="how the learning rate increases (%(default)s)",
    )
    parser.add_argument(
        "--repeats",
        type=positive_int,
        default=defaults.REPEATS,
        help="number of sweeps, each over different batches (%(default)d)",
    )
    parser.add_argument(
        "--refine",
        action="store_true",
        help="refine the suggestion with short runs at constant rates; doubles the training steps at most",
    )
    parser.add_argument("--batch-size", type=positive_int, help="samples per batch, for arrays (32)")
    parser.add_argument(
        "--epochs",
        type=positive_int,
        help="how long you will train; a long run needs a lower rate than the first steps show",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, batches and dropout (%(default)d)")
    add_outputs(parser, title="Learning-rate range test")
    add_device_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs the test, prints the suggestion and writes the requested files.

    Returns:
        0; 1 if `--fail-on` names the confidence, by default for no answer; 130 if Ctrl-C cut the test short.
    """
    defaults.learning_rate_range(options.min_lr, options.max_lr)
    defaults.whole_number("num_steps", options.num_steps, least=2)
    check_targets(named_targets(options))
    start_tensorflow()
    result = _measure(options)
    console = standard_output(json=options.json)
    print_suggestion(console, result.suggestion)
    write_outputs(console, options, result, find_argv(options))
    if result.stop_reason == "interrupted":
        console.print(result.stop_detail, markup=False)
        return INTERRUPTED
    return FOUND if result.suggestion.confidence in options.fail_on else 0


def find_argv(options: argparse.Namespace) -> list[str]:
    """The command line of the same range test without output files."""
    return to_argv("find", options, without=OUTPUT_OPTIONS)


def _measure(options: argparse.Namespace) -> RangeTestResult:
    import keras

    from keras_lr.range_test._find_lr import find_lr

    with set_up(options):
        keras.utils.set_random_seed(options.seed)
        model = build_model(options.model)
    data = load_data(options.data)
    scored = load_data(options.validation_data, argument="--validation-data") if options.validation_data else None
    result = find_lr(
        model,
        **data,
        batch_size=options.batch_size,
        min_lr=options.min_lr,
        max_lr=options.max_lr,
        num_steps=options.num_steps,
        sweep=options.sweep,
        repeats=options.repeats,
        refine=options.refine,
        epochs=options.epochs,
        validation_data=tuple(scored.values()) if scored else None,
    )
    return dataclasses.replace(result, environment={**result.environment, "seed": options.seed})
