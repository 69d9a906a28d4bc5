"""`keras-lr demo`: a tour of the whole package on real data, offline."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_lr.cli._loading import check_installed, start_tensorflow
from keras_lr.cli._options import output_file
from keras_lr.cli._output import INTERRUPTED, print_sensitivity, print_suggestion, standard_output
from keras_lr.errors import SearchError

if TYPE_CHECKING:
    from rich.console import Console

    from keras_lr.results._record import Record

TITLE = "Handwritten digits, two layers of 64"
BATCH_SIZE = 32
NUM_STEPS = 200
REPEATS = 3
SEARCH_EPOCHS = 12
EPOCHS = 20
FACTORS = {"too low": 0.003, "good": 1.0, "too high": 100.0}
"""Learning rates of the three diagnosed runs, relative to the best one."""

_SCRIPT = """import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_lr


def build():
    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
    return model


x, y = load_digits(return_X_y=True)
x, x_test, y, y_test = train_test_split(x / 16, y, test_size=0.25, random_state=0, stratify=y)

keras.utils.set_random_seed(0)
hint = keras_lr.find_lr(build(), x, y, batch_size={batch_size}, num_steps={num_steps}, repeats={repeats})

tuner = keras_lr.LogGridSearch(
    build, min_lr=1e-5, max_lr=1.0, points_per_decade=1, repeats={repeats}, directory="runs"
)
tuner.search(x, y, validation_data=(x_test, y_test), epochs={search_epochs}, batch_size={batch_size})
result = tuner.sensitivity()

report = keras_lr.Report("Handwritten digits").add(hint).add(result)
for factor in {factors}:
    keras.utils.set_random_seed(0)
    model = build()
    model.optimizer.learning_rate = result.best_learning_rate * factor
    history = model.fit(
        x,
        y,
        validation_data=(x_test, y_test),
        epochs={epochs},
        batch_size={batch_size},
        callbacks=[keras_lr.LRRecorder()],
    )
    report.add(keras_lr.analyze_history(history))
