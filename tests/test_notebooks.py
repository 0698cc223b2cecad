"""The notebooks run, and what is committed of them is clean."""

import ast
import contextlib
import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from types import ModuleType

import pytest

from ecct_tf.doctor import worker_processes

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# What would tell of the machine on which a notebook was executed.
PRIVATE = re.compile(r"(?<![\w.])/(work|tmp|root|home|repo|opt|usr)/|https?://|localhost|WARNING")
# Values of the cell that is tagged `parameters`, for a run in seconds.
DATA = [
    "data.dataset=synthetic",
    "data.synthetic_users=32",
    "data.synthetic_items=120",
    "evaluation.negatives=20",
    "cloud.next_item.epochs=2",
]
SMALL = {
    "DATA": DATA,
    "SETTINGS": [*DATA, "validation.negatives=20"],
    "SEEDS": (0,),
    "MIXES": ["mlp", "thirds"],
    "CROSSING": ["float32", "int8"],
    "CYCLES": 2,
    "ROUNDS": 2,
    "FEDAVG_ROUNDS": 2,
    "MIXED_ROUNDS": 2,
    "DEVICES_PER_ROUND": 12,
    "VARIANTS": ["trainable-int4"],
    "PHONE_ROUNDS": 2,
    "CHECK_STEPS": 5,
    "CHECK_CALLS": 5,
    "TIMED_CALLS": 5,
    "LITERT_PYTHON": None,
}


def named(path):
    return path.stem


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def parameters(notebook):
    """The one cell with the settings of a notebook."""
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    return cell


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


def test_all_notebooks_are_there():
    assert [path.stem for path in NOTEBOOKS] == [
        "00_first_rounds",
        "01_quickstart",
        "02_unlike_devices",
        "03_privacy_and_communication",
        "04_export_to_android",
        "05_cloud_retraining",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_it_runs_on_a_small_setting_and_leaves_no_worker(path, token):
    notebook = nbformat.read(path, as_version=4)
    cell = parameters(notebook)
    names = [target.id for node in ast.parse(cell.source).body for target in node.targets]
    # An unknown name here means a setting that would stay large.
    cell.source += "".join(f"\n{name} = {SMALL[name]!r}" for name in names)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()  # raises CellExecutionError with the cell's traceback
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
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
    assert not [cell for cell in notebook.cells if "execution" in cell.metadata]
    texts = [str(notebook.metadata), *(str(cell.metadata) for cell in notebook.cells)]
    for output in outputs(notebook):
        data = output.get("data", {})
        texts += [output.get("text", ""), *(v for k, v in data.items() if k != "image/png")]
    assert not [match.group() for text in texts if (match := PRIVATE.search(text))]


def first_code(path):
    notebook = nbformat.read(path, as_version=4)
    return next(cell.source for cell in notebook.cells if cell.cell_type == "code")


class Colab:
    """What the first cell would see and do in Google Colab, with nothing installed."""

    def __init__(self, monkeypatch, folder, version):
        self.commands = []
        monkeypatch.chdir(folder)
        monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
        monkeypatch.setattr(sys, "version_info", (*version, 0))
        monkeypatch.setattr(subprocess, "run", self.run)

    def run(self, command, **_):
        self.commands.append(command[1:])
        return subprocess.CompletedProcess(command, 0, stdout="simulation.lock\n")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_outside_of_colab_the_first_cell_does_nothing(path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it installed"))
    exec(first_code(path), {})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_in_colab_it_installs_an_uploaded_wheel(path, monkeypatch, tmp_path):
    colab = Colab(monkeypatch, tmp_path, (3, 11))
    with pytest.raises(RuntimeError, match="upload it"):
        exec(first_code(path), {})
    (tmp_path / "ecct_tf-0.1.0-py3-none-any.whl").touch()
    exec(first_code(path), {})
    installs = [command[4:] for command in colab.commands if command[1] == "pip"]
    if path.stem == "05_cloud_retraining":
        assert installs == [["ecct_tf-0.1.0-py3-none-any.whl[cloud]"]]
    else:
        locked = ["--no-deps", "--require-hashes", "-r", "simulation.lock"]
        assert installs == [["ecct_tf-0.1.0-py3-none-any.whl"], locked]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
@pytest.mark.parametrize("version", [(3, 12), (3, 13)])
def test_in_colab_with_a_newer_python_it_installs_what_runs_without_tff(
    path, version, monkeypatch, tmp_path, capsys
):
    colab = Colab(monkeypatch, tmp_path, version)
    (tmp_path / "ecct_tf-0.1.0-py3-none-any.whl").touch()
    exec(first_code(path), {})
    part = "cloud" if path.stem == "05_cloud_retraining" else "local"
    pip = ["-m", "pip", "install", "--quiet", f"ecct_tf-0.1.0-py3-none-any.whl[{part}]"]
    assert colab.commands == [pip]
    assert ("engine `local`" in capsys.readouterr().out) == (part == "local")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_keras_2_is_chosen_before_anything_is_imported(path):
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    imports = re.compile(r"^(from|import) (ecct_tf|cloud|mobile_export|tensorflow)", re.MULTILINE)
    chosen = text.index('os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")')
    assert chosen < imports.search(text).start()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_in_colab_with_another_python_it_says_so(path, monkeypatch, tmp_path):
    colab = Colab(monkeypatch, tmp_path, (3, 14))
    with pytest.raises(RuntimeError, match=r"needs Python 3.11, 3.12 or 3.13; Colab has"):
        exec(first_code(path), {})
    assert not colab.commands
