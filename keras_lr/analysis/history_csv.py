"""Reading a `CSVLogger` file, also one that a spreadsheet saved again."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from keras_lr.errors import CurveError

SEPARATORS = ",;\t|"


def read_csv_columns(path: Path) -> dict[str, np.ndarray]:
    """The columns of the file, whichever separator its header shows; beside semicolons a decimal comma is read too.

    Raises:
        CurveError: It is no text, has no header, or a row has more fields than that.
    """
    with path.open("rb") as stream:
        start = stream.read(4096)
    if b"\0" in start:
        raise CurveError(f"`source` must be a text file. Received: {path}, which is binary. Pass the CSVLogger's file.")
    header = start.decode(errors="replace").partition("\n")[0]
    separator = max(SEPARATORS, key=header.count)
    try:
        # Where all rows are longer than the header, pandas would take the first column for an index, or warn.
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            frame = pd.read_csv(
                path, sep=separator, decimal="," if separator == ";" else ".", skipinitialspace=True, index_col=False
            )
    except (pd.errors.ParserWarning, ValueError) as err:
        raise CurveError(
            f"`source` must be a CSV file with a header. Received: {path}: {err} Check that it is whole."
        ) from err
    return {str(name).strip(): frame[name].to_numpy() for name in frame.columns}