report.save("report.html")
"""


def script() -> str:
    """The demo as a program to paste, which gives the same results."""
    return _SCRIPT.format(
        batch_size=BATCH_SIZE,
        num_steps=NUM_STEPS,
        repeats=REPEATS,
        search_epochs=SEARCH_EPOCHS,
        epochs=EPOCHS,
        factors=tuple(FACTORS.values()),
    )


def load_digits() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Images scaled to [0, 1], shape `(n, 64)`, and their labels: first those to train on, then those to test on."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    x, y = datasets.load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x / 16, y, test_size=0.25, random_state=0, stratify=y)
    return (x, y), (x_test, y_test)


def build() -> Any:
    """The demo's model, compiled with Adam."""
    import keras

    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
    return model


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help="a tour on scikit-learn's digits, offline",
        description="Runs a range test and a search over learning rates on scikit-learn's digits, diagnoses three "
        "training runs (too low, good, too high), and writes a report. Ctrl-C ends it early; the report then holds the "
        "results so far.",
    )
    parser.add_argument(
        "--report",
        type=output_file,
        default=Path("report.html"),
        metavar="FILE",
        help="the page to write (%(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs the demo and writes the report; returns 130 if Ctrl-C cut it short."""
    check_installed("sklearn", user="The demo", package="scikit-learn", extra="examples")
    start_tensorflow()
    tour = _Tour(*load_digits(), standard_output())
    interrupted = False
    try:
        tour.find()
        tour.search()
        tour.diagnose()
    except KeyboardInterrupt:
        interrupted = True
        tour.console.print("Interrupted. The report holds the results so far.", markup=False)
    if tour.results:
        tour.console.print(f"Report: {_write(options.report, tour.results, interrupted)}", markup=False)
    return INTERRUPTED if interrupted else 0


class _Tour:
    """The steps of the demo and their results so far."""

    def __init__(self, train: tuple[Any, Any], test: tuple[Any, Any], console: Console) -> None:
        self.train, self.test, self.console = train, test, console
        self.results: list[Record] = []
        self.rate: float | None = None
        console.print(f"Data: scikit-learn's digits, {len(train[0])} images to train, {len(test[0])} to test")

    def find(self) -> None:
        """A range test."""
        import keras

        from keras_lr.range_test._find_lr import find_lr

        self._head("1. Range test: raise the learning rate step by step")
        keras.utils.set_random_seed(0)
        size = BATCH_SIZE
        found = find_lr(build(), *self.train, batch_size=size, num_steps=NUM_STEPS, repeats=REPEATS)
        found = dataclasses.replace(found, environment={**found.environment, "batch_size": size, "seed": 0})
        self.results.append(found)
        if found.stop_reason == "interrupted":
            raise KeyboardInterrupt
        self.rate = found.suggestion.learning_rate
        print_suggestion(self.console, found.suggestion)

    def search(self) -> None:
        """A search over a log grid, in a temporary directory."""
        from keras_lr.search._tuner import LogGridSearch

        self._head(f"2. Search: train {REPEATS} times at each of 6 learning rates")
        with tempfile.TemporaryDirectory() as folder:
            tuner = LogGridSearch(
                build, min_lr=1e-5, max_lr=1.0, points_per_decade=1, repeats=REPEATS, directory=folder
            )
            with keeping_results_so_far(lambda: self.results.append(tuner.sensitivity())):
                tuner.search(
                    *self.train,
                    validation_data=self.test,
                    epochs=SEARCH_EPOCHS,
                    batch_size=BATCH_SIZE,
                    verbose="auto",
                )
            result = tuner.sensitivity()
        self.results.append(result)
        self.rate = result.best_learning_rate or self.rate
        print_sensitivity(self.console, result)

    def diagnose(self) -> None:
        """Three runs: far below the best rate, at it, and far above it."""
        self._head("3. Diagnosis: judge the learning rate of a run by its history")
        if self.rate is None:
            self.console.print("Skipped, because no usable learning rate was found.", markup=False)
            return
        for name, factor in FACTORS.items():
            self._diagnose_one(name, self.rate * factor)

    def _diagnose_one(self, name: str, rate: float) -> None:
        import keras

        from keras_lr._utils.formatting import format_rate
        from keras_lr._utils.progress import progress_line
        from keras_lr.analysis._diagnosis.diagnose import analyze_history
        from keras_lr.callbacks._lr_recorder import LRRecorder
        from keras_lr.results._diagnosis import FINDING_KINDS, verdict_badge

        keras.utils.set_random_seed(0)
        model = build()
        model.optimizer.learning_rate = rate
        with progress_line(f"Training, {name}", EPOCHS, show="auto", unit="epochs") as progress:
            shown = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: progress(epoch + 1))
            history = model.fit(
                *self.train,
                validation_data=self.test,
                batch_size=BATCH_SIZE,
                epochs=EPOCHS,
                verbose=0,
                callbacks=[LRRecorder(), shown],
            )
        diagnosis = analyze_history(history)
        self.results.append(diagnosis)
        found = ", ".join(FINDING_KINDS[finding.kind].name for finding in diagnosis.findings)
        self.console.print(
            f"learning_rate={format_rate(rate)}: judged {verdict_badge(diagnosis.verdict, diagnosis.share).lower()}, "
            f"{history.history['val_accuracy'][-1]:.1%} of the test images recognised"
            + (f" (found: {found})" if found else ""),
            markup=False,
        )

    def _head(self, text: str) -> None:
        self.console.print()
        self.console.print(text, style="bold", markup=False)


@contextlib.contextmanager
def keeping_results_so_far(keep: Callable[[], None]) -> Iterator[None]:
    """Calls `keep` if Ctrl-C ends the block; a search that has recorded nothing has no result to keep."""
    try:
        yield
    except KeyboardInterrupt:
        with contextlib.suppress(SearchError):
            keep()
        raise


def _write(path: Path, results: list[Record], interrupted: bool) -> Path:
    from keras_lr.report import Report

    report = Report(TITLE, script=script())
    for result in results:
        report.add(result)
    if interrupted:
        report.warn("The demo was interrupted.", "Run it to the end to see all sections.")
    return report.save(path)
