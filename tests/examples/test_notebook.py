"""The tour runs from its first cell to its last, and is stored without outputs."""

import json
from pathlib import Path

import pytest

from tests.fresh_process import run_fresh

nbformat = pytest.importorskip("nbformat")

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "learning_rate_tour.ipynb"
# Runs the cells in a kernel within the process, which is forked with TensorFlow in it, and prints what they show.
KERNEL = """
import json, pathlib, sys
from ipykernel.inprocess.manager import InProcessKernelManager

manager = InProcessKernelManager()
manager.start_kernel()
client = manager.client()
client.start_channels()
shown = []
for cell in json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))["cells"]:
    if cell["cell_type"] == "code":
        client.execute("".join(cell["source"]))
        reply = client.get_shell_msg()["content"]
        assert reply["status"] == "ok", reply["traceback"]
        shown += [message["content"] for message in client.iopub_channel.get_msgs()]
print(json.dumps(shown), file=sys.__stdout__)
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
def test_it_runs_and_shows_what_it_promises(tmp_path):
    pytest.importorskip("ipykernel")
    done = run_fresh("-c", KERNEL, NOTEBOOK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    outputs = json.loads(done.stdout)
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    printed = "".join(output.get("text", "") for output in outputs)
    assert len(pictures) == 7
    assert "of the digits recognised" in printed
    assert " 1 epochs: best at" in printed
    assert "pixels from 0 to 16: suggested learning rate" in printed
    assert any("<svg" in output.get("data", {}).get("text/html", "") for output in outputs)
    assert list(tmp_path.iterdir()) == []
