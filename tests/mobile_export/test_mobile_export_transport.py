"""A device's side of the service: what is fetched is whole, what is answered is not lost.

Against a service that fails on purpose, without a socket; and with real ones that are killed.
"""

import dataclasses
import hashlib
import importlib.util
import json
import os
import random
import resource
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cloud.service import TokenStore
from ecct_tf.errors import ConfigError, TransportError
from ecct_tf.wire import DownlinkFile, Publication, UplinkRecord
from mobile_export.device import Device, DeviceModel, ReceivedDownlink, TrainingPlan
from mobile_export.transport import (
    Answer,
    CloudClient,
    HttpTransport,
    Retries,
    Sent,
    Spool,
    take_part,
)
from mobile_export.transport.client import (
    RefusedRecordError,
    StalePublicationError,
    TokenRefusedError,
)
from mobile_export.transport.http import UnreachableError

_spec = importlib.util.spec_from_file_location(
    "service_pieces", Path(__file__).parents[1] / "cloud" / "service_pieces.py"
)
pieces = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pieces)
record, logged, published, TABLE = pieces.record, pieces.logged, pieces.published, pieces.TABLE
GOLDEN = (
    Path(__file__).parents[2] / "mobile_export/android/ecct-edge-core/src/test/resources/golden"
)
RUNTIME = "litert" if importlib.util.find_spec("ai_edge_litert") else "tensorflow"
AGAIN = Retries(attempts=4, sleep=lambda _: None)


