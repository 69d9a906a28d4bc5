"""Results of every kind that a report can show: plain ones, and ones that try to break it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from keras_lr import Report, analyze_histories, analyze_history
from keras_lr.results import (
    AutoLRAction,
    AutoLRLog,
    Diagnosis,
    Finding,
    HistoryComparison,
    SchedulePreview,
    SensitivityResult,
    Suggestion,
)
from tests.result_records import make_range_test
from tests.sensitivity_samples import sensitivity_frame, sensitivity_result


def history(learning_rate: float, *, epochs: int = 30) -> dict[str, list[float]]:
    """A run of a classifier: slow at low learning rates, quick at middle ones, divergent at high ones."""
    epoch = np.arange(epochs)
    noise = np.random.default_rng(7).normal(scale=0.01, size=(2, epochs))
    if learning_rate >= 1:
        loss = np.where(epoch % 2 == 0, 2.0, 4.0) + 0.5 * epoch
    else:
        loss = 0.1 + 2.2 * np.exp(-epoch * min(1.0, 60 * learning_rate) / 5) + noise[0]
    return {
        "loss": loss.tolist(),
        "val_loss": (loss * 1.1 + noise[1]).tolist(),
        "learning_rate": [learning_rate] * epochs,
    }


def auto_lr_log(**changes: Any) -> AutoLRLog:
    """A run that broke down at a learning rate of 3, was rolled back, and annealed at its end."""
    epochs = np.arange(12)
    rates = np.where(epochs < 3, 3.0, 0.01)
    fields: dict[str, Any] = {
        "actions": (
            AutoLRAction("rollback", 3, 3.0, 0.01, "The loss became NaN."),
            AutoLRAction("anneal", 9, 0.01, 1e-4, "The last quarter of the run."),
        ),
        "epochs": epochs,
        "learning_rates": rates,
        "losses": np.where(epochs == 2, np.nan, 2 * np.exp(-epochs / 4)),
        "val_losses": 2.2 * np.exp(-epochs / 4),
        "start_learning_rate": 3.0,
        "planned_epochs": 12,
    }
    return AutoLRLog(**(fields | changes))


def schedule_preview(**changes: Any) -> SchedulePreview:
    """One cycle with its momentum, 500 steps."""
    steps = np.arange(500)
    rates = np.interp(steps, [0, 150, 499], [1e-4, 3e-3, 1e-6])
    fields: dict[str, Any] = {
        "name": "OneCycle",
        "steps": steps,
        "learning_rates": rates,
        "total_steps": 500,
        "momentums": 0.95 - 0.1 * rates / rates.max(),
        "config": {"max_learning_rate": 3e-3, "total_steps": 500, "name": None},
    }
    return SchedulePreview(**(fields | changes))


KINDS: dict[str, Callable[[], list[Any]]] = {
    "sensitivity": lambda: [sensitivity_result()],
    "batch sizes": lambda: [sensitivity_result(sensitivity_frame(batch_sizes=(16, 32, 64), noise=0.05))],
    "range test": lambda: [make_range_test(repeats=3)],
    "diagnosis": lambda: [analyze_history(history(1e-2))],
    "diagnoses": lambda: [analyze_history(history(rate)) for rate in (1e-4, 1e-2, 1.0)],
    "comparison": lambda: [analyze_histories({str(rate): history(rate) for rate in (1e-4, 1e-2, 1.0)})],
    "AutoLR": lambda: [auto_lr_log()],
    "schedule": lambda: [schedule_preview()],
}


@cache
def page_of(kind: str) -> str:
    """The page of one kind, or of "everything" together."""
    names = ("batch sizes", "range test", "diagnoses", "AutoLR", "schedule") if kind == "everything" else (kind,)
    report = Report("Digits")
    for name in names:
        for record in KINDS[name]():
            report.add(record)
    return report.to_html()


HOSTILE = "</script><img src=x onerror=alert(1)>\u202e\x07\x00\ud800=cmd()|'calc'!A0 שלום 🧑‍🔬`"


def hostile_records(text: str = HOSTILE) -> list[Any]:
    """Every kind of result, with `text` wherever a result holds a name or a sentence from outside."""
    finding = Finding("oscillation", "critical", 2, 9, 3.0, text, text, text)
    run = Diagnosis(
        verdict="too_high",
        reasons=(text,),
        findings=(finding,),
        n_epochs=10,
        monitor=text,
        epochs=tuple(range(10)),
        losses=(1.0,) * 10,
        suggested_low=1e-3,
        suggested_high=1e-2,
    )
    frame = sensitivity_frame((1e-3, 1e-2), epochs=3, batch_sizes=(16, 32)).rename(columns={"val_accuracy": text})
    environment = {"optimizer": text, text: text, "gpus": [{"name": text}]}
    return [
        SensitivityResult(frame, text, "max", 1e-3, 1e-3, 1e-2, True, "tentative", text, text, text, 32, environment),
        make_range_test(
            monitor=text,
            stop_detail=text,
            stop_reason="error",
            environment=environment,
            engine="per_batch",
            engine_reason=text,
        ),
        run,
        HistoryComparison({text: run, f"={text}": run}, {text: 1.0}, text, None, 1e-3, 1e-2, text),
        auto_lr_log(actions=(AutoLRAction("lower", 3, 3.0, 0.01, text),), monitor=text),
        schedule_preview(name=text, config={text: text}, annotations=((20, text),)),
    ]


def extreme_records() -> dict[str, list[Any]]:
    """Results as small, as large and as broken as they come."""
    rates = tuple(np.geomspace(1e-7, 10, 2000))
    million = np.arange(1_000_000)
    one_epoch = {"loss": [1.0, 0.9, float("nan")], "val_loss": [None, 2.0, float("inf")]}
    nothing = make_range_test(
        losses=np.full(100, np.nan), suggestion=Suggestion.refuse("No step was finite.", rule="x")
    )
    diverged = sensitivity_frame((1.0, 10.0), repeats=1, epochs=2, diverges_above=0.0)
    lost = {"best_learning_rate": None, "low": None, "high": None, "best_batch_size": None, "confidence": "none"}
    alone = {"best_learning_rate": 1e-3, "low": 1e-3, "high": 1e-3}
    return {
        "2,000 rates": [
            dataclasses.replace(
                sensitivity_result(sensitivity_frame(rates, epochs=5)), best_learning_rate=float(rates[1200])
            )
        ],
        "a million steps": [
            make_range_test(num_steps=1_000_000),
            schedule_preview(
                steps=million, learning_rates=1e-3 * np.cos(million / 7e5) ** 2, total_steps=1_000_000, momentums=None
            ),
        ],
        "a million epochs": [
            analyze_history({"loss": 1 / (1 + million / 1e4), "step": million}),
            auto_lr_log(
                epochs=million,
                learning_rates=np.full(1_000_000, 0.1),
                losses=1 / (1 + million / 1e4),
                val_losses=np.full(1_000_000, np.nan),
                planned_epochs=1_000_000,
            ),
        ],
        "one epoch, one rate": [
            dataclasses.replace(sensitivity_result(sensitivity_frame((1e-3,), repeats=1, epochs=1)), **alone),
            schedule_preview(steps=np.array([0]), learning_rates=np.array([0.1]), momentums=None, total_steps=1),
            auto_lr_log(
                epochs=np.array([0]),
                learning_rates=np.array([0.1]),
                losses=np.array([1.0]),
                val_losses=np.array([np.nan]),
                actions=(),
            ),
            make_range_test(num_steps=1, suggestion=Suggestion.refuse("One step is no curve.", rule="x")),
        ],
        "nothing finite": [
            dataclasses.replace(sensitivity_result(diverged), **lost),
            nothing,
            analyze_history(one_epoch | {"loss": [1.0, 0.9, 0.8]}),
            auto_lr_log(losses=np.full(12, np.nan), val_losses=np.full(12, np.inf)),
        ],
    }
