"""The service over a socket: who may read what, in which parts, and what is said of failures."""

import contextlib
import dataclasses
import http.client
import json
import logging
import math
import os
import signal
import struct
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from module_files import load_file

pytest.importorskip("uvicorn")
import uvicorn

from cloud.service import Intake, Ledger, Offers, TokenStore
from cloud.service.answers import Limits
from cloud.service.app import Service, service_app
from cloud.service.limits import RateLimit
from cloud.service.openapi import openapi
from cloud.service.questions import Questions
from cloud.service.running import ServiceSettings, _Server, server_config
from cloud.uplink_log import UplinkLogWriter
from ecct_tf.errors import ConfigError
from ecct_tf.wire import DownlinkFile, by_place

pieces = load_file("tests/cloud/service_pieces.py")
NOW, logged, published, record = pieces.NOW, pieces.logged, pieces.published, pieces.record


class Running:
    """A service in a thread, and one request to it at a time."""

    def __init__(self, folder, *, per_minute=60_000.0, burst=1000, strangers=1000, origins=()):
        self.folder, self.public, self.log = folder, folder / "public", folder / "log"
        self.publication = published(self.public)
        (folder / "models").mkdir()
        (folder / "models" / "manifest.json").write_text("{}")
        self.tokens = TokenStore(folder / "tokens.sqlite")
        self.clock = [0.0]
        self.intake = Intake(UplinkLogWriter(self.log), Ledger(), linger_seconds=0.005)

        def limit(burst):
            return RateLimit(per_minute=per_minute, burst=burst, clock=lambda: self.clock[0])

        service = Service(
            offers=Offers(self.public, models=folder / "models"),
            tokens=self.tokens,
            intake=self.intake,
            log_folder=self.log,
            limits=Limits(most_bytes=4096, most_records=20),
            rate=limit(burst),
            strangers=limit(strangers),
            clock=lambda: NOW,
            questions=Questions(self.public),
        )
        config = server_config(service_app(service, origins=origins), port=0)
        self.socket = config.bind_socket()
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True
        )
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.token = self.tokens.issue(7)

    def ask(self, method, path, body=None, *, token=None, **headers):
        own = {} if token == "" else {"Authorization": f"Bearer {token or self.token}"}
        connection = http.client.HTTPConnection("127.0.0.1", self.socket.getsockname()[1])
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers={**own, **named})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    def stop(self):
        self.server.should_exit = True
        self.thread.join()
        self.intake.close()
        self.socket.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Running(tmp_path_factory.mktemp("service"))
    yield found
    found.stop()


def error(content):
    return json.loads(content)["error"]


def test_a_device_reads_what_is_current_and_its_files(running):
    status, headers, content = running.ask("GET", "/v1/current")
    assert (status, content) == (200, (running.public / "current.json").read_bytes())
    assert running.ask("GET", "/v1/current", If_None_Match=headers["etag"])[::2] == (304, b"")
    path = f"/v1/files/{running.publication.item_table.path}"
    status, headers, content = running.ask("GET", path)
    assert (status, content) == (200, pieces.TABLE)
    assert headers["etag"] == f'"{running.publication.item_table.sha256}"'
    assert "immutable" in headers["cache-control"]
    assert running.ask("HEAD", path)[2] == b""
    assert int(running.ask("HEAD", path)[1]["content-length"]) == len(pieces.TABLE)


def test_pages_of_named_origins_may_ask_and_no_others(running, tmp_path):
    page = {"Origin": "https://shop.example", "Access_Control_Request_Method": "PUT"}
    page["Access_Control_Request_Headers"] = "authorization"
    # Without a name no header invites a page.
    assert running.ask("OPTIONS", "/v1/uplinks", token="", **page)[0] == 405
    assert not [name for name in running.ask("GET", "/v1/current", **page)[1] if "allow" in name]
    named = Running(tmp_path, origins=["https://shop.example"])
    try:
        status, headers, _ = named.ask("OPTIONS", "/v1/uplinks", token="", **page)
        assert (status, headers["access-control-allow-origin"]) == (200, page["Origin"])
        assert "PUT" in headers["access-control-allow-methods"]
        assert (
            named.ask("GET", "/v1/current", **page)[1]["access-control-allow-origin"]
            == page["Origin"]
        )
        # A refusal can be read, too; a token is asked for all the same.
        status, headers, _ = named.ask("GET", "/v1/current", token="ecct1.none", **page)
        assert (status, headers["access-control-allow-origin"]) == (401, page["Origin"])
        other = {**page, "Origin": "https://other.example"}
        assert named.ask("OPTIONS", "/v1/uplinks", token="", **other)[0] == 400
        assert "access-control-allow-origin" not in named.ask("GET", "/v1/current", **other)[1]
    finally:
        named.stop()