class Scripted:
    """A transport that answers by functions, one request after another; the last one stays."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def ask(self, method, path, *, headers, body=b"", sink=None):
        self.asked.append((method, path, dict(headers), body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(headers, sink) if callable(answer) else answer


def told(status, body=None, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, json.dumps(body or {}).encode())


def breaking(content, etag, *, after):
    """Sends `after` bytes of what is asked for, then breaks."""

    def ask(headers, sink):
        start = int(headers["Range"].removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            return told(416)
        status = 206 if headers["If-Range"] == etag else 200
        part = content[start:] if status == 206 else content
        head = Answer(status, {}, b"")
        for place in range(0, min(after, len(part)), 1000):
            sink(head, part[place : min(place + 1000, after)])
        if after < len(part):
            raise UnreachableError("it broke")
        return head

    return ask


def client_of(tmp_path, *answers, retries=AGAIN):
    transport = Scripted(*answers)
    return transport, CloudClient(transport, "ecct1.x", cache=tmp_path / "cache", retries=retries)


def test_a_download_goes_on_where_it_broke(tmp_path):
    publication = published(tmp_path / "public")
    etag = f'"{publication.item_table.sha256}"'
    parts = [breaking(TABLE, etag, after=after) for after in (400_000, 0, 10_000, len(TABLE))]
    transport, client = client_of(tmp_path, *parts)
    assert client.file(publication.item_table) == TABLE
    starts = [headers["Range"] for _, _, headers, _ in transport.asked]
    assert starts == ["bytes=0-", "bytes=400000-", "bytes=400000-", "bytes=410000-"]
    assert client.file(publication.item_table) == TABLE
    assert len(transport.asked) == 4
    for path in (tmp_path / "cache").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_download_goes_on_after_the_process_ended(tmp_path):
    publication = published(tmp_path / "public")
    etag = f'"{publication.item_table.sha256}"'
    _, client = client_of(tmp_path, breaking(TABLE, etag, after=5000), retries=Retries(attempts=1))
    with pytest.raises(UnreachableError):
        client.file(publication.item_table)
    transport, client = client_of(tmp_path, breaking(TABLE, etag, after=len(TABLE)))
    assert client.file(publication.item_table) == TABLE
    assert transport.asked[0][2]["Range"] == "bytes=5000-"


def test_what_is_not_what_was_published_is_never_kept(tmp_path):
    publication = published(tmp_path / "public")
    etag = f'"{publication.item_table.sha256}"'
    torn = b"x" + TABLE[1:]
    transport, client = client_of(tmp_path, breaking(torn, etag, after=len(torn)))
    with pytest.raises(TransportError, match="got another twice"):
        client.file(publication.item_table)
    assert [headers["Range"] for _, _, headers, _ in transport.asked] == ["bytes=0-"] * 2
    assert not list((tmp_path / "cache").iterdir())
    # What is left of something else is fetched anew.
    part = tmp_path / "cache" / f".{publication.item_table.path}.part"
    for left in (torn[:7000], TABLE + b"more"):
        part.write_bytes(left)
        _, client = client_of(tmp_path, breaking(TABLE, etag, after=len(TABLE)))
        assert client.file(publication.item_table) == TABLE
        (tmp_path / "cache" / publication.item_table.path).unlink()


def test_what_is_current_is_fetched_only_when_it_changed(tmp_path):
    content = published(tmp_path / "public").to_json().encode()
    transport, client = client_of(
        tmp_path, Answer(200, {}, content), Answer(304, {}, b""), Answer(200, {}, b"{")
    )
    assert client.current() == client.current() == Publication.from_json(content.decode())
    tag = f'"{hashlib.sha256(content).hexdigest()}"'
    assert [asked[2].get("If-None-Match") for asked in transport.asked] == [None, tag]
    with pytest.raises(TransportError, match="/v1/current: publication"):
        client.current()


def test_a_downlink_of_another_publication_is_not_taken(tmp_path):
    publication = published(tmp_path / "public")
    whole = DownlinkFile.from_bytes((tmp_path / "public" / publication.downlinks.path).read_bytes())
    own, segments = whole.only(7).to_bytes(), publication.segments
    content = (tmp_path / "public" / segments.path).read_bytes()
    _, client = client_of(
        tmp_path,
        Answer(200, {}, own),
        told(404),
        breaking(content, f'"{segments.sha256}"', after=len(content)),
        Answer(200, {}, own),
        Answer(200, {}, own[:-1]),
    )
    assert client.downlink(publication).user_embedding.tolist() == [8, 9, 10]
    # A user that the cloud does not know takes what is meant for all.
    assert client.downlink(publication).user_embedding.tolist() == [5, 6, 7]
    newer = dataclasses.replace(publication, round_number=6)
    with pytest.raises(StalePublicationError, match="the cloud published meanwhile, ask again"):
        client.downlink(newer)
    with pytest.raises(TransportError, match="/v1/downlink: downlinks: the file is damaged"):
        client.downlink(publication)


def test_a_service_that_is_busy_is_asked_again_and_one_that_refuses_is_not(tmp_path):
    waits = []
    retries = Retries(attempts=4, sleep=waits.append, draw=lambda: 0.5)
    receipt = told(200, {"taken": 1, "repeated": 0, "too_old": 0})

    def gone(_headers, _sink):
        raise UnreachableError("no network")

    transport, client = client_of(
        tmp_path, gone, told(503, retry_after="8"), told(429), receipt, retries=retries
    )
    assert client.send([record().to_bytes()]) == Sent(1, 0, 0)
    assert waits == [0.5, 12.0, 2.0]
    for status, refusal in ((400, RefusedRecordError), (401, TokenRefusedError)):
        transport, client = client_of(tmp_path, told(status, {"error": "no", "index": 0}))
        with pytest.raises(refusal):
            client.send([record().to_bytes()])
        assert len(transport.asked) == 1
    transport, client = client_of(tmp_path, gone)
    with pytest.raises(UnreachableError, match="no network"):
        client.send([record().to_bytes()])
    assert len(transport.asked) == 4
    _, client = client_of(tmp_path, told(200, {"taken": "x"}))
    with pytest.raises(TransportError, match="expected a receipt"):
        client.send([record().to_bytes()])


def test_answers_wait_until_they_are_confirmed_and_one_bad_one_holds_up_none(tmp_path):
    spool = Spool(tmp_path / "spool")
    for number in (3, 1, 2):
        spool.add(record(7, number))
    spool.add(record(7, 2, created_at=5))  # A round is answered once: the first one stays.
    assert (len(spool), spool.answered_round) == (3, 3)
    for path in (tmp_path / "spool").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    _, offline = client_of(tmp_path, told(503))
    with pytest.raises(TransportError):
        spool.send(offline)
    assert len(Spool(tmp_path / "spool")) == 3
    (tmp_path / "spool" / "0000000009.ecup").write_bytes(b"torn")
    transport, client = client_of(
        tmp_path,
        told(422, {"error": "a round that was not asked", "index": 1}),
        told(200, {"taken": 1, "repeated": 1, "too_old": 0}),
    )
    report = spool.send(client)
    assert dataclasses.astuple(report) == (1, 1, 1)
    sent = [asked[3] for asked in transport.asked]
    ours = [record(7, number).to_bytes() for number in (1, 2, 3)]
    assert sent == [b"".join(ours), ours[0] + ours[2]]
    assert len(spool) == 0
    refused = tmp_path / "spool" / "refused"
    assert (refused / "0000000002.ecup").read_bytes() == ours[1]
    assert "not asked" in (refused / "0000000002.ecup.reason.txt").read_text()
    assert (refused / "0000000009.ecup").read_bytes() == b"torn"


def test_a_spool_keeps_the_newest_and_sends_in_portions(tmp_path, monkeypatch):
    monkeypatch.setattr("mobile_export.transport.spool._MOST_RECORDS", 4)
    spool = Spool(tmp_path / "spool", most=6)
    for number in range(9):
        spool.add(record(7, number))
    assert len(spool) == 6
    receipts = [told(200, {"taken": count, "repeated": 0, "too_old": 0}) for count in (4, 2)]
    transport, client = client_of(tmp_path, *receipts)
    assert spool.send(client).taken == 6
    size = len(record().to_bytes())
    assert [len(asked[3]) // size for asked in transport.asked] == [4, 2]
    assert UplinkRecord.from_bytes(transport.asked[0][3][:size]).round_number == 3


class Offering:
    """The part of a client that a round needs, over publications in folders."""

    def __init__(self, folders, *, refused=None):
        self.folders, self.refused, self.sent = list(folders), refused, []

    def current(self):
        return Publication.from_json((self.folders[0] / "current.json").read_text())

    def downlink(self, publication):
        if len(self.folders) > 1:
            self.folders.pop(0)
            raise StalePublicationError("the cloud published meanwhile")
        path = self.folders[0] / publication.downlinks.path
        return ReceivedDownlink.read(DownlinkFile.from_bytes(path.read_bytes()), 1)

    def prune(self, publication):
        pass

    def send(self, records):
        if self.refused is not None:
            raise self.refused
        self.sent += records
        return Sent(len(records), 0, 0)


@pytest.fixture
def own(tmp_path):
    """A device whose item table is that of publications made by `offered(round)`."""
    model = DeviceModel(GOLDEN / "edge.tflite", runtime=RUNTIME)
    device = Device.create(
        tmp_path / "1.state", model, user=1, history=[3, 1, 4, 15], profile=[1, 1]
    )

    def offered(number):
        folder = tmp_path / f"public-{number}"
        table = model.file.table_sha256
        published(folder, round_number=number, users=(1,), cloud_dim=8, queries=4, table=table)
        return folder

    return device, Spool(tmp_path / "spool"), offered


def test_a_publication_that_is_replaced_meanwhile_is_asked_for_again(own):
    device, spool, offered = own
    client = Offering([offered(3), offered(4), offered(5)])
    report = take_part(device, client, spool, TrainingPlan())
    assert (report.round_number, report.sent.taken) == (5, 1)
    assert UplinkRecord.from_bytes(client.sent[0]).key == (1, 5)
    with pytest.raises(StalePublicationError):
        take_part(device, Offering([offered(6 + n) for n in range(4)]), spool, TrainingPlan())
    assert device.state.downlink.round_number == 5


def test_without_network_the_answer_waits_and_a_refused_token_is_told(own):
    device, spool, offered = own
    offline = Offering([offered(3)], refused=UnreachableError("no network"))
    report = take_part(device, offline, spool, TrainingPlan())
    assert (report.sent, len(spool), device.state.round_number) == (None, 1, 1)
    revoked = Offering([offered(4)], refused=TokenRefusedError("revoked"))
    with pytest.raises(TokenRefusedError):
        take_part(device, revoked, spool, TrainingPlan())
    assert (len(spool), device.state.round_number) == (2, 2)
    client = Offering([offered(4)])
    report = take_part(device, client, spool, TrainingPlan())
    assert (report.training, report.sent.taken, len(spool)) == (None, 2, 0)


def test_the_cache_holds_files_of_the_publication_that_is_current(tmp_path):
    publication = published(tmp_path / "public")
    _, client = client_of(tmp_path, told(404))
    kept = [publication.item_table.path, publication.segments.path, "current.json"]
    gone = ["items-0000000000000000.ecit", ".items-1111111111111111.ecit.part"]
    for name in kept + gone:
        (tmp_path / "cache" / name).write_bytes(b"x")
    (tmp_path / "cache" / "0123456789abcdef").mkdir()
    client.prune(publication)
    left = {path.name for path in (tmp_path / "cache").iterdir()}
    assert left == {*kept, "0123456789abcdef"}


@pytest.mark.parametrize(
    ("address", "given", "words"),
    [
        ("http://cloud.example:80", {}, "expected https, since the token"),
        ("ftp://cloud.example", {}, "expected an address like"),
        ("cloud.example", {}, "expected an address like"),
        ("https://cloud.example", {"pins": ["ab"]}, "64 hexadecimal digits"),
        ("http://127.0.0.1", {"pins": ["ab" * 32]}, "expected https where a certificate is pinned"),
        ("https://cloud.example", {"ca_file": Path("/none")}, "expected certificates in PEM"),
    ],
)
def test_an_address_that_would_give_the_token_away_is_refused(address, given, words):
    with pytest.raises(ConfigError, match=words):
        HttpTransport(address, **given)


class Served:
    """`ecct cloud serve` as a process, at one port, to be killed and started again."""

    def __init__(self, folder, *options, scheme="http"):
        self.folder, self.options = folder, options
        self.log, self.public = folder / "log", folder / "public"
        self.tokens = TokenStore(folder / "tokens.sqlite")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"{scheme}://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        command = [
            sys.executable, "-c", "from ecct_tf.cli import main; main()", "cloud", "serve",
            self.public, "--log", self.log, "--tokens", self.tokens.path, "--port", self.port,
            "--requests-per-minute", 100_000, "--burst", 1000, *self.options,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        line = self.process.stdout.readline()
        assert line.startswith("Serving "), line
        return self

    def end(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        return code


@pytest.fixture
def served(tmp_path):
    pytest.importorskip("uvicorn")
    found = []

    def serve(*options, **given):
        found.append(Served(tmp_path, *options, **given))
        return found[-1]

    yield serve
    for each in found:
        if each.process is not None and each.process.poll() is None:
            each.end()


def test_devices_and_a_service_that_is_killed_lose_no_answer_and_count_none_twice(served, tmp_path):
    model = DeviceModel(GOLDEN / "edge.tflite", runtime=RUNTIME)
    service, users, rounds = served(), (1, 2, 3), 3
    sizes = {"cloud_dim": 8, "queries": 4, "table": model.file.table_sha256, "users": users}
    published(service.public, round_number=0, **sizes)
    service.start()
    retries = Retries(attempts=10_000, first_seconds=0.02, most_seconds=0.02)

    def client(user, token):
        return CloudClient(
            HttpTransport(service.address, timeout_seconds=20),
            token,
            cache=tmp_path / f"cache-{user}",
            retries=retries,
        )

    clients = {user: client(user, service.tokens.issue(user)) for user in users}
    devices = {
        user: Device.create(
            tmp_path / "states" / f"{user}.state", model,
            user=user, history=[3, 1, 4, 15, 9, 26, user], profile=[1, 1], num_older=2,
        )
        for user in users
    }  # fmt: skip
    spools = {user: Spool(tmp_path / f"spool-{user}") for user in users}
    ended, kills = threading.Event(), [0]
    rng = random.Random(5)

    def kill():
        while kills[0] < 3 and not ended.wait(rng.uniform(0.0, 0.15)):
            service.end()
            kills[0] += 1
            service.start()

    trained = []
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for number in range(rounds):
            published(service.public, round_number=number, **sizes)
            for user in users:
                report = take_part(devices[user], clients[user], spools[user], TrainingPlan())
                trained.append(report.training.steps)
                # Asked again, it does nothing; its answer, sent again, is counted once.
                again = take_part(devices[user], clients[user], spools[user], TrainingPlan())
                assert again.training is None
                payload = model.envelope(
                    devices[user].state, devices[user].uplink(), created_at_seconds=int(time.time())
                )
                sent = clients[user].send([payload.to_bytes()] * 2)
                assert (sent.taken, sent.repeated) == (0, 2)
        # Killed between training and the answer: the next call answers without training again.
        published(service.public, round_number=rounds, **sizes)
        publication = clients[1].current()
        devices[1].take_part(clients[1].downlink(publication), TrainingPlan())
        state = devices[1].state
        report = take_part(devices[1], clients[1], spools[1], TrainingPlan())
        assert (report.training, report.sent.taken + report.sent.repeated) == (None, 1)
        assert devices[1].state is state
    finally:
        ended.set()
        killer.join()
    assert min(trained) > 0
    assert kills[0] > 0
    service.end()
    expected = [(user, number) for user in users for number in range(rounds)] + [(1, rounds)]
    assert sorted(logged(service.log)) == sorted(expected)


def test_a_full_disk_a_revoked_token_and_a_new_user(served, tmp_path):
    service = served()
    publication = published(service.public, round_number=5, users=(4, 7))
    service.start()
    retries = Retries(attempts=1)

    def client(user):
        token = service.tokens.issue(user)
        cache = tmp_path / f"cache-{user}"
        return CloudClient(HttpTransport(service.address), token, cache=cache, retries=retries)

    seven, spool, now = client(7), Spool(tmp_path / "spool"), int(time.time())
    assert seven.file(publication.item_table) == TABLE
    assert client(99).downlink(publication).user_embedding.tolist() == [5, 6, 7]
    spool.add(record(7, 1, created_at=now))
    spool.add(record(7, 2, created_at=now))
    # No file may grow: as on a full disk.
    unlimited = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
    with pytest.raises(UnreachableError, match="answered 503"):
        spool.send(seven)
    assert len(spool) == 2
    assert logged(service.log) == []
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, unlimited)
    assert spool.send(seven).taken == 2
    # A device takes a new token; then an operator ends all of them.
    assert seven.rotate_token()
    spool.add(record(7, 3, created_at=now))
    service.tokens.revoke(user=7)
    with pytest.raises(TokenRefusedError):
        spool.send(seven)
    assert len(spool) == 1
    assert service.end(signal.SIGTERM) == 0
    assert logged(service.log) == [(7, 1), (7, 2)]
    other = subprocess.run(
        [sys.executable, "-c", "from ecct_tf.cli import main; main()", "cloud", "token", "list",
         str(service.tokens.path)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert other.stdout.count("7 ") >= 2


def test_the_certificate_is_checked_before_the_token_is_sent(served, tmp_path):
    made = _certificate(tmp_path)
    service = served("--tls-cert", made, "--tls-key", tmp_path / "key.pem", scheme="https")
    published(service.public)
    service.start()
    token = service.tokens.issue(7)
    der = ssl.PEM_cert_to_DER_cert(made.read_text())
    pin = hashlib.sha256(der).hexdigest()

    def current(**given):
        transport = HttpTransport(service.address, **given)
        cache = tmp_path / "cache"
        return CloudClient(transport, token, cache=cache, retries=Retries(attempts=1)).current()

    assert current(ca_file=made).round_number == 5
    assert current(ca_file=made, pins=["0" * 64, pin]).round_number == 5
    with pytest.raises(TransportError, match="none of those that are pinned; nothing was sent"):
        current(ca_file=made, pins=["0" * 64])
    with pytest.raises(TransportError, match="its certificate is not trusted"):
        current()


def _certificate(folder):
    """A certificate for 127.0.0.1 that vouches for itself."""
    path = folder / "cert.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", folder / "key.pem", "-out", path],
        capture_output=True, check=False, env={**os.environ, "OPENSSL_CONF": "/dev/null"},
    )  # fmt: skip
    if made.returncode:
        pytest.skip("needs the command openssl")
    return path


def test_a_kind_of_answer_that_is_none_is_no_crash(tmp_path):
    for body in (b"", b"[]", b"\xff", b'{"taken": null}'):
        _, client = client_of(tmp_path, Answer(200, {}, body))
        with pytest.raises(TransportError):
            client.send([record().to_bytes()])
        with pytest.raises(TransportError):
            client.current()
