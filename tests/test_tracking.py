"""The callbacks of docs/tracking.md, with MLflow's file store where it is installed."""

import csv
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ecct_tf.federated import RoundReport
from ecct_tf.simulation.loop import RoundResult

PAGE = Path(__file__).parents[1] / "docs/tracking.md"
_BLOCK = re.compile(r'```python title="(\w+)\.py"\n(.*?)```', flags=re.DOTALL)
BLOCKS = dict(_BLOCK.findall(PAGE.read_text(encoding="utf-8")))


class Tracker(ModuleType):
    """A stand-in for `mlflow` and `wandb`: keeps what it is given, and refuses texts as they do."""

    def __init__(self, name):
        super().__init__(name)
        self.logged = {}

    def log(self, values, *, step):
        assert all(isinstance(value, int | float) for value in values.values())
        self.logged[step] = values

    log_metrics = log

    def start_run(self, *, run_name):
        self.run_name = run_name
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def rounds():
    """Two rounds that validated nothing, the second of which nobody answered."""
    fields = {"stage": 1, "downlink_bytes": 154, "weights_bytes": 0, "item_table_bytes": 0}
    first = RoundReport(devices=3, train_loss=0.5, uplink_bytes=532, cloud={}, **fields)
    second = RoundReport(devices=0, train_loss=float("nan"), uplink_bytes=0, cloud={}, **fields)
    return [RoundResult(n, report, 0.25) for n, report in enumerate((first, second), start=1)]


def followed(name):
    """What the callback of a block makes of the rounds."""
    space = {}
    exec(compile(BLOCKS[name], f"{name}.py", "exec"), space)
    (callback,) = [
        value for key, value in space.items() if key.endswith("Callback") and key != "Callback"
    ]
    watcher = callback()
    for result in rounds():
        watcher.on_round(result, None)


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_callback_sends_each_round_and_no_text(monkeypatch, name):
    tracker = Tracker(name)
    monkeypatch.setitem(sys.modules, name, tracker)
    followed(f"{name}_callback")
    assert list(tracker.logged) == [1, 2]
    assert tracker.logged[1]["train_loss"] == 0.5
    assert tracker.logged[1]["uplink_bytes"] == 532
    assert "train_loss" not in tracker.logged[2]


def test_a_finished_run_is_sent_from_its_metrics(monkeypatch, tmp_path):
    tracker = Tracker("mlflow")
    monkeypatch.setitem(sys.modules, "mlflow", tracker)
    _write_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS["send_run"], "send_run.py", "exec"), {})
    assert tracker.run_name == "tracked"
    assert tracker.logged[1]["train_loss"] == 0.5
    assert "train_loss" not in tracker.logged[2]


def test_mlflow_s_file_store_keeps_the_rounds(monkeypatch, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    with mlflow.start_run() as run:
        followed("mlflow_callback")
    client = mlflow.tracking.MlflowClient()
    kept = client.get_metric_history(run.info.run_id, "uplink_bytes")
    assert [(metric.step, metric.value) for metric in kept] == [(1, 532.0), (2, 0.0)]
    _write_run(tmp_path)
    exec(compile(BLOCKS["send_run"], "send_run.py", "exec"), {})
    (sent,) = client.search_runs(["0"], filter_string="run_name = 'tracked'")
    assert sent.data.metrics["train_loss"] == 0.5


def _write_run(folder):
    path = folder / "runs/tracked/metrics.csv"
    path.parent.mkdir(parents=True)
    rows = [result.row() for result in rounds()]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