def test_answers_by_place_are_offered_and_resolved_or_asked_for_with_items(tmp_path):
    running = Running(tmp_path)
    try:
        _, headers, _ = running.ask("GET", "/v1/current")
        assert headers["ecct-answer-by"] == "place"
        unchanged = running.ask("GET", "/v1/current", If_None_Match=headers["etag"])
        assert (unchanged[0], unchanged[1]["ecct-answer-by"]) == (304, "place")
        # `record` answers for the items 0 and 0, of which nobody was asked.
        other = record(7, 5)
        status, _, content = running.ask("PUT", "/v1/uplinks", by_place(other.to_bytes()))
        told = json.loads(content)
        assert (status, told["index"], told["answer_by"]) == (422, 0, "item")
        questions = struct.pack("<2i", 1, 2)
        asked = dataclasses.replace(
            other, payload=other.payload[:4] + questions + other.payload[12:]
        )
        for expected in ({"taken": 1, "repeated": 0}, {"taken": 0, "repeated": 1}):
            status, _, content = running.ask("PUT", "/v1/uplinks", by_place(asked.to_bytes()))
            assert (status, json.loads(content)) == (200, {**expected, "too_old": 0})
        assert logged(running.log) == [(7, 5)]
        operator = running.tokens.issue(None)
        counts = running.ask("GET", "/metrics", token=operator)[2].decode()
        assert "ecct_answers_by_place_total 2" in counts
        assert "ecct_answers_by_place_refused_total 1" in counts
    finally:
        running.stop()


def test_parts_of_a_file_join_to_the_whole(running):
    path = f"/v1/files/{running.publication.item_table.path}"
    size, joined = len(pieces.TABLE), b""
    for start in range(0, size, 400_000):
        stop = min(size, start + 400_000)
        status, headers, content = running.ask("GET", path, Range=f"bytes={start}-{stop - 1}")
        assert (status, headers["content-range"]) == (206, f"bytes {start}-{stop - 1}/{size}")
        joined += content
    assert joined == pieces.TABLE
    etag = headers["etag"]
    assert running.ask("GET", path, Range="bytes=5-", If_Range=etag)[0] == 206
    status, _, content = running.ask("GET", path, Range="bytes=5-", If_Range='"other"')
    assert (status, len(content)) == (200, size)
    status, headers, _ = running.ask("GET", path, Range=f"bytes={size}-")
    assert (status, headers["content-range"]) == (416, f"bytes */{size}")


def test_numbers_of_thousands_of_digits_are_no_failure(running):
    path = f"/v1/files/{running.publication.item_table.path}"
    many = "9" * 5000
    for text in (f"bytes={many}-", f"bytes=-{many}", f"bytes=0-{many}"):
        status, _, content = running.ask("GET", path, Range=text)
        assert (status, content) == (200, pieces.TABLE)


def test_what_there_is_not_is_said_in_the_form_of_every_error(running):
    for method, path, expected in (("GET", "/nowhere", 404), ("DELETE", "/v1/current", 405)):
        status, headers, content = running.ask(method, path)
        assert (status, headers["content-type"]) == (expected, "application/json")
        assert error(content)
    path = f"/v1/files/{running.publication.item_table.path}"
    status, headers, content = running.ask("GET", path, Range="bytes=99999999-")
    assert (status, headers["content-type"]) == (416, "application/json")
    assert "begins within" in error(content)


