"""How many inputs to try: few by default; `KERAS_LR_FUZZ_EXAMPLES=5000 pytest tests/fuzz` takes about four minutes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("KERAS_LR_FUZZ_EXAMPLES", "25"))
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="KERAS_LR_FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Allows warnings, such as numpy's about huge numbers; undocumented exceptions still fail."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
