"""Every plot: a record in, Axes in and out, and nothing of the user's changed."""

import dataclasses
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from keras_lr import analyze_history, plots
from keras_lr.analysis import analyze_sensitivity
from keras_lr.errors import InvalidArgumentError
from keras_lr.plots._history import shown_rates
from keras_lr.plots._svg import figure_svg
from tests.report_samples import auto_lr_log, history, schedule_preview
from tests.result_records import make_range_test
from tests.sensitivity_samples import sensitivity_frame, sensitivity_result

ONE_AXES = {
    "plot_range_test": make_range_test,
    "plot_slope": make_range_test,
    "plot_sensitivity": sensitivity_result,
    "plot_heatmap": lambda: sensitivity_result(sensitivity_frame(batch_sizes=(16, 32))),
    "plot_history": lambda: analyze_history(history(1.0)),
    "plot_schedule": schedule_preview,
}
SEVERAL_AXES = {
    "plot_auto_lr": (auto_lr_log, 2),
    "plot_learning_curves": (sensitivity_result, 6),
    "plot_histories": (lambda: {"low": analyze_history(history(1e-4)), "high": analyze_history(history(1.0))}, 2),
}


@pytest.mark.parametrize("name", ONE_AXES)
def test_it_draws_on_the_axes_it_is_given_and_returns_them(name):
    given = Figure().subplots()
    with mpl.rc_context({"lines.linewidth": 7}):
        before = dict(mpl.rcParams)
        assert getattr(plots, name)(ONE_AXES[name](), ax=given) is given
        assert dict(mpl.rcParams) == before
    assert given.get_children()
    assert given.get_xlabel()
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", SEVERAL_AXES)
def test_it_draws_on_as_many_axes_as_it_has_panels(name):
    make, count = SEVERAL_AXES[name]
    given = list(Figure().subplots(count, 1))
    assert getattr(plots, name)(make(), axes=given) == given
    assert all(axes.lines for axes in given)
    assert plt.get_fignums() == []
    with pytest.raises(
        InvalidArgumentError, match=rf"`axes` must hold one Axes per panel, {count} in all\. Received: 1\."
    ):
        getattr(plots, name)(make(), axes=given[:1])


@pytest.mark.parametrize("name", [*ONE_AXES, *SEVERAL_AXES])
def test_without_axes_it_makes_one_figure_that_pyplot_shows(name):
    make = ONE_AXES.get(name) or SEVERAL_AXES[name][0]
    drawn = getattr(plots, name)(make())
    figures = [plt.figure(number) for number in plt.get_fignums()]
    assert figures == [(drawn if name in ONE_AXES else drawn[0]).figure]


def test_every_public_plot_is_tested_here():
    assert {*ONE_AXES, *SEVERAL_AXES} == set(plots.__all__)


@pytest.mark.parametrize("seed", range(5))
def test_a_curve_of_noise_is_drawn_up_to_where_it_diverges(seed):
    rates = np.geomspace(1e-7, 10, 100)
    losses = np.random.default_rng(seed).normal(3000, 600, size=100)
    losses[95:] = 1e5
    ax = plots.plot_range_test(make_range_test(learning_rates=rates, losses=losses, repeat_losses=losses[None]))
    smoothed = max(ax.lines, key=lambda line: line.get_linewidth() if line.get_gid() else 0)
    assert rates[90] < smoothed.get_xdata()[-1] < rates[97]
    assert all(ax.get_ylim()[0] < losses[:95])
    assert np.mean(losses[:95] < ax.get_ylim()[1]) > 0.98
    plt.close(ax.figure)


def test_the_u_curve_shows_every_seed_the_median_the_band_and_the_diverged():
    result = sensitivity_result()
    ax = plots.plot_sensitivity(result)
    points = np.concatenate([drawn.get_offsets() for drawn in ax.collections if drawn.get_label() == "one repeat"])
    runs = result.frame[result.frame["learning_rate"] < 1].groupby(["learning_rate", "repeat"])["val_loss"].min()
    assert sorted(points[:, 1]) == pytest.approx(sorted(runs))
    median = next(line for line in ax.lines if line.get_label() == "median")
    assert list(median.get_ydata()) == pytest.approx(list(runs.groupby("learning_rate").median()))
    cross = next(line for line in ax.lines if line.get_label() == "diverged")
    assert list(cross.get_xdata()) == [1.0]
    assert cross.get_transform() == ax.get_xaxis_transform()
    named = [text.get_text() for text in ax.get_legend().get_texts()]
    assert named == ["median", "lowest to highest repeat", "one repeat", "diverged", "as good within noise"]


LITTLE = "loses ≤ 5% of the gain"