def test_a_device_reads_its_own_downlink_and_nobody_else_s(running):
    status, headers, content = running.ask("GET", "/v1/downlink")
    assert (status, DownlinkFile.from_bytes(content).keys.tolist()) == (200, [7])
    assert headers["cache-control"] == "private, no-cache"
    other = running.tokens.issue(4)
    content = running.ask("GET", "/v1/downlink", token=other)[2]
    assert DownlinkFile.from_bytes(content).keys.tolist() == [4]
    unknown = running.tokens.issue(99)
    status, _, content = running.ask("GET", "/v1/downlink", token=unknown)
    assert (status, error(content)) == (404, "there is none; a new user takes the segments file")
    for path in (running.publication.downlinks.path, "current.json", ".lock", "..%2Ftokens.sqlite"):
        assert running.ask("GET", f"/v1/files/{path}")[0] == 404
    assert running.ask("GET", "/v1/models/manifest.json")[::2] == (200, b"{}")
    assert running.ask("GET", "/v1/models/tokens.sqlite")[0] == 404


def test_nothing_is_told_without_a_valid_token(running):
    revoked = running.tokens.issue(7)
    assert running.ask("GET", "/v1/current", token=revoked)[0] == 200
    running.tokens.revoke(token_id=revoked.split(".")[1])
    operator = running.tokens.issue(None)
    for method, path in (
        ("GET", "/v1/current"), ("GET", "/v1/downlink"), ("GET", "/v1/files/x"),
        ("GET", "/v1/models/x"), ("PUT", "/v1/uplinks"), ("POST", "/v1/token"),
    ):  # fmt: skip
        for token in ("", "x", revoked):
            status, headers, content = running.ask(method, path, token=token)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
            assert "expected a valid token" in error(content)
        assert running.ask(method, path, token=operator)[0] == 403
    assert running.ask("GET", "/metrics")[0] == 403
    assert running.ask("GET", "/metrics", token="")[0] == 401
    text = running.ask("GET", "/metrics", token=operator)[2].decode()
    assert 'ecct_requests_total{method="GET",route="/v1/files/{name}",status="200"}' in text
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert running.ask("GET", path, token="")[0] == 200
    assert json.loads(running.ask("GET", "/readyz", token="")[2])["round"] == 5


def test_an_answer_is_taken_once_and_is_on_the_disk_when_it_is_confirmed(running):
    body = record(7, 1).to_bytes() + record(7, 2).to_bytes()
    before = len(logged(running.log)) if running.log.exists() else 0
    told = [json.loads(running.ask("PUT", "/v1/uplinks", body)[2]) for _ in range(3)]
    assert told[0] == {"taken": 2, "repeated": 0, "too_old": 0}
    assert told[1] == told[2] == {"taken": 0, "repeated": 2, "too_old": 0}
    assert len(logged(running.log)) == before + 2


