"""The notebooks run, and what is committed of them is clean."""

import contextlib
import os
import re
import signal
import uuid
from pathlib import Path

import pytest

from ecct_tf.doctor import worker_processes

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# What would tell of the machine on which a notebook was executed.
PRIVATE = re.compile(r"(?<![\w.])/(work|tmp|root|home|repo|opt|usr)/|https?://|localhost|WARNING")


def named(path):
    return path.stem


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def workers_with(token):
    """TFF workers whose environment has `token`: those of this test, whoever their parent is."""
    found = []
    for worker in worker_processes():
        with contextlib.suppress(OSError):
            if token.encode() in Path(f"/proc/{worker.pid}/environ").read_bytes():
                found.append(worker.pid)
    return found


@pytest.fixture
def token(monkeypatch):
    value = uuid.uuid4().hex
    monkeypatch.setenv("ECCT_NOTEBOOK_TEST", value)
    yield value
    for pid in workers_with(value):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_it_runs_on_a_small_setting_and_leaves_no_worker(path, token, monkeypatch):
    monkeypatch.setenv("ECCT_NOTEBOOK_DATASET", "synthetic")
    monkeypatch.setenv("ECCT_NOTEBOOK_ROUNDS", "2")
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()  # raises CellExecutionError with the cell's traceback
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert workers_with(token) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_it_is_committed_with_clean_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert {output.output_type for output in outputs(notebook)} <= {
        "stream",
        "execute_result",
        "display_data",
    }
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]
    texts = [str(notebook.metadata), *(str(cell.metadata) for cell in notebook.cells)]
    for output in outputs(notebook):
        data = output.get("data", {})
        texts += [output.get("text", ""), *(v for k, v in data.items() if k != "image/png")]
    assert not [match.group() for text in texts if (match := PRIVATE.search(text))]
