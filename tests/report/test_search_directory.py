"""A report of a search's folder."""

import keras
import pytest

import keras_lr
from keras_lr import Report
from keras_lr.analysis._search_result import read_search
from keras_lr.cli import main
from keras_lr.errors import ResultFormatError


def build():
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.fixture(scope="module")
def project(tmp_path_factory, digits):
    folder = tmp_path_factory.mktemp("runs")
    images, labels = digits[0][:128], digits[1][:128]
    tuner = keras_lr.LogGridSearch(
        build, learning_rates=[1e-3, 1e-2, 1e-1], repeats=2, directory=folder, project_name="digits", extend=False
    )
    tuner.search(images, labels, validation_data=(images, labels), epochs=3, batch_size=32, verbose=0)
    return folder / "digits", tuner.sensitivity()


def test_the_folder_says_what_the_tuner_says(project):
    folder, expected = project
    for path in (folder, str(folder), folder.parent):
        found = read_search(path)
        assert found.best_learning_rate == expected.best_learning_rate
        assert found.to_frame().equals(expected.to_frame())


def test_the_command_takes_a_folder_and_the_result_is_the_same_page(project, tmp_path):
    folder, expected = project
    page = tmp_path / "page.html"
    assert main(["report", str(folder), "-o", str(page), "--title", "Digits"]) == 0
    assert page.read_text(encoding="utf-8") == Report("Digits").add(expected).to_html()


def test_the_folder_is_judged_by_the_objective_of_the_last_search(tmp_path, digits):
    images, labels = digits[0][:64], digits[1][:64]

    def search(objective):
        tuner = keras_lr.LogGridSearch(
            *(build, objective), learning_rates=[1e-3, 1e-2], repeats=1, directory=tmp_path, extend=False
        )
        tuner.search(images, labels, validation_data=(images, labels), epochs=2, batch_size=32, verbose=0)
        return tuner.sensitivity()

    for objective in ("loss", "val_loss", "loss"):
        expected = search(objective)
        found = read_search(tmp_path)
        assert (found.objective, found.reason) == (objective, expected.reason)


def test_a_folder_without_a_search_is_refused(tmp_path):
    with pytest.raises(ResultFormatError, match=r"`directory` must be the folder of one search.*which holds none"):
        Report("x").add(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name / "records").mkdir(parents=True)
    with pytest.raises(ResultFormatError, match="2 searches in it"):
        Report("x").add(tmp_path)
    with pytest.raises(ResultFormatError, match=r"No epochs are recorded in .* yet\. Run the search first"):
        Report("x").add(tmp_path / "a")
