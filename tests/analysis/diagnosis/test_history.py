import numpy as np

from keras_lr.analysis import analyze_history
from keras_lr.analysis._diagnosis.history import from_columns, kept_rows


def test_a_long_history_keeps_its_ends_and_its_spikes():
    generator = np.random.default_rng(0)
    loss, val_loss = generator.normal(size=(2, 50_000))
    loss[12_345], val_loss[40_001] = 90.0, -80.0
    rows = kept_rows(from_columns({"loss": loss, "val_loss": val_loss}), max_points=1000)
    assert rows.size <= 1000
    assert {0, 12_345, 40_001, 49_999} <= set(rows.tolist())
    assert (np.diff(rows) > 0).all()


def test_a_short_history_is_kept_whole():
    diagnosis = analyze_history({"loss": [3.0, 2.0, np.nan], "val_loss": [3.0, np.nan, 1.0], "lr": [0.1] * 3})
    assert diagnosis.losses == (3.0, 2.0, None)
    assert diagnosis.val_losses == (3.0, None, 1.0)
    assert diagnosis.learning_rates == (0.1, 0.1, 0.1)
    assert diagnosis.epochs == (0, 1, 2)


def test_the_highest_of_several_learning_rates_counts():
    """`discriminative` trains the lower layers at a share of the rate, and its columns begin with the lowest."""
    parts = {f"learning_rate_depth_{depth}": [1e-3 * 0.5 ** (3 - depth)] * 4 for depth in (1, 2, 3)}
    diagnosis = analyze_history({"loss": [4.0, 3.9, 3.8, 3.7], **parts})
    assert diagnosis.learning_rate == 1e-3
    assert diagnosis.reasons[-1] == "Of 3 learning rates, the highest is judged, `learning_rate_depth_3`."
