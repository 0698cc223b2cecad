"""TensorBoard's curves are those of `metrics.csv`, each round once, also after a resume."""

import csv
import math
from pathlib import Path

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ecct_tf.errors import RunFolderError
from ecct_tf.evaluation import Metrics
from ecct_tf.federated import RoundReport
from ecct_tf.simulation.loop import RoundResult
from ecct_tf.simulation.tensorboard import TensorBoardWriter


def result(number: int, *, hr: float | None) -> RoundResult:
    quality = {}
    if hr is not None:
        figures = {"ndcg": 0.1, "mrr": 0.2, "auc": 0.3, "gauc": 0.4, "log_loss": 0.5}
        quality = {"edge": Metrics(hr=hr, **figures, k=10, num_users=4)}
    report = RoundReport(
        stage=1, devices=4, train_loss=1 / number, uplink_bytes=100 * number,
        cloud={"cloud_loss": 0.25},
    )  # fmt: skip
    return RoundResult(number, report, 0.5, quality)


def write(folder: Path, results: list[RoundResult], *, first_round: int = 0) -> None:
    writer = TensorBoardWriter(folder)
    writer.on_start(rounds=3, num_devices=4, first_round=first_round)
    for each in results:
        writer.on_round(each, None)
    writer.on_end()


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder / "events"), size_guidance={"tensors": 0})
    events.Reload()
    return {
        tag: [
            (event.step, float(tf.make_ndarray(event.tensor_proto)))
            for event in events.Tensors(tag)
        ]
        for tag in events.Tags()["tensors"]
    }


def save_rows(folder: Path, results: list[RoundResult]) -> None:
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(results[0].row()))
        writer.writeheader()
        writer.writerows(each.row() for each in results)


def test_every_figure_of_a_round_is_a_curve(tmp_path: Path) -> None:
    write(tmp_path, [result(1, hr=0.5), result(2, hr=None)])
    found = curves(tmp_path)
    assert found["edge/validation_hr"] == [(1, 0.5)]
    assert found["loss/train"] == [(1, 1.0), (2, 0.5)]
    assert found["loss/cloud"] == [(1, 0.25), (2, 0.25)]
    assert found["traffic/uplink_bytes"] == [(1, 100.0), (2, 200.0)]
    assert found["round/devices"] == [(1, 4.0), (2, 4.0)]
    assert set(found) == {
        "round/stage", "round/devices", "round/seconds", "loss/train", "loss/cloud",
        "traffic/downlink_bytes", "traffic/uplink_bytes", "traffic/weights_bytes",
        "traffic/sums_bytes",
        "traffic/weights_up_bytes",
        "traffic/item_table_bytes", "edge/validation_hr", "edge/validation_ndcg",
        "edge/validation_mrr", "edge/validation_auc", "edge/validation_gauc",
        "edge/validation_log_loss",
    }  # fmt: skip


def test_a_resumed_run_has_every_round_once(tmp_path: Path) -> None:
    before = [result(number, hr=0.1 * number) for number in (1, 2, 3)]
    write(tmp_path, before)
    # The checkpoint was of round 2: the run folder keeps these rows, round 3 is repeated.
    save_rows(tmp_path, before[:2])
    write(tmp_path, [result(3, hr=0.9)], first_round=2)
    assert len(list((tmp_path / "events").iterdir())) == 1
    hr = curves(tmp_path)["edge/validation_hr"]
    assert [step for step, _ in hr] == [1, 2, 3]
    assert [value for _, value in hr] == pytest.approx([0.1, 0.2, 0.9])
    assert all(math.isfinite(value) for _, value in hr)


def test_other_files_beside_the_events_stay(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "notes.txt").write_text("mine")
    write(tmp_path, [result(1, hr=0.5)])
    assert (tmp_path / "events" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("kept", [1, 0])
def test_missing_rows_are_told_and_no_event_is_lost(tmp_path: Path, kept: int) -> None:
    before = [result(number, hr=0.5) for number in (1, 2)]
    write(tmp_path, before)
    if kept:
        save_rows(tmp_path, before[:kept])
    with pytest.raises(RunFolderError, match=r"metrics\.csv: expected"):
        write(tmp_path, [], first_round=2)
    assert curves(tmp_path)["round/stage"] == [(1, 1.0), (2, 1.0)]


def test_a_method_without_rounds_has_no_events(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path)
    writer.on_start(rounds=0, num_devices=0, first_round=0)
    writer.on_end()
    assert not (tmp_path / "events").exists()
