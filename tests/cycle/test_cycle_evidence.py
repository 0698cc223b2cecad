"""The judge of faults between devices and a service: what must not be is found."""

import pytest
from module_files import load_file

from benchmarks.http_faults.evidence import Evidence
from benchmarks.http_faults.kills import PendingKills
from benchmarks.http_faults.plan import BROWSER_KILLS, FaultPlan
from cloud.uplink_log import UplinkLogWriter
from cloud.uplink_log.framing import frame
from ecct_tf.wire import by_place
from ecct_tf.wire.compressed import compressed

pieces = load_file("tests/cloud/service_pieces.py")
record = pieces.record


@pytest.fixture
def evidence(tmp_path):
    """Of a log with two answers, both confirmed, one of them twice."""
    pieces.published(tmp_path / "public")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "edge.tflite").write_bytes(b"a model")
    UplinkLogWriter(tmp_path / "log").append([record(7, 1), record(8, 1)])
    found = Evidence(tmp_path / "public", tmp_path / "models")
    found.confirm(record(7, 1).to_bytes(), b'{"taken": 1}')
    found.confirm(record(7, 1).to_bytes() + record(8, 1).to_bytes(), b'{"taken": 1}')
    return found


def test_a_sound_log_has_nothing_against_it(evidence, tmp_path):
    assert evidence.verdict(tmp_path / "log") == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda _, log: log.append([record(7, 1)], name="again"), "in the log 2 times"),
        (lambda found, _: found.confirm(record(9, 1).to_bytes(), b'{"taken": 0}'), "is not in the"),
        (
            lambda found, _: found.confirm(record(7, 1, created_at=5).to_bytes(), b'{"taken": 0}'),
            "two unlike answers",
        ),
        (lambda found, _: found.confirm(b"", b'{"taken": 1}'), "3 were taken"),
    ],
)
def test_what_is_lost_or_doubled_is_found(evidence, tmp_path, spoil, words):
    spoil(evidence, UplinkLogWriter(tmp_path / "log"))
    (problem,) = evidence.verdict(tmp_path / "log")
    assert words in problem


def test_an_answer_by_place_is_the_one_with_its_items(evidence, tmp_path):
    evidence.confirm(by_place(record(7, 1).to_bytes()), b'{"taken": 0}')
    assert evidence.verdict(tmp_path / "log") == []
    evidence.confirm(by_place(record(7, 1, created_at=5).to_bytes()), b'{"taken": 0}')
    assert "two unlike answers" in evidence.verdict(tmp_path / "log")[0]


def test_a_torn_log_is_found(evidence, tmp_path):
    (tmp_path / "log" / "date=2026-09-21").mkdir(exist_ok=True)
    torn = frame(record(9, 1).to_bytes())[:-3]
    (tmp_path / "log" / "date=2026-09-21" / "z.tfrecord").write_bytes(torn)
    assert len(evidence.verdict(tmp_path / "log")) == 1


@pytest.mark.parametrize(
    ("name", "headers", "cut"),
    [
        ("items", {}, slice(None, -1)),
        ("items", {}, slice(1, None)),
        ("items", {"content-range": "bytes 10-20/99"}, slice(9, None)),
        ("items", {"content-encoding": "gzip"}, slice(None, -1)),
        ("model", {}, slice(None, -1)),
        ("model", {"content-encoding": "gzip"}, slice(1, None)),
        ("current", {}, slice(None, -9)),
        ("downlinks", {}, slice(None, -1)),
    ],
)
def test_what_is_torn_is_found_and_what_is_whole_is_not(evidence, tmp_path, name, headers, cut):
    public = tmp_path / "public"
    (items,) = public.glob("items-*")
    (segments,) = public.glob("segments-*")
    path, content = {
        "items": (f"/v1/files/{items.name}", items.read_bytes()),
        "model": ("/v1/models/edge.tflite", b"a model"),
        "current": ("/v1/current", (public / "current.json").read_bytes()),
        "downlinks": ("/v1/downlink", segments.read_bytes()),
    }[name]
    start = 10 if "content-range" in headers else 0
    if "content-encoding" in headers:
        content = compressed(content)
    evidence.serve(path, headers, content[start:])
    assert evidence.problems == []
    assert evidence.counts["served compressed"] == ("content-encoding" in headers)
    evidence.serve(path, headers, content[cut])
    assert len(evidence.problems) == 1


def test_a_plan_is_drawn_from_its_seed():
    one = FaultPlan.draw(3, requests=200, kills=20, revoked=5)
    assert one == FaultPlan.draw(3, requests=200, kills=20, revoked=5)
    assert one != FaultPlan.draw(4, requests=200, kills=20, revoked=5)
    assert (len(one.kills), len(one.revoked)) == (20, 5)
    assert {
        kind: list(one.kills.values()).count(kind) for kind in one.kills.values()
    } == dict.fromkeys(("service before", "service meanwhile", "service after", "devices"), 5)
    faults = [one.fault(number, method="PUT") for number in range(2000)]
    # 5 % each of four kinds; a standard deviation is 10.
    for kind in ("repeated", "late", "lost request", "lost answer"):
        assert abs(faults.count(kind) - 100) < 50
    assert {one.fault(number, method="GET") for number in range(2000)} == {None, "broken off"}


def test_half_of_the_kills_come_while_browsers_ask():
    plan = FaultPlan.draw(3, requests=200, kills=20, revoked=5, browser_requests=36)
    assert (len(plan.kills), len(plan.browser_kills)) == (10, 10)
    assert set(plan.browser_kills.values()) == set(BROWSER_KILLS)
    assert max(plan.browser_kills) < 36
    assert FaultPlan.draw(3, requests=200, kills=20, revoked=5).browser_kills == {}


def test_each_kill_comes_once_and_again_where_there_was_nothing_to_kill():
    plan = FaultPlan(
        0, {1: "devices", 5: "service after"}, (-1, -1), frozenset(), browser_kills={1: "page"}
    )
    kills = PendingKills(plan)
    assert kills.due(0, in_browser=True) is None
    first = kills.due(1, in_browser=False)
    assert (first.what, first.comes_before) == ("devices", True)
    assert kills.due(2, in_browser=False) is None
    kills.put_back(first)
    assert kills.due(3, in_browser=False) == first
    assert kills.due(4, in_browser=True).what == "page"
    assert [kill.what for kill in kills.left] == ["service after"]
    assert not kills.due(9, in_browser=False).comes_before
    assert kills.left == []
