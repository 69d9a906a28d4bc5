"""What is planted in a loss is found where it is, as often as an oracle that knows its shape allows."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_lr.analysis import analyze_history

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("findings"), importlib.import_module("_findings_plants")
    finally:
        sys.path.remove(str(BENCHMARKS))


# Epochs and signal-to-noise ratios of which the oracle places nearly all (benchmarks/results/findings.md).
WITHIN_REACH = [
    ("oscillation", (10, 20), (5, 250)),
    ("oscillation", (20, 50), (3, 5)),
    ("oscillation", (20, 50), (5, 250)),
    ("oscillation", (50, 2000), (3, 250)),
    ("plateau", (20, 50), (30, 250)),
    ("plateau", (50, 200), (10, 250)),
    ("plateau", (200, 2000), (5, 250)),
    ("straight_divergence", (10, 20), (30, 250)),
    ("straight_divergence", (20, 200), (10, 250)),
    ("straight_divergence", (200, 2000), (5, 250)),
    ("exponential_divergence", (50, 2000), (30, 250)),
    ("slow_decay", (20, 50), (5, 250)),
    ("slow_decay", (50, 2000), (3, 250)),
]
# Where noise hides the onset even from the oracle.
OUT_OF_REACH = [
    ("oscillation", (10, 20), (3, 5)),
    ("plateau", (20, 200), (3, 10)),
    ("straight_divergence", (10, 20), (3, 10)),
    ("straight_divergence", (20, 50), (3, 10)),
    ("straight_divergence", (20, 200), (3, 10)),
    ("exponential_divergence", (20, 200), (3, 10)),
]


@pytest.mark.parametrize(("planter", "epochs", "ratios"), WITHIN_REACH)
def test_spans_are_right_to_a_tenth_where_the_data_show_them(benchmark, planter, epochs, ratios):
    findings, plants = benchmark
    cell = findings.cell(getattr(plants, planter), epochs, ratios, 40)
    assert cell.right >= 0.9
    assert cell.other <= 0.05


@pytest.mark.parametrize(("planter", "epochs", "ratios"), OUT_OF_REACH)
def test_spans_are_right_as_often_as_the_oracles_where_noise_hides_them(benchmark, planter, epochs, ratios):
    findings, plants = benchmark
    cell = findings.cell(getattr(plants, planter), epochs, ratios, 60)
    assert cell.oracle <= 0.8
    assert cell.right >= cell.oracle - 0.1


@pytest.mark.parametrize(("onset", "growth"), [(9, 1e-6), (15, 1e-6), (12, 1.0), (15, 3.0)])
def test_a_rise_without_noise_begins_where_it_was_planted(onset, growth):
    ramp = np.maximum(0, np.arange(30) - onset)
    loss = np.exp(-np.arange(30) / 2) + 0.3 * np.expm1(growth * ramp / 29) / np.expm1(growth)
    found = [item for item in analyze_history({"loss": loss}).findings if item.kind == "divergence"]
    assert [item.start_epoch for item in found] == [onset]


def test_short_noisy_decays_of_two_speeds_raise_few_alarms(benchmark):
    findings, _ = benchmark
    generator, time = np.random.default_rng(3), np.arange(16) / 16
    losses = [
        np.exp(-time / 0.05) + np.exp(-time / generator.uniform(0.3, 2)) + generator.normal(0, noise, 16)
        for noise in np.geomspace(0.002, 0.3, 200)
    ]
    found = [{item.kind for item in findings.find_all(findings.read_history({"loss": loss}))} for loss in losses]
    # Two in a hundred are allowed, and the chance of 200 draws takes one to eight.
    assert sum(bool(kinds & set(findings.ALARMS)) for kinds in found) <= 8


def test_divergence_is_found_even_if_its_onset_is_hidden(benchmark):
    findings, plants = benchmark
    assert findings.cell(plants.exponential_divergence, (20, 200), (5, 250), 60).found >= 0.95
    assert findings.cell(plants.exponential_divergence, (10, 20), (5, 30), 60).found >= 0.9


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("jitter", [0.0, 2.0])
@pytest.mark.parametrize("epochs", [20, 30, 300])
def test_a_loss_that_rises_from_the_start_diverges(noise, jitter, epochs):
    epoch = np.arange(epochs)
    loss = 2.0 + 15.0 * epoch / epochs + jitter * (epoch % 2) + np.random.default_rng(0).normal(0.0, noise, epochs)
    rises = [finding for finding in analyze_history({"loss": loss}).findings if finding.kind == "divergence"]
    assert [finding.start_epoch <= 0.1 * epochs for finding in rises] == [True]


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("epochs", [8, 12, 20])
def test_a_loss_that_only_rises_does_not_oscillate(noise, epochs):
    loss = 2.0 + 15.0 * np.arange(epochs) / epochs + np.random.default_rng(0).normal(0.0, noise, epochs)
    assert "oscillation" not in [finding.kind for finding in analyze_history({"loss": loss}).findings]


@pytest.mark.parametrize("creep", [0.0, 0.2])
def test_a_loss_that_fell_from_far_above_and_creeps_up_has_not_diverged(creep):
    noise = np.random.default_rng(0).normal(0, 0.02, 20)
    loss = np.concatenate([[175.0], 2.2 + creep * np.linspace(0, 1, 19)]) + noise
    assert "divergence" not in [item.kind for item in analyze_history({"loss": loss}).findings]


def test_a_rise_that_is_small_against_an_early_fall_is_divergence_once_it_is_a_tenth_of_it():
    noise = np.random.default_rng(0).normal(0, 0.002, 40)
    loss = np.exp(-np.arange(40) / 4) + 0.1 * np.clip((np.arange(40) - 20) / 19, 0, None) + noise
    found = [item for item in analyze_history({"loss": loss}).findings if item.kind == "divergence"]
    assert len(found) == 1
    assert abs(found[0].start_epoch - 20) <= 2


def test_an_oscillation_that_ends_is_found_to_end():
    time, noise = np.arange(40), np.random.default_rng(0).normal(0, 0.02, 40)
    oscillation = 0.2 * np.sin(2 * np.pi * time / 4) * (time < 24)
    found = [
        item
        for item in analyze_history({"loss": np.exp(-time / 12) + oscillation + noise}).findings
        if item.kind == "oscillation"
    ]
    assert len(found) == 1
    assert abs(found[0].end_epoch - 23) <= 2


@pytest.mark.parametrize("bend", [0.0, 0.5, 0.9])
def test_a_loss_that_falls_without_a_rise_does_not_oscillate(bend):
    time = np.arange(20)
    loss = 2.3 - 0.01 * time - 0.004 * bend * np.sin(2 * np.pi * time / 5)
    assert "oscillation" not in [item.kind for item in analyze_history({"loss": loss}).findings]
