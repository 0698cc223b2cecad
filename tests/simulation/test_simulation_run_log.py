"""What a run without a terminal says of itself: lines of rounds, `run.log`, `status.json`."""

import csv
import json
import logging
import math

import pytest

from ecct_tf.evaluation import Metrics
from ecct_tf.federated import RoundReport
from ecct_tf.reporting import read_run
from ecct_tf.simulation.callbacks import ProgressBar
from ecct_tf.simulation.loop import Callback, RoundResult
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.run_log import LINES, round_line, run_log
from ecct_tf.simulation.simulate import resume, simulate


def _result(number=3, *, train_loss=0.4322, cloud=None, quality=None):
    report = RoundReport(
        2, 943, train_loss, downlink_bytes=1000, uplink_bytes=2000, weights_bytes=96,
        item_table_bytes=1000, cloud=cloud or {},
    )  # fmt: skip
    metrics = {} if quality is None else {"edge": quality}
    return RoundResult(number, report, 1.2345, metrics)


QUALITY = Metrics(
    hr=0.75, ndcg=0.5, mrr=0.25, auc=0.9, gauc=0.9, log_loss=0.3, k=10, num_users=4
)  # fmt: skip


def test_a_line_has_all_that_a_round_measured():
    line = round_line(
        _result(cloud={"cloud_loss": 0.5}, quality=QUALITY),
        name="ECCT",
        rounds=30,
        k=10,
        seconds_left=34.2,
    )
    assert line == (
        "ECCT: round 3 of 30, stage 2, 1.23 s, 943 devices, 4.00 KiB, train loss 0.4322, "
        "cloud loss 0.5000, edge validation HR@10 0.7500 NDCG@10 0.5000, about 34 s left"
    )


def test_a_line_leaves_out_what_was_not_measured():
    line = round_line(_result(30, train_loss=math.nan), name="x", rounds=30, k=5, seconds_left=0.0)
    assert line == "x: round 30 of 30, stage 2, 1.23 s, 943 devices, 4.00 KiB"


def test_without_a_terminal_each_round_is_a_line_with_the_time_left(capsys):
    times = iter([120.0, 124.0, 128.0])
    bar = ProgressBar("ECCT", k=10, clock=lambda: next(times))
    # Two of ten rounds were done before: the pace is of those that this process does, and the
    # first of them, which also traces the graphs, does not count.
    bar.on_start(rounds=10, num_devices=4, first_round=2)
    bar.on_round(_result(3), None)
    bar.on_round(_result(4), None)
    bar.on_round(_result(5), None)
    bar.on_end()
    first, second, third = capsys.readouterr().err.splitlines()
    assert first.startswith("ECCT: round 3 of 10")
    assert "left" not in first
    assert second.endswith("about 24 s left")
    assert third.endswith("about 20 s left")


def test_many_quick_rounds_have_few_lines_and_slow_ones_each_its_own(capsys):
    def said(seconds):
        now = iter(seconds * number for number in range(1, 31))
        bar = ProgressBar("edge only", clock=lambda: next(now))
        bar.on_start(rounds=30, num_devices=4, first_round=0)
        for number in range(1, 31):
            bar.on_round(_result(number), None)
        bar.on_end()
        return [int(line.split()[3]) for line in capsys.readouterr().err.splitlines()]

    assert said(0.05) == [1, *range(3, 31, 3)]
    assert said(6.0) == [1, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 21, 23, 24, 26, 27, 29, 30]
    assert said(10.0) == list(range(1, 31))


def test_a_run_log_tells_how_it_ended(tmp_path):
    path = tmp_path / "run.log"
    with run_log(path, about="ECCT begins"):
        LINES.info("a round")
        logging.getLogger("cloud.model").warning("careful")
    with pytest.raises(KeyboardInterrupt), run_log(path, about="ECCT is resumed"):
        raise KeyboardInterrupt
    with pytest.raises(OSError, match="no room"), run_log(path, about="again"):
        raise OSError("no room")
    text = path.read_text()
    said = [line.split(" ", 3)[3] for line in text.splitlines() if line.startswith("20")]
    assert said == [
        "ECCT begins", "a round", "careful", "complete",
        "ECCT is resumed", "interrupted", "again", "failed: no room",
    ]  # fmt: skip
    assert "Traceback" in text
    LINES.info("after the end")
    assert path.read_text() == text


def test_a_run_log_that_cannot_be_written_harms_nobody(tmp_path, capsys):
    with run_log(tmp_path / "missing" / "run.log", about="ECCT"):
        LINES.info("a round")
    assert capsys.readouterr().err == ""


class _Watch(Callback):
    """What `status.json` says after each round; stops after one."""

    def __init__(self, folder, *, stop_after=None):
        self.seen = []
        self._file, self._stop_after = folder / "status.json", stop_after

    def on_round(self, result, state):
        del state
        self.seen.append(json.loads(self._file.read_text()))
        if result.round_number == self._stop_after:
            raise KeyboardInterrupt


def test_status_and_log_follow_the_rounds_of_a_run_and_of_its_resumption(small_config, tmp_path):
    out = tmp_path / "run"
    first = _Watch(out, stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        simulate(small_config("rounds=3", "participation.dropout=1.0"), out=out, callbacks=[first])
    assert [(found["status"], found["round"]) for found in first.seen] == [
        ("running", 1),
        ("running", 2),
    ]
    assert 0 < first.seen[0]["seconds"] <= first.seen[1]["seconds"]
    second = _Watch(out)
    resume(out, callbacks=[second])
    assert [found["round"] for found in second.seen] == [3]
    assert second.seen[0]["seconds"] >= first.seen[1]["seconds"]
    log = (out / "run.log").read_text()
    for number in (1, 2, 3):
        assert log.count(f"ECCT: round {number} of 3, stage") == 1
    for words in ("seed 0, begins", "interrupted", "seed 0, is resumed", "test: ECCT edge HR@10"):
        assert log.count(words) == 1
    assert log.rstrip().endswith("complete")
    # Nobody answered in any round: what was not measured is empty, not 0.0.
    with (out / "metrics.csv").open() as file:
        assert [row["train_loss"] for row in csv.DictReader(file)] == [""] * 3
    assert "train loss" not in log
    assert read_run(out).metrics["train_loss"].isna().all()
    assert RunFolder.open(out).status == "complete"
