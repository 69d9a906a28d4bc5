"""The date a report bears."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from keras_lr.errors import InvalidArgumentError


def report_date(environments: Iterable[Mapping[str, Any]]) -> str:
    """`SOURCE_DATE_EPOCH` as a date, else the date the first result bears, else nothing: never the time of writing.

    Raises:
        InvalidArgumentError: `SOURCE_DATE_EPOCH` is set but is not a number of seconds.

    Source:
        https://reproducible-builds.org/specs/source-date-epoch/
    """
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        try:
            return datetime.fromtimestamp(int(epoch), UTC).date().isoformat()
        except (ValueError, OverflowError, OSError) as err:
            raise InvalidArgumentError(
                f"`SOURCE_DATE_EPOCH` must be in seconds since 1970. Received: {epoch[:40]!r}. Unset or mend it."
            ) from err
    dates = (environment.get("date") for environment in environments)
    return next((date for date in dates if isinstance(date, str)), "")
