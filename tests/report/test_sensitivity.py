"""The section of a search: which rates are as good within noise, and how much of the gain each rate loses."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
from matplotlib.figure import Figure

from keras_lr.analysis import analyze_sensitivity
from keras_lr.plots._sensitivity import RACE_ENDS, plot_race
from keras_lr.report._sections.sensitivity import sensitivity_section
from keras_lr.results import SensitivityResult

# Epoch 0 at 2.3, then the loss of each repeat. At 1e-3 all are worse than at 1e-2, by 0.033 of a gain of 2.203; at 0.1
# they scatter around them, and lose 0.013.
DIGITS = {
    1e-4: (1.3, 1.4, 1.35),
    1e-3: (0.124, 0.130, 0.137),
    1e-2: (0.082, 0.097, 0.102),
    1e-1: (0.11, 0.09, 0.12),
    1.0: (2.3, 2.4, 2.35),
}


def searched(*, repeats: int = 3, batch_sizes: tuple[int, ...] = (32,)) -> SensitivityResult:
    rows = [
        {"learning_rate": rate, "repeat": repeat, "batch_size": size, "epoch": epoch, "seed": repeat, "status": "ok"}
        | {"loss": loss + size / 1e4, "val_loss": loss + size / 1e4}
        for rate, ends in DIGITS.items()
        for size in batch_sizes
        for repeat, end in enumerate(ends[:repeats])
        for epoch, loss in enumerate((2.3, end))
    ]
    return analyze_sensitivity(pd.DataFrame(rows), engine="stacked")


def columns(result: SensitivityResult, *names: str) -> list[tuple[str, ...]]:
    """Some columns of the table with a row per learning rate."""
    table = sensitivity_section((result,), "s")["tables"][0]
    headings = [column["text"] for column in table["columns"]]
    places = [headings.index(name) for name in names]
    return [tuple(row[place]["text"] for place in places) for row in table["rows"]]


def test_the_table_says_both_facts_of_each_rate() -> None:
    assert columns(searched(), "Learning rate", "Gain lost", "Standing") == [
        ("1e-4", "56.9%", ""),
        ("1e-3", "1.5%", "loses at most 5% of the gain"),
        ("1e-2", "0.0%", "best"),
        ("1e-1", "0.6%", "as good within noise"),
        ("1", "100.0%", ""),
    ]


def test_with_one_repeat_only_the_loss_of_gain_is_known() -> None:
    assert columns(searched(repeats=1), "Learning rate", "Standing")[1:4] == [
        ("1e-3", "loses at most 5% of the gain"),
        ("1e-2", "best"),
        ("1e-1", "loses at most 5% of the gain"),
    ]


def test_another_batch_size_is_not_compared_with_the_gain_of_the_best() -> None:
    rows = columns(searched(batch_sizes=(16, 32)), "Batch size", "Gain lost", "Standing")
    assert [row[1:] for row in rows if row[0] == "32"] == [("–", "")] * 5
    assert [row[1] for row in rows if row[0] == "16"] == ["56.9%", "1.5%", "0.0%", "0.6%", "100.0%"]


def test_the_facts_hold_both_ranges_and_the_sensitivity() -> None:
    """The medians lose 1.253, 0.033, 0, 0.013 and all of 2.203 over four decades."""
    facts = {fact["label"]: fact["value"] for fact in sensitivity_section((searched(),), "s")["facts"]}
    assert facts["As good within noise"] == "1e-2 to 1e-1"
    assert facts["Loses at most 5% of the gain"] == "1e-3 to 1e-1"
    mean_share = (1.253 / 2 + 0.033 + 0.0 + 0.013 + 2.203 / 2) / 2.203 / 4
    assert facts["Learning-rate sensitivity"] == f"{mean_share:.2f}"


def test_the_method_defines_what_the_facts_say() -> None:
    method = " ".join(sensitivity_section((searched(),), "s")["method"])
    for words in (
        "As good within noise: ",
        "The gain is the difference between ",
        "Learning-rate sensitivity: ",
        "arXiv:2309.14322",
    ):
        assert words in method


@pytest.mark.parametrize("name", ["usable_low", "lr_sensitivity"])
def test_what_an_older_result_does_not_hold_is_left_out(name: str) -> None:
    older = dataclasses.replace(searched(), usable_low=None, usable_high=None, lr_sensitivity=None)
    section = sensitivity_section((older,), "s")
    labels = [fact["label"] for fact in section["facts"]]
    assert labels[:2] == ["As good within noise", "Searched"]
    assert "Learning-rate sensitivity" not in " ".join(section["method"])
    assert section["records"][0][name] is None


def raced() -> SensitivityResult:
    """1e-2 wins, 1e-1 is beaten, 1e-4 only behind, and 10 diverges."""
    curves = {1e-4: [2.0, 1.9], 1e-2: [1.5, 1.0, 0.5, 0.3], 1e-1: [1.4, 1.3, 1.25], 10.0: [500.0, float("nan")]}
    whys = {1e-4: ("behind", 2), 1e-1: ("beaten", 3), 10.0: ("diverged", 2)}
    rows = [
        {"learning_rate": rate, "repeat": 0, "batch_size": 32, "epoch": epoch, "seed": 0, "loss": value}
        | {"val_loss": value, "status": "diverged" if value != value else "ok"}
        for rate, curve in curves.items()
        for epoch, value in enumerate(curve)
    ]
    race = {
        "epochs": 4,
        "budget": 2.0,
        "cost": 1.75,
        "finished": True,
        "dropped": [
            {"learning_rate": rate, "epoch": epoch, "why": why, "reason": f"{rate:g} was {why}."}
            for rate, (why, epoch) in whys.items()
        ],
        "comparisons": [{"epoch": epoch, "kept": [1e-2], "added": []} for epoch in (1, 2, 3, 4)],
    }
    return dataclasses.replace(
        analyze_sensitivity(pd.DataFrame(rows)), best_learning_rate=1e-2, low=1e-2, high=1e-2, race=race
    )


def test_a_race_says_of_each_rate_how_long_it_ran_and_why_it_was_dropped() -> None:
    assert columns(raced(), "Learning rate", "Epochs", "Outcome") == [
        ("1e-4", "2", "1e-4 was behind.".replace("1e-4", "0.0001")),
        ("1e-2", "4", "won"),
        ("1e-1", "3", "0.1 was beaten."),
        ("10", "2", "10 was diverged."),
    ]
    section = sensitivity_section((raced(),), "s")
    assert section["heading"] == "Race"
    assert {"label": "Spent on other rates", "value": "1.8 of 2 complete runs"}.items() <= section["facts"][-2].items()
    assert "keras_lr.RaceSearch(" in section["script"]
    described = section["figure"]["description"]
    assert described == (
        "4 learning rates took part. Can no longer win: 1e-1; behind, to save budget: 1e-4; diverged: 10."
    )
    assert section["verdict"]["reason"] not in described


def test_a_race_is_drawn_up_to_where_each_rate_was_dropped() -> None:
    """The line of the diverged rate, far above all others, leaves the picture; its mark is at the upper edge."""
    ax = plot_race(raced(), ax=Figure().subplots())
    lengths = {len(line.get_xdata()) for line in ax.lines if line.get_linewidth() in (1.3, 2.4)}
    assert lengths == {1, 2, 3, 4}
    assert {text.get_text() for text in ax.texts} == {"1e-4", "1e-2", "1e-1", "10"}
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {name for *_, name in RACE_ENDS.values()}
    assert ax.get_ylim()[1] < 100
