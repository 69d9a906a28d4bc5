"""What a worker does with a search that it receives, in this process and without Dask."""

from __future__ import annotations

import pickle
import random
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_lr.results._search_records import Point, Run
from keras_lr.search import LogGridSearch
from keras_lr.search._distributed import dask_pool
from keras_lr.search._distributed.share import PackedSearch, answer, random_per_thread, versions
from keras_lr.search._recorder import Recorded, Share
from keras_lr.search._tuner import RemoteSearch
from tests.search.small_search import BATCH_SIZE, RATES, classifier, iris, run_small, small_search

EPOCHS = 4


def packed(tuner: LogGridSearch) -> list[Any]:
    """The messages that bring a small search to a worker."""
    x, y, validation = iris()
    given = {"x": x, "y": y, "validation_data": validation, "epochs": EPOCHS, "batch_size": BATCH_SIZE, "verbose": 0}
    return [
        pickle.loads(message) for message in dask_pool.Messages(RemoteSearch(tuner.constructor_arguments(), (), given))
    ]


def share_of(runs: list[Run], engine: Any = "function", **known: Any) -> Share:
    """A share of which nothing is recorded yet."""
    return Share(runs, [], {}, len(runs), (engine, "", None), **known)


def trained(search_id: str, share: Share, **more: Any) -> Recorded:
    """What a share has come to."""
    found = answer(search_id, share, **more)
    assert isinstance(found, Recorded)
    return found


def losses(recorded: Recorded) -> dict[int, float]:
    """The loss of each epoch that was trained."""
    return {line["epoch"]: line["val_loss"] for line in recorded.lines if "event" not in line}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The rows of a search in one process."""
    return run_small(small_search(classifier(), tmp_path_factory.mktemp("alone"), engine="function"), epochs=EPOCHS)


def expected(alone: Any, run: Run) -> list[float]:
    rows = alone[(alone["learning_rate"] == run.learning_rate) & (alone["repeat"] == run.repeat)]
    return list(rows.sort_values("epoch")["val_loss"])


def test_a_share_has_the_numbers_of_one_process_although_its_data_came_in_pieces(
    alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_pool, "_LARGE_BYTES", 64)
    monkeypatch.setattr(dask_pool, "_PIECE_BYTES", 200)
    head, *pieces = packed(small_search(classifier(), tmp_path, engine="function"))
    assert len(pieces) > 8
    assert [answer("pieces", message) for message in (head, *pieces)] == [""] * (1 + len(pieces))
    for run in Point(RATES[1], BATCH_SIZE).runs(repeats=2, seed=0):
        np.testing.assert_allclose(list(losses(trained("pieces", share_of([run]))).values()), expected(alone, run))


def test_a_run_that_has_paused_goes_on_in_another_process(alone: Any, tmp_path: Path) -> None:
    for search_id in ("first", "second"):
        for message in packed(small_search(classifier(), tmp_path, engine="function")):
            answer(search_id, message)
    run = Point(RATES[1], BATCH_SIZE).runs(repeats=1, seed=0)[0]
    before = trained("first", share_of([run], reach={run: 2}))
    sent = pickle.loads(pickle.dumps(before.checkpoints))
    after = trained("second", share_of([run], reach={run: EPOCHS}, paused=sent))
    assert (list(losses(before)), list(losses(after))) == ([0, 1], [2, 3])
    np.testing.assert_allclose([*losses(before).values(), *losses(after).values()], expected(alone, run))


def test_an_unknown_search_and_a_cancelled_share_must_be_sent_again(tmp_path: Path) -> None:
    run = Point(RATES[0], BATCH_SIZE).runs(repeats=1, seed=0)[0]
    assert answer("never sent", share_of([run])) is None
    for message in packed(small_search(classifier(), tmp_path, engine="function")):
        answer("cancelled", message)
    assert answer("cancelled", share_of([run]), lambda: True) is None
    assert answer("cancelled", share_of([run])) is None


def test_a_module_of_the_user_may_have_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "another_name", sys.modules[classifier.__module__])
    head: PackedSearch = packed(small_search(classifier(), tmp_path))[0]
    assert sys.modules[classifier.__module__].__file__ in head.sources


def test_a_worker_with_other_versions_says_which(tmp_path: Path) -> None:
    head: PackedSearch = packed(small_search(classifier(), tmp_path))[0]
    other = {**versions(), "Keras": "2.0"}
    answered = answer("other", PackedSearch(head.code, head.arrays, head.sources, head.settings, other))
    assert answered == f"Keras {versions()['Keras']} instead of 2.0"


def test_what_other_threads_draw_changes_no_number() -> None:
    with random_per_thread():
        random.seed(3)
        thread = threading.Thread(target=random.random)
        thread.start()
        thread.join()
        drawn = [random.random(), random.randint(0, 10**9)]
    own = random.Random(3)
    assert drawn == [own.random(), own.randint(0, 10**9)]
    random.seed(3)
    assert random.random() == random.Random(3).random()