def spans(ax):
    """The ends of the shaded range and of the bar at its foot, by what the legend says of them."""
    shaded = {patch.get_label(): patch.get_extents().transformed(ax.transData.inverted()) for patch in ax.patches}
    ends = {name: (box.x0, box.x1) for name, box in shaded.items()}
    bars = {line.get_label(): tuple(line.get_xdata()) for line in ax.lines}
    return {name: span for name, span in (ends | bars).items() if name in ("as good within noise", LITTLE)}


def test_what_is_as_good_within_noise_and_what_loses_little_are_drawn_apart():
    apart = {"low": 1e-3, "high": 1e-2, "usable_low": 1e-4, "usable_high": 1e-3}
    ax = plots.plot_sensitivity(dataclasses.replace(sensitivity_result(), **apart))
    drawn = spans(ax)
    assert drawn["as good within noise"] == pytest.approx((1e-3, 1e-2))
    assert drawn[LITTLE] == (1e-4, 1e-3)
    assert len(ax.get_legend().get_texts()) == 6


def test_without_known_noise_the_shaded_range_loses_little_and_is_called_so():
    drawn = spans(plots.plot_sensitivity(dataclasses.replace(sensitivity_result(), basin_by="gain")))
    assert list(drawn) == [LITTLE]
    assert drawn[LITTLE] == pytest.approx((1e-3, 1e-2))


def test_a_range_of_one_rate_is_not_in_the_legend():
    alone = dict.fromkeys(("low", "high", "usable_low", "usable_high"), 1e-3)
    assert spans(plots.plot_sensitivity(dataclasses.replace(sensitivity_result(), **alone))) == {}


def test_a_diverged_seed_counts_as_the_worst_in_the_median():
    frame = sensitivity_frame((1e-4, 1e-3, 1e-2))
    outcomes = frame[frame["learning_rate"] == 1e-3].groupby("repeat")["val_loss"].min()
    frame.loc[(frame["learning_rate"] == 1e-3) & (frame["repeat"] == outcomes.idxmin()), "status"] = "diverged"
    frame.loc[(frame["learning_rate"] == 1e-2) & (frame["repeat"] > 0), "status"] = "diverged"
    ax = plots.plot_sensitivity(sensitivity_result(frame))
    median = next(line for line in ax.lines if line.get_label() == "median")
    assert list(median.get_xdata()) == pytest.approx([1e-4, 1e-3])
    assert median.get_ydata()[1] == pytest.approx(outcomes.max())


def test_the_band_goes_from_the_lowest_to_the_highest_seed():
    result = sensitivity_result(sensitivity_frame((1e-4, 1e-3), noise=0.1))
    ax = plots.plot_sensitivity(result)
    band = next(item for item in ax.collections if item.get_label() == "lowest to highest repeat")
    heights = band.get_paths()[0].vertices[:, 1]
    scores = result.frame.groupby(["learning_rate", "repeat"])["val_loss"].min().groupby("learning_rate")
    assert {round(value, 9) for value in [*scores.min(), *scores.max()]} == {round(value, 9) for value in heights}


def test_the_heatmap_frames_the_best_cell_and_crosses_the_diverged():
    result = sensitivity_result(sensitivity_frame(batch_sizes=(16, 32)))
    ax = plots.plot_heatmap(result)
    (frame,) = ax.patches
    assert [label.get_text() for label in ax.get_xticklabels()][int(frame.get_x())] == "1e-3"
    assert [label.get_text() for label in ax.get_yticklabels()][int(frame.get_y())] == "32"
    assert len([line for line in ax.lines if line.get_marker() == "x"]) == 2
    written = {text.get_text() for text in ax.texts}
    scores = result.frame.groupby(["batch_size", "learning_rate", "repeat"])["val_loss"].min()
    medians = scores.groupby(["batch_size", "learning_rate"]).median()
    assert f"{medians[32, 1e-3]:.3g}" in written


@pytest.mark.parametrize(("optimizer", "grows"), [("SGD", 4.0), ("Adam", 2.0), ("Own", None)])
def test_the_heatmap_draws_the_rule_beside_the_measured_ridge(optimizer: str, grows: float | None):
    """Three columns per decade; the samples' best rate grows with the square root of the batch size."""
    frame = sensitivity_frame(tuple(10 ** (-4 + third / 3) for third in range(9)), repeats=1, batch_sizes=(16, 64))
    ax = plots.plot_heatmap(analyze_sensitivity(frame, environment={"optimizer": optimizer}))
    lines = {line.get_label(): list(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) > 1}
    scores = frame.groupby(["batch_size", "learning_rate"])["val_loss"].min().unstack()
    assert lines.pop("best rate") == [list(scores.columns).index(scores.loc[size].idxmin()) + 0.5 for size in (64, 16)]
    if grows is None:
        assert not lines
    else:
        ((name, (upper, lower)),) = lines.items()
        assert name == ("linear rule" if grows == 4 else "square-root rule")
        assert (upper - lower) / 3 == pytest.approx(np.log10(grows))


