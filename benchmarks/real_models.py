"""Speed of a search and of the range test on models that people train.

    python benchmarks/real_models.py [--model NAME ...] [--rounds 3] [--only searches|range_test|profile|memory]

Each figure is the median over fresh processes, which run in turn, one at a time. Five rates are searched with three
epochs each, and a range test has 100 steps. The limit of a search is a model that is built and traced once and then
trained and validated at each rate by bare compiled loops. Ratios carry over to other machines, times do not. The
ratios of processor time show whether a busy machine distorted those of elapsed time. The memory is that of a range test
of a model with 100 MB of weights, and of a search of 50 points over a dataset. Without `--model` and `--only`, writes
`benchmarks/results/real_models.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from _real_models import EPOCHS, RATES, TASKS
from range_test import PerBatchFinder, options

import keras_lr
from keras_lr.search import _session
from keras_lr.search._engines import function
from keras_lr.search._model_factory import ModelFactory
from keras_lr.search._recorder import Recorder

RESULTS = Path(__file__).parent / "results" / "real_models.md"
STEPS, BATCH_SIZE = 100, 32
KERAS_TUNER, OURS, LIMIT = "keras_tuner.GridSearch", "LogGridSearch", "limit"
REPEATED = {f"{KERAS_TUNER}, 3 repeats": 3, f"{OURS}, 3 repeats": 3}
ENGINES = ("stacked", "function", "reuse")
SEARCHES = (KERAS_TUNER, OURS, LIMIT, *REPEATED, *(f"{OURS}, {engine}" for engine in ENGINES))
FIT, BARE, FIND_LR, PER_BATCH = "plain fit", "bare loop", "find_lr", "per-batch callback"
RANGE_TESTS = (FIT, BARE, FIND_LR, PER_BATCH)


class Figure(NamedTuple):
    """Elapsed and processor seconds, and the engine with its reason, if any."""

    elapsed: float
    processor: float
    engine: str = ""


def timed(call: Callable[[], Any]) -> Figure:
    """What a call takes; a text that it returns names the engine."""
    began = time.perf_counter(), time.process_time()
    returned = call()
    taken = time.perf_counter() - began[0], time.process_time() - began[1]
    return Figure(*taken, returned if isinstance(returned, str) else "")


def search(name: str, way: str) -> str:
    """Searches with one tuner; returns the engine and the reason for it, if any."""
    task, repeats = TASKS[name], REPEATED.get(way, 1)
    given = {**task.data(), "epochs": EPOCHS, "verbose": 0}
    with tempfile.TemporaryDirectory() as directory:
        if way.startswith(KERAS_TUNER):
            tuner = keras_tuner.GridSearch(task.build, "val_loss", executions_per_trial=repeats, directory=directory)
            tuner.search(**given)
            return ""
        engine: Any = way.partition(", ")[2]
        ours = keras_lr.LogGridSearch(
            task.build,
            learning_rates=RATES,
            repeats=repeats,
            engine=engine if engine in ENGINES else "auto",
            extend=False,
            directory=directory,
        )
        ours.search(**given)
        return f"{ours.sensitivity().engine} ({ours.sensitivity().engine_reason})".removesuffix(" ()")


def limit(name: str) -> None:
    """One model, one trace, and bare loops over the steps and the validation of every rate."""
    given = TASKS[name].data()
    model = TASKS[name].build(keras_tuner.HyperParameters())
    model.optimizer.build(model.trainable_variables)
    # Metrics that a step has to create would have it traced twice.
    x, y = next(iter(given["x"])) if "y" not in given else (given["x"][:1], given["y"][:1])
    model.compute_metrics(x, y, model(x))
    variables = [*model.variables, *model.optimizer.variables]
    initial = [variable.numpy() for variable in variables]
    train = loop(model.train_step, given["x"] if "y" not in given else (given["x"], given["y"]))
    validate = loop(model.test_step, given["validation_data"])
    for rate in RATES:
        for variable, value in zip(variables, initial, strict=True):
            variable.assign(value)
        model.optimizer.learning_rate = rate
        for _ in range(EPOCHS):
            for run in (train, validate):
                model.reset_metrics()
                run()
                {metric.name: metric.result() for metric in model.metrics}


def loop(step: Callable[[Any], Any], data: Any) -> Callable[[], Any]:
    """A function that runs a step over all batches of a dataset, or of arrays in a random order, in one call."""
    if isinstance(data, tf.data.Dataset):

        @tf.function(autograph=False)
        def over_dataset(iterator: Any) -> None:
            def body(batch: Any) -> tuple[Any]:
                step(batch.get_value())
                return (iterator.get_next_as_optional(),)

            tf.while_loop(
                lambda batch: batch.has_value(), body, [iterator.get_next_as_optional()], parallel_iterations=1
            )

        return lambda: over_dataset(iter(data))
    x, y = (tf.constant(part) for part in data)
    size = int(x.shape[0])

    @tf.function(autograph=False)
    def over_arrays(order: Any) -> None:
        def body(start: Any) -> tuple[Any]:
            rows = order[start : tf.minimum(start + BATCH_SIZE, size)]
            step((tf.gather(x, rows), tf.gather(y, rows)))
            return (start + BATCH_SIZE,)

        tf.while_loop(lambda start: start < size, body, [tf.constant(0)], parallel_iterations=1)

    rng = np.random.default_rng(0)
    return lambda: over_arrays(tf.constant(rng.permutation(size).astype("int32")))


def range_test(name: str, way: str) -> list[Figure]:
    """The first and the second call of one way to take 100 steps."""
    # What a process does only once, such as starting its threads, must not count.
    small = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    small.compile("sgd", "mse")
    small.fit(np.zeros((4, 1)), np.zeros(4), verbose=0)
    model, given = TASKS[name].build(keras_tuner.HyperParameters()), TASKS[name].data()
    if "y" in given:
        # As many batches as make up 100 steps in whole epochs.
        batches = max(
            size for size in range(1, STEPS + 1) if STEPS % size == 0 and size * BATCH_SIZE <= len(given["x"])
        )
        feed = {"x": given["x"][: batches * BATCH_SIZE], "y": given["y"][: batches * BATCH_SIZE]}
        feed, span = {**feed, "batch_size": BATCH_SIZE}, {"epochs": STEPS // batches}
        rows = tf.data.Dataset.from_tensor_slices((feed["x"], feed["y"])).shuffle(batches * BATCH_SIZE)
        stream = rows.batch(BATCH_SIZE).repeat(span["epochs"]).prefetch(2)
    else:
        feed, span = {"x": given["x"].repeat()}, {"steps_per_epoch": STEPS}
        stream = feed["x"].take(STEPS)
    calls: dict[str, Callable[[], Any]] = {
        FIT: lambda: model.fit(**feed, **span, verbose=0),
        BARE: loop(model.train_step, stream),
        FIND_LR: lambda: keras_lr.find_lr(model, **feed, **options(STEPS)),
        PER_BATCH: lambda: model.fit(**feed, **span, verbose=0, callbacks=[PerBatchFinder(STEPS)]),
    }
    return [timed(calls[way]) for _ in range(2)]


PARTS: dict[str, list[tuple[Any, str]]] = {
    "builds": [(ModelFactory, "examine"), (ModelFactory, "prepare_states")],
    "trace": [
        (function.EpochProgram, "__init__"),
        (function.EpochProgram, "trace"),
        (function.ArrayPass, "prepare"),
        (function.DatasetPass, "prepare"),
    ],
    "steps and validation": [(function, "_side_by_side")],
    "pipelines": [(function, "training_dataset"), (function, "validation_dataset")],
    "resets": [(function.EpochProgram, "reset")],
    "records": [(Recorder, "record")],
    "checks": [(_session, "data_fault"), (_session, "project_header")],
}
"""The functions whose processor time makes up each part of a search by the function engine."""


def profile(name: str) -> dict[str, float]:
    """Processor seconds of each part of a search by the function engine."""
    seconds = dict.fromkeys(PARTS, 0.0)
    first = list[float]()

    def watch(part: str, owner: Any, attribute: str) -> None:
        called = getattr(owner, attribute)

        def watched(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return called(*args, **kwargs)
            finally:
                seconds[part] += time.process_time() - began
                if part == "steps and validation":
                    first.append(time.process_time() - began)

        setattr(owner, attribute, watched)

    for part, places in PARTS.items():
        for owner, attribute in places:
            watch(part, owner, attribute)
    whole = timed(lambda: search(name, f"{OURS}, function")).processor
    # TensorFlow optimizes each of the two functions in its first call.
    optimizing = sum(first[:2]) - sum(first[2:4])
    seconds["trace"] += optimizing
    seconds["steps and validation"] -= optimizing
    return {**seconds, "rest": whole - sum(seconds.values())}


def megabytes_of_process() -> float:
    """The memory that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def peak_memory(name: str) -> list[float]:
    """Megabytes: state of a model with 100 MB of weights, and what `find_lr` adds to the peak of two `fit`s."""
    width = 3584
    hidden = [keras.layers.Dense(width, "relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((width,)), *hidden, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-4) if "Adam" in name else keras.optimizers.SGD(1e-4), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(320, width)).astype("float32"), rng.normal(size=(320, 1)).astype("float32")
    feed = [tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH_SIZE)] if "dataset" in name else [x, y]
    peaks = []
    for call in (
        lambda: model.fit(*feed, epochs=2, verbose=0),
        lambda: [keras_lr.find_lr(model, *feed, **options(20)) for _ in range(2)],
    ):
        call()
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
    state = sum(np.asarray(variable).nbytes for variable in [*model.variables, *model.optimizer.variables])
    return [state / 2**20, peaks[1] - peaks[0]]


def growth(name: str) -> list[float]:
    """Megabytes that the process holds after the first epoch of a search of 50 points, and what the others add."""
    held: list[float] = []
    record = Recorder.record

    def watched(*args: Any, **kwargs: Any) -> Any:
        held.append(megabytes_of_process())
        return record(*args, **kwargs)

    Recorder.record = watched  # type: ignore[method-assign]
    rows = {key: value for key, value in TASKS["tabular MLP with BatchNorm"].data().items() if key != "batch_size"}
    train = tf.data.Dataset.from_tensor_slices((rows["x"], rows["y"])).shuffle(1024).batch(256).prefetch(2)
    validation = tf.data.Dataset.from_tensor_slices(rows["validation_data"]).batch(256)
    with tempfile.TemporaryDirectory() as directory:
        keras_lr.LogGridSearch(
            TASKS["tabular MLP with BatchNorm"].build,
            learning_rates=[*np.geomspace(1e-5, 1e-1, 50)],
            repeats=1,
            engine="reuse" if "reuse" in name else "auto",
            extend=False,
            directory=directory,
        ).search(train, validation_data=validation, epochs=2, verbose=0)
    return [held[0], megabytes_of_process() - held[0]]


MEMORY: dict[str, Callable[[str], list[float]]] = {
    "`find_lr`, Adam, arrays": peak_memory,
    "`find_lr`, Adam, dataset": peak_memory,
    "`find_lr`, SGD, arrays": peak_memory,
    "search of a dataset": growth,
    "search of a dataset by the reuse engine": growth,
}


def child(name: str, way: str) -> None:
    """Runs one way in this process and prints its figures."""
    if name in MEMORY:
        print(json.dumps(MEMORY[name](name)))
    elif way == "profile":
        print(json.dumps(profile(name)))
    elif way in RANGE_TESTS:
        print(json.dumps(range_test(name, way)))
    else:
        print(json.dumps([timed(lambda: limit(name) if way == LIMIT else search(name, way))]))


def in_fresh_process(name: str, way: str) -> Any:
    """What `child` prints in a process of its own."""
    command = [sys.executable, __file__, "--child", name, way]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measured(name: str, ways: tuple[str, ...], rounds: int) -> dict[str, list[Figure]]:
    """The median figures of each way over fresh processes, run in turn."""
    found: dict[str, list[list[Figure]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            found[way].append([Figure(*figure) for figure in in_fresh_process(name, way)])
            print(f"{name}: {way}: {[round(one.elapsed, 2) for one in found[way][-1]]}", file=sys.stderr, flush=True)
    return {
        way: [
            Figure(
                statistics.median(one.elapsed for one in calls),
                statistics.median(one.processor for one in calls),
                calls[-1].engine,
            )
            for calls in zip(*taken, strict=True)
        ]
        for way, taken in found.items()
    }


def ratio(first: Figure, second: Figure) -> str:
    """The ratio of elapsed time, with that of processor time in parentheses."""
    return f"{first.elapsed / second.elapsed:.2f} ({first.processor / second.processor:.2f})"


def search_table(names: list[str], rounds: int) -> Iterator[str]:
    """The table of the searches."""
    yield (
        f"| {len(RATES)} rates, {EPOCHS} epochs | `{KERAS_TUNER}`, s | `{OURS}`, s | times faster | with 3 repeats | "
        'limit / ours | ours / `"stacked"` | ours / `"function"` | ours / `"reuse"` | engine |'
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---|"
    faster, repeated = [], []
    for name in names:
        found = {way: figures[0] for way, figures in measured(name, SEARCHES, rounds).items()}
        three = [found[way] for way in REPEATED]
        faster.append(found[KERAS_TUNER].elapsed / found[OURS].elapsed)
        repeated.append(three[0].elapsed / three[1].elapsed)
        cells = [
            f"{found[KERAS_TUNER].elapsed:.1f}",
            f"{found[OURS].elapsed:.1f}",
            ratio(found[KERAS_TUNER], found[OURS]),
            ratio(*three),
            ratio(found[LIMIT], found[OURS]),
            *(ratio(found[OURS], found[f"{OURS}, {engine}"]) for engine in ENGINES),
            found[OURS].engine,
        ]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    yield (
        f"Geometric mean of the ratios to `{KERAS_TUNER}`: {statistics.geometric_mean(faster):.2f}, with 3 repeats "
        f"{statistics.geometric_mean(repeated):.2f}. An engine that cannot train a model hands it to the next one."
    )


def range_table(names: list[str], rounds: int) -> Iterator[str]:
    """The table of the range tests."""
    yield (
        f"| range test of {STEPS} steps | first `find_lr` / first `fit` | second `find_lr` / second bare loop | "
        "first per-batch callback / first `find_lr` | second per-batch callback / second `find_lr` |"
    )
    yield "|---|---:|---:|---:|---:|"
    for name in names:
        found = measured(name, RANGE_TESTS, rounds)
        ours, others = found[FIND_LR], found[PER_BATCH]
        cells = [ratio(ours[0], found[FIT][0]), ratio(ours[1], found[BARE][1])]
        cells += [ratio(*pair) for pair in zip(others, ours, strict=True)]
        yield f"| {name} | {' | '.join(cells)} |"


def profile_table(names: list[str], rounds: int) -> Iterator[str]:
    """The table of where a search spends its time."""
    yield f'| processor time of `engine="function"`, s | {" | ".join([*PARTS, "rest"])} |'
    yield f"|---|{'---:|' * (len(PARTS) + 1)}"
    for name in names:
        taken = [in_fresh_process(name, "profile") for _ in range(rounds)]
        medians = {part: statistics.median(one[part] for one in taken) for part in taken[0]}
        yield f"| {name} | {' | '.join(f'{seconds:.2f}' for seconds in medians.values())} |"


def memory_table(_names: list[str], _rounds: int) -> Iterator[str]:
    """The table of memory, which does not depend on the models."""
    yield "| memory, MB | before | added |"
    yield "|---|---:|---:|"
    for name in MEMORY:
        before, added = in_fresh_process(name, "memory")
        yield f"| {name} | {before:.0f} | {added:.0f} |"
    yield ""
    yield "Before `find_lr`, the state of the model and its optimizer; before the rest of a search, the whole process."


TABLES = {"searches": search_table, "range_test": range_table, "profile": profile_table, "memory": memory_table}


def main() -> None:
    """Measures, prints and writes the tables; or runs one way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=TASKS, nargs="+", default=list(TASKS), help="models to measure")
    parser.add_argument("--rounds", type=int, default=3, help="processes per figure (%(default)d)")
    parser.add_argument("--only", choices=TABLES, help="measure one table")
    parser.add_argument("--child", nargs=2, metavar=("MODEL", "WAY"), help="run one way, and print its figures")
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    parts = [
        f"Medians of {arguments.rounds} fresh processes run in turn, in parentheses of processor time; TensorFlow "
        f"{tf.__version__}, Keras {keras.__version__}, keras-tuner {keras_tuner.__version__}, "
        f"{os.cpu_count()} CPU cores."
    ]
    print(parts[0])
    for name in [arguments.only] if arguments.only else TABLES:
        lines = []
        print()
        for line in TABLES[name](arguments.model, arguments.rounds):
            print(line, flush=True)
            lines.append(line)
        parts.append("\n".join(lines))
    if not arguments.only and arguments.model == list(TASKS):
        RESULTS.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
