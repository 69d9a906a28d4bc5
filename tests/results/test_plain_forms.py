"""Records built by hand from NumPy and non-finite numbers, and files that cannot be written."""

import json
import os

import numpy as np
import pytest

from keras_lr.results import AutoLRAction, AutoLRLog, Diagnosis, Finding
from tests.result_records import make_range_test


def finding(effect_size):
    return Finding("oscillation", "info", np.int64(1), np.int64(3), effect_size, "epochs", "It swings.", "Lower it.")


def test_a_diagnosis_of_numpy_numbers_is_read_back():
    diagnosis = Diagnosis("good", ("So.",), (finding(np.float32(2.5)),), np.int64(3), losses=(np.float32(1), np.nan))
    read = Diagnosis.from_json(diagnosis.to_json())
    assert read.findings == (finding(2.5),)
    assert (read.n_epochs, read.losses) == (3, (1.0, None))


def test_a_number_that_is_not_finite_is_null():
    stored = json.loads(Diagnosis("good", (), (finding(np.inf),), 3).to_json())
    assert stored["findings"][0]["effect_size"] is None


def test_a_log_of_numpy_numbers_is_read_back():
    action = AutoLRAction("lower", np.int64(2), np.float64(0.1), np.float32(0.5), "It swings.", np.True_)
    series = np.array([0.5, 0.25, np.nan])
    log = AutoLRLog((action,), np.arange(3), series, series, series, np.float32(0.5))
    read = AutoLRLog.from_json(log.to_json())
    assert read.actions == (AutoLRAction("lower", 2, 0.1, 0.5, "It swings.", True),)
    np.testing.assert_array_equal(read.losses, series)


@pytest.mark.parametrize("folder", ["nowhere", "~"])
def test_a_missing_folder_is_reported_by_the_path_that_was_given(folder, tmp_path):
    target = tmp_path / folder / "result.json"
    with pytest.raises(FileNotFoundError) as raised:
        Diagnosis("good", (), (), 3).save(target)
    assert raised.value.filename == str(target)


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
@pytest.mark.parametrize("write", ["save", "to_html"])
def test_a_result_is_written_where_a_link_points(write, tmp_path):
    result = make_range_test()
    (tmp_path / "results").mkdir()
    (tmp_path / "latest").symlink_to("results/first")
    getattr(result, write)(tmp_path / "latest")
    text = (tmp_path / "results" / "first").read_text(encoding="utf-8")
    assert text == (result.to_html() if write == "to_html" else result.to_json(indent=1) + "\n")
    assert (tmp_path / "latest").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["latest", "results"]
