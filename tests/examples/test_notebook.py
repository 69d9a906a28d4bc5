"""The tour runs from its first cell to its last, and is stored without outputs."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "learning_rate_tour.ipynb"
FASTER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.fresh_process import leave_pipelines_unoptimized, leave_stacks_out
leave_pipelines_unoptimized()
leave_stacks_out()
"""


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_stored_without_outputs(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) > 10
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert NOTEBOOK.stat().st_size < 30_000


@pytest.mark.slow
def test_it_runs_and_shows_what_it_promises(notebook, tmp_path):
    nbclient = pytest.importorskip("nbclient")
    notebook.cells.insert(0, nbformat.v4.new_code_cell(FASTER))
    nbclient.NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    printed = "".join(output.get("text", "") for output in outputs)
    assert len(pictures) == 7
    assert "of the digits recognised" in printed
    assert " 1 epochs: best at" in printed
    assert "pixels from 0 to 16: suggested learning rate" in printed
    assert any("<svg" in output.get("data", {}).get("text/html", "") for output in outputs)
    assert list(tmp_path.iterdir()) == []
