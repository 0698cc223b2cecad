"""What the fuzzer expects is right by hand, it sees what it looks for, and a few of its cases."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fuzz.command import run
from benchmarks.fuzz.data_case import DataCase, Event, plain_case
from benchmarks.fuzz.data_truth import truth_of
from benchmarks.fuzz.pool import Worker
from benchmarks.fuzz.record_alterations import header, payload, with_header, with_payload
from benchmarks.fuzz.verdict import Fault, Job, refusal

ROOT = Path(__file__).parents[2]


def _case(rows, **filters):
    events = [Event(user, item, 1_000_000 * second, rating) for user, item, second, rating in rows]
    return DataCase(events, sections={"interactions": {}, "filters": filters})


ROWS = [("a", "x", 3, 5.0), ("a ", "y", 1, 1.0), ("a", "x", 2, 2.0), ("b", "x", 9, 4.0)]


@pytest.mark.parametrize(
    ("filters", "rating", "expected"),
    [
        ({}, None, {("a", "x", 2), ("a", "y", 1), ("b", "x", 9)}),
        ({"duplicates": "keep_last"}, None, {("a", "x", 3), ("a", "y", 1), ("b", "x", 9)}),
        ({"min_user_interactions": 2}, None, {("a", "x", 2), ("a", "y", 1)}),
        ({"min_item_interactions": 2}, None, {("a", "x", 2), ("b", "x", 9)}),
        ({"min_item_interactions": 2, "min_user_interactions": 2}, None, set()),
        ({}, 4.0, {("a", "x", 3), ("b", "x", 9)}),
    ],
)
def test_the_truth_of_a_data_set_by_hand(filters, rating, expected):
    case = _case(ROWS, **filters)
    if rating is not None:
        case.sections["interactions"]["min_rating"] = rating
    truth = truth_of(case)
    assert truth.rows == Counter(dict.fromkeys(expected, 1))
    assert truth.users == {user for user, _, _ in expected}
    assert not truth.feasible  # nobody has four


def test_two_unicode_forms_are_one_user_and_ties_keep_their_order():
    rows = [("Zoé", item, 5, 1.0) for item in "abc"] + [("Zoe\u0301", "d", 5, 1.0)]
    truth = truth_of(_case(rows))
    assert truth.histories == {"Zoé": ["a", "b", "c", "d"]}
    assert truth.tested == {"Zoé": "d"}


def test_cases_are_the_same_from_the_same_seed():
    first, again, other = (plain_case(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_refusal_has_words_and_no_traceback():
    assert refusal(2, "Error: expected a number, got x") == "Error: expected a number, got x"
    for code, said in (
        (2, ""),
        (1, "Traceback (most recent call last):\n  boom"),
        (-11, "Error: expected something else"),
        (139, "Error: expected something else"),
    ):
        with pytest.raises(Fault):
            refusal(code, said)


def test_an_error_that_the_command_line_lets_through_is_a_fault(monkeypatch):
    def main():
        raise KeyError("x")

    monkeypatch.setattr("ecct_tf.cli.main", main)
    with pytest.raises(Fault, match="KeyError"):
        run("doctor")


def test_a_forged_record_has_a_checksum_that_fits():
    from cloud.uplink_log.framing import frame
    from ecct_tf.wire import UplinkForm, UplinkRecord

    form = UplinkForm(queries=4, embedding_dim=2, codec="int8", with_logits=True)
    record = UplinkRecord(3, 7, 1, 1_700_000_000, form, (3).to_bytes(4, "little") + bytes(38))
    forged = with_payload(with_header(record.to_bytes(), "round", 99), "items", 2, 17)
    read = UplinkRecord.from_bytes(forged)
    assert (read.user, read.round_number, header(forged, "round")) == (3, 99, 99)
    assert payload(forged)["items"].tolist() == [0, 0, 17, 0]
    assert len(frame(forged)) == len(forged) + 16


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"memory_bytes": 2**40, "start_seconds": 0.0}, "beyond its deadline"),
        ({"memory_bytes": 1}, "of memory"),
        ({"memory_bytes": 2**40, "target": sys.exit}, "died"),
    ],
)
def test_a_worker_that_hangs_grows_or_dies_is_a_fault(tmp_path, options, why):
    worker = Worker(**options)
    worker.begin(Job("data", 0, 5, tmp_path / "case", tmp_path))
    verdict = None
    while verdict is None:
        verdict = worker.poll()
    worker.close()
    assert (verdict.outcome, verdict.number) == ("fault", 5)
    assert why in verdict.why


@pytest.mark.slow
def test_a_few_cases_of_each_family(tmp_path):
    command = [sys.executable, "-m", "benchmarks.fuzz", "--data", "8", "--logs", "2"]
    ran = subprocess.run(
        [*command, "--workers", "1", "--keep", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert "10 of 10 cases with seed 0" in ran.stdout