def test_findings_are_hatched_over_their_own_epochs():
    diagnosis = analyze_history(history(1.0))
    ax = plots.plot_history(diagnosis)
    hatched = {(patch.get_x() + 0.4, patch.get_x() + patch.get_width() - 0.4) for patch in ax.patches}
    spans = {(f.start_epoch, f.end_epoch) for f in diagnosis.findings if f.kind in ("oscillation", "divergence")}
    assert spans
    assert all(any(np.allclose(span, found) for found in hatched) for span in spans)


def test_a_long_grid_shows_the_best_rate_among_its_panels():
    rates = tuple(np.geomspace(1e-5, 1, 41))
    result = sensitivity_result(sensitivity_frame(rates, repeats=1, epochs=2))
    shown = shown_rates(result)
    assert len(shown) == 12
    assert any(np.isclose(rate, result.best_learning_rate) for rate in shown)


def test_colours_hold_a_contrast_of_three_on_white_and_on_black():
    from keras_lr.plots import _style

    for color in (_style.BLUE, _style.GREEN, _style.ORANGE, _style.PINK, _style.GREY):
        parts = [int(to_hex(color)[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
        assert 1.05 / (luminance + 0.05) >= 3
        assert (luminance + 0.05) / 0.05 >= 3


def test_a_history_of_steps_is_labelled_so():
    runs = {name: analyze_history({"step": [1, 2, 3], "loss": [3.0, 2.0, 1.0]}) for name in "ab"}
    assert plots.plot_history(runs["a"]).get_xlabel() == "Step"
    assert {ax.get_xlabel() for ax in plots.plot_histories(runs)} == {"Step"}


def test_a_text_in_a_page_has_its_size_weight_and_style_as_attributes():
    def draw(figure):
        figure.text(0.5, 0.5, "bold", fontsize=8, fontweight="bold")
        figure.text(0.5, 0.8, "slanted", fontsize=12, fontstyle="italic")

    texts = re.findall(r"<text ([^>]*)>", figure_svg(draw, title="t", description="d", prefix="p"))
    fonts = [dict(re.findall(r'font-?(\w*)="([^"]*)"', text)) for text in texts]
    assert fonts == [{"size": "8px", "weight": "700"}, {"size": "12px", "style": "italic"}]


def test_threads_draw_the_same_and_leave_the_style_alone():
    def drawn(_):
        return figure_svg(lambda figure: figure.subplots().plot([1, 2]), title="t", description="d", prefix="p")

    alone, before = drawn(0), dict(mpl.rcParams)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(drawn, range(24))) == {alone}
    assert dict(mpl.rcParams) == before


def test_drawing_a_page_chooses_no_backend():
    code = (
        "import matplotlib as mpl; from keras_lr.plots._svg import figure_svg;"
        "figure_svg(lambda figure: figure.subplots(), title='t', description='d', prefix='p');"
        "print(isinstance(dict.__getitem__(mpl.rcParams, 'backend'), str))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.split() == ["False"]


def test_a_metric_that_should_grow_is_drawn_as_what_it_is():
    ax = plots.plot_history(analyze_history({"accuracy": [0.1, 0.5, 0.7]}))
    assert ax.get_ylabel() == "Accuracy"
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.1, 0.5, 0.7])


def test_the_best_run_of_a_metric_that_should_grow_stays_inside_the_scale():
    accuracies = {"a": [0.1, 0.11, 0.12], "b": [0.1, 0.1, 0.12], "c": [0.2, 0.8, 0.9], "d": [0.1, 0.12, np.nan]}
    axes = plots.plot_histories({name: analyze_history({"accuracy": values}) for name, values in accuracies.items()})
    assert {ax.get_ylabel() for ax in axes} == {"Accuracy", ""}
    assert axes[0].get_ylim()[0] < 0.1
    assert axes[0].get_ylim()[1] > 0.9
    crosses = [line for line in axes[3].lines if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[2]]
    assert crosses[0].get_ydata()[0] < 0.5
    assert not [line for ax in axes[:3] for line in ax.lines if line.get_marker() == "x"]


def test_no_run_has_no_panel():
    nothing = {"best_learning_rate": None, "low": None, "high": None, "confidence": "none"}
    empty = dataclasses.replace(sensitivity_result(sensitivity_frame().iloc[:0]), **nothing)
    assert plots.plot_histories({}) == plots.plot_learning_curves(empty) == []