def test_devices_that_answer_at_once_share_files(running):
    users = range(20, 40)
    tokens = [running.tokens.issue(user) for user in users]
    results = []

    def answer(user, token):
        status, _, content = running.ask(
            "PUT", "/v1/uplinks", record(user, 3).to_bytes(), token=token
        )
        results.append((status, json.loads(content)["taken"]))

    files = running.intake.files
    threads = [
        threading.Thread(target=answer, args=pair) for pair in zip(users, tokens, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(200, 1)] * 20
    assert {(user, 3) for user in users} <= set(logged(running.log))
    assert running.intake.files - files <= 20


@pytest.mark.parametrize(
    ("body", "status", "index"),
    [
        (b"", 400, 0),
        (b"no record", 400, 0),
        (record(7, 4).to_bytes()[:-1], 400, 0),
        (record(7, 4).to_bytes() + record(8, 4).to_bytes(), 403, 1),
        (record(7, 6).to_bytes(), 422, 0),
        (record(7, 4, created_at=NOW + 10**6).to_bytes(), 422, 0),
        (b"x" * 5000, 413, None),
    ],
)
def test_a_request_of_which_one_record_cannot_be_taken_is_refused_whole(
    running, body, status, index
):
    found, _, content = running.ask("PUT", "/v1/uplinks", body)
    assert (found, json.loads(content).get("index")) == (status, index)
    assert (7, 4) not in logged(running.log)


def test_a_body_that_ends_early_or_is_too_long_in_chunks_takes_nothing(running):
    connection = http.client.HTTPConnection("127.0.0.1", running.socket.getsockname()[1])
    own = {"Authorization": f"Bearer {running.token}"}
    connection.request("PUT", "/v1/uplinks", iter([b"x" * 3000] * 3), own, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    connection.connect()
    connection.putrequest("PUT", "/v1/uplinks")
    for name, value in {**own, "Content-Length": "4000"}.items():
        connection.putheader(name, value)
    connection.endheaders(record(7, 4).to_bytes())
    connection.close()
    assert running.ask("GET", "/healthz")[0] == 200
    assert (7, 4) not in logged(running.log)


def test_a_full_disk_is_told_as_such_and_the_answer_taken_later(running, monkeypatch):
    full, sync = [True], os.fsync

    def fsync(descriptor):
        if full[0]:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr("ecct_tf.files.os.fsync", fsync)
    body = record(7, 5).to_bytes()
    status, headers, content = running.ask("PUT", "/v1/uplinks", body)
    assert (status, int(headers["retry-after"]) > 0) == (503, True)
    assert "send them again later" in error(content)
    full[0] = False
    assert json.loads(running.ask("PUT", "/v1/uplinks", body)[2])["taken"] == 1


def test_a_slow_disk_delays_its_own_answer_and_nothing_else(running, monkeypatch):
    """What waits for the disk is not confirmed, and once it is there it is there once."""
    begun, go, sync = threading.Event(), threading.Event(), os.fsync

    def fsync(descriptor):
        begun.set()
        go.wait(60)
        sync(descriptor)

    monkeypatch.setattr("ecct_tf.files.os.fsync", fsync)
    body, results = record(11, 5).to_bytes(), []
    token = running.tokens.issue(11)

    def answer():
        results.append(running.ask("PUT", "/v1/uplinks", body, token=token)[0])

    waiting = threading.Thread(target=answer)
    waiting.start()
    try:
        assert begun.wait(60)
        for path in ("/v1/current", "/v1/downlink", "/readyz"):
            assert running.ask("GET", path)[0] == 200
        assert results == []
        assert not running.log.exists() or (11, 5) not in logged(running.log)
    finally:
        go.set()
        waiting.join()
    assert results == [200]
    assert logged(running.log).count((11, 5)) == 1


def test_a_damaged_publication_is_told_as_such(running):
    path = running.public / "current.json"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    try:
        for asked in ("/v1/current", "/v1/downlink", "/readyz"):
            status, headers, told = running.ask("GET", asked)
            assert (status, "try again later" in error(told)) == (503, True)
            assert "retry-after" in headers
    finally:
        path.write_bytes(content)
    table = running.public / running.publication.item_table.path
    damaged = b"x" + pieces.TABLE[1:-1]
    table.write_bytes(damaged)
    try:
        assert running.ask("GET", f"/v1/files/{table.name}")[0] == 503
    finally:
        table.write_bytes(pieces.TABLE)
    assert running.ask("GET", f"/v1/files/{table.name}")[2] == pieces.TABLE


def test_a_device_exchanges_its_token(running):
    token = running.tokens.issue(50)
    status, headers, content = running.ask("POST", "/v1/token", token=token)
    assert (status, headers["cache-control"]) == (200, "no-store")
    new = json.loads(content)["token"]
    assert running.tokens.find(new).user == running.tokens.find(token).user == 50
    assert running.ask("GET", "/v1/current", token=new)[0] == 200


def test_too_many_requests_are_told_when_to_come_again(tmp_path):
    running = Running(tmp_path, per_minute=60, burst=3, strangers=2)
    try:
        assert [running.ask("GET", "/v1/current")[0] for _ in range(4)] == [200, 200, 200, 429]
        assert running.ask("GET", "/v1/current")[1]["retry-after"] == "2"
        other = running.tokens.issue(4)
        assert running.ask("GET", "/v1/current", token=other)[0] == 200
        running.clock[0] += 1
        assert running.ask("GET", "/v1/current")[0] == 200
        wrong = [running.ask("GET", "/v1/current", token="x")[0] for _ in range(4)]
        assert wrong == [401, 401, 429, 429]
    finally:
        running.stop()


def test_the_log_names_no_user_no_item_and_no_address(running, caplog):
    for name in ("", "cloud", "cloud.service", "uvicorn.access"):
        caplog.set_level(logging.DEBUG, logger=name)
    running.ask("PUT", "/v1/uplinks", record(7, 0).to_bytes())
    running.ask("GET", "/v1/downlink")
    running.ask("GET", "/v1/files/someones-name-7")
    running.ask("GET", "/nowhere/user/7")

    def found():
        ours = [line for line in caplog.records if line.name.startswith("cloud.service")]
        return [line.getMessage() for line in ours]

    # A line is written after the answer was sent.
    for _ in range(500):
        if len(found()) == 4:
            break
        time.sleep(0.01)
    lines = found()
    assert [line.split(" ")[:3] for line in lines] == [
        ["PUT", "/v1/uplinks", "200"],
        ["GET", "/v1/downlink", "200"],
        ["GET", "/v1/files/{name}", "404"],
        ["ANY", "other", "404"],
    ]
    text = " ".join(lines)
    assert "127.0.0.1" not in caplog.text
    assert "someones-name" not in text
    assert running.token not in caplog.text


def test_the_document_has_each_route_and_each_status_that_is_answered(running):
    document = openapi()
    assert json.loads(running.ask("GET", "/openapi.json")[2]) == json.loads(json.dumps(document))
    for path, operations in document["paths"].items():
        for method in operations:
            asked = path.replace("{name}", "x")
            status = running.ask(method.upper(), asked)[0]
            assert str(status) in operations[method]["responses"], (method, path, status)
            assert status != 405
        assert running.ask("DELETE", path.replace("{name}", "x"))[0] == 405


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": "0.0.0.0"}, "expected TLS where others"),
        ({"certificate": Path("x")}, "a certificate and its key, or neither"),
        ({"certificate": Path("x"), "key": Path("y")}, "expected a file in PEM"),
        *(
            ({"origins": (origin,)}, "expected the origin of a web page")
            for origin in (
                "*",
                "shop.example",
                "https://shop.example/",
                "null",
                "https://*.example",
                "https://Shop.example",
                "https://bücher.example",
                "https://shop.example:443",
                "http://localhost:80",
                "http://localhost:080",
                "http://localhost:65536",
            )
        ),
        ({"requests_per_minute": math.nan}, "expected a finite number above 0 of requests"),
        ({"requests_per_minute": math.inf}, "expected a finite number above 0 of requests"),
        ({"publication": Path("nowhere")}, "`ecct cloud publish REGISTRY --out FOLDER` makes one"),
    ],
)
def test_settings_that_cannot_be_are_refused(running, changes, words):
    given = {"publication": running.public, "log": running.log, "tokens": running.tokens.path}
    with pytest.raises(ConfigError, match=words):
        ServiceSettings(**{**given, **changes})
    ServiceSettings(**given, host="0.0.0.0", plain=True)
    ServiceSettings(
        **given, origins=("https://shop.example", "http://localhost:8080", "http://[::1]:1")
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_ends_the_service_counts_as_obeyed(running, monkeypatch, number):
    watch = SimpleNamespace(noticed=threading.Event())
    monkeypatch.setattr("ecct_tf.stopping._WATCH", watch)
    server = _Server(running.server.config, ready=lambda: None)
    server.handle_exit(number, None)
    # Else the process is ended after seconds, with requests under way: code 143, not 0.
    assert (server.should_exit, watch.noticed.is_set()) == (True, True)


def test_a_service_says_that_it_serves_once_it_takes_connections(running):
    config = server_config(running.server.config.app, port=0)
    with config.bind_socket() as bound:
        address, heard = bound.getsockname(), []

        def connect():
            with contextlib.closing(http.client.HTTPConnection(*address, timeout=30)) as connection:
                connection.connect()
                heard.append(connection.sock.getpeername())
            server.should_exit = True

        server = _Server(config, ready=connect)
        server.run(sockets=[bound])
    assert heard == [address]
