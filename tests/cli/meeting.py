"""Makes both workers of a search take a share of its grid, however slowly one of them starts."""

from __future__ import annotations

MEET = """
import os
import pathlib
import time

builds = []


def meet(model):
    # A worker builds two models to compare them, then takes its share, and builds the next model to train it.
    builds.append(model)
    name = os.environ.get("KERASTUNER_TUNER_ID", "")
    if name.startswith("worker") and len(builds) == 3:
        pathlib.Path("met-" + name).touch()
        deadline = time.monotonic() + 200
        while len(list(pathlib.Path.cwd().glob("met-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    return model


"""


def with_workers_that_meet(module: str) -> str:
    """The text of a module whose `build` waits, in a worker that has taken its share, until the other one has too."""
    before, build, rest = module.partition("def build(")
    assert "\n    return model\n" in rest
    return before + MEET + build + rest.replace("\n    return model\n", "\n    return meet(model)\n", 1)
