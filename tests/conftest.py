"""Real data and real models that the tests share."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing import forkserver

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The test processes share the cores, on which further threads of each would only wait for one another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell ignores Ctrl-C in what it starts in the background, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import hypothesis
import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.fresh_process import leave_pipelines_unoptimized, leave_stacks_out

# Hundreds of processes import keras_lr; without bytecode on disk, each of them compiles it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# On a busy machine an example may take any time. `--hypothesis-profile=random` draws other examples in each run.
hypothesis.settings.register_profile("random", deadline=None)
hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True)
hypothesis.settings.load_profile("fixed")


@pytest.fixture(autouse=True, scope="module")
def small_heap() -> None:
    """Garbage collections, many of them KerasTuner's, look only at the objects of the module that is being tested."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images scaled to [0, 1], shape (1797, 64), and their labels."""
    images, labels = load_digits(return_X_y=True)
    return (images / 16).astype("float32"), labels.astype("int32")


@pytest.fixture(autouse=True)
def _no_figure_is_left_open() -> Iterator[None]:
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def pytest_collection(session: pytest.Session) -> None:
    """Makes each `fit` of a process with tests cheaper, before a module that is collected begins TensorFlow."""
    if "PYTEST_XDIST_WORKER" in os.environ or not session.config.getoption("numprocesses", None):
        leave_pipelines_unoptimized()
        leave_stacks_out()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the modules with slow tests first, so that the processes end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_unconfigure() -> None:
    """Waits for the server of `fresh_process`, so that its processor time counts as that of the tests."""
    forkserver._forkserver._stop()
