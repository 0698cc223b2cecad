"""The requests of the Kotlin client are those of Python's: a golden script that both go through."""

import hashlib
import json
import os

import pytest
from module_files import load_file

from ecct_tf.wire import DownlinkFile
from mobile_export.device import DeviceModel
from mobile_export.transport import Answer, CloudClient, Retries
from mobile_export.transport.http import UnreachableError

pieces = load_file("tests/cloud/service_pieces.py")
transport = load_file("tests/mobile_export/transport_pieces.py")
SCRIPT = transport.GOLDEN / "transport.json"
TOKEN, NAME = "ecct1.0123456789abcdef.secret", "edge.tflite"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return _golden(tmp_path_factory.mktemp("transport"))


def test_the_golden_script_is_what_python_asks_now(made):
    if os.environ.get("WRITE_GOLDEN"):
        SCRIPT.write_text(json.dumps(made, indent=1) + "\n")
    assert json.loads(SCRIPT.read_text(encoding="utf-8")) == made


def test_the_script_has_what_a_device_goes_through(made):
    asked = [request for step in made["steps"] for request in step["requests"]]
    assert {request["method"] for request in asked} == {"GET", "PUT", "POST"}
    starts = [request["headers"]["Range"] for request in asked if "Range" in request["headers"]]
    assert starts == ["bytes=700-"]
    assert any("If-None-Match" in request["headers"] for request in asked)
    # Half of what is possible, since the draw is 0.5: 1 s, then as asked and half as much again.
    assert made["steps"][5]["waits"] == [0.5, 12.0]
    # Answers go by place once the service has said so, and with items where it asks for these.
    _, placed, whole = made["steps"][6]["requests"]
    assert whole["body"] == "".join(made["steps"][6]["records"])
    assert len(placed["body"]) == len(whole["body"]) - 2 * 2 * 4 * (pieces.FORM.queries - 1)


class Recorded:
    """Answers by a script, and writes down what is asked."""

    def __init__(self, answers):
        self.answers, self.asked = list(answers), []

    def ask(self, method, path, *, headers, body=b"", sink=None):
        answer = self.answers[len(self.asked)]
        self.asked.append(
            {"method": method, "path": path, "headers": dict(headers), "body": body.hex()}
        )
        content = bytes.fromhex(answer["body"])
        took = sink is not None and answer["status"] in (200, 206)
        head = Answer(answer["status"], answer["headers"], b"" if took else content)
        if took:
            sink(head, content[: answer.get("break_after")])
        if "break_after" in answer:
            raise UnreachableError("it broke")
        return head


def _answer(status, body=b"", **given):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return {"status": status, "headers": {}, "body": content.hex(), **given}


def _golden(folder):
    model = DeviceModel(transport.GOLDEN / NAME, runtime=transport.RUNTIME)
    public, sizes = folder / "public", model.file.sizes
    publication = pieces.published(
        public,
        users=(4, 11),
        cloud_dim=sizes.cloud_dim,
        queries=sizes.num_queries,
        table=model.file.table_sha256,
    )
    current = (public / "current.json").read_bytes()
    whole = DownlinkFile.from_bytes((public / publication.downlinks.path).read_bytes())
    own = whole.only(11).to_bytes()
    segments = (public / publication.segments.path).read_bytes()
    content = bytes(range(250)) * 4
    digest = hashlib.sha256(content).hexdigest()
    manifest = {"files": {NAME: {"sha256": digest}}}
    records = [pieces.record(11, number).to_bytes() for number in (3, 4)]
    receipt = {"taken": 1, "repeated": 1, "too_old": 0}
    unchanged = _answer(304)
    cases = [
        ("current", [_answer(200, current)]),
        ("current", [unchanged]),
        ("downlink", [_answer(200, current), _answer(200, own)]),
        ("downlink", [unchanged, _answer(404, {"error": "none"}), _answer(200, segments)]),
        (
            "model",
            [
                _answer(200, manifest),
                _answer(200, content, break_after=700),
                _answer(206, content[700:]),
            ],
        ),
        (
            "send",
            [_answer(503), _answer(503, headers={"retry-after": "8"}), _answer(200, receipt)],
        ),
        (
            "send by place",
            [
                _answer(200, current, headers={"ecct-answer-by": "place"}),
                _answer(422, {"error": "no questions", "index": 0, "answer_by": "item"}),
                _answer(200, receipt),
            ],
        ),
        ("token", [_answer(200, {"token": "ecct1.new", "old_token_valid_seconds": 9})]),
        ("current", [unchanged]),
    ]
    steps = []
    for call, answers in cases:
        waits = []
        recorded = Recorded(answers)
        token = "ecct1.new" if steps and steps[-1]["call"] == "token" else TOKEN
        client = CloudClient(
            recorded, token, cache=folder / "cache",
            retries=Retries(attempts=4, sleep=waits.append, draw=lambda: 0.5),
        )  # fmt: skip
        {
            "current": client.current,
            "downlink": lambda client=client: client.downlink(client.current()),
            "model": lambda client=client: client.model(NAME),
            "send": lambda client=client: client.send(records),
            "send by place": lambda client=client: (client.current(), client.send(records)),
            "token": client.rotate_token,
        }[call]()
        told = {"records": [record.hex() for record in records]} if call.startswith("send") else {}
        steps.append(
            {
                "call": call,
                "token": token,
                **told,
                "answers": answers,
                "requests": recorded.asked,
                "waits": waits,
            }
        )
    return {"current": current.hex(), "downlink": own.hex(), "steps": steps}
