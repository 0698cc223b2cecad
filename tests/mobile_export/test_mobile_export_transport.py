"""A device's side of the service: what is fetched is whole, what is answered is not lost.

Against a service that fails on purpose, without a socket.
"""

import dataclasses
import hashlib
import json
import stat
import time
from pathlib import Path

import numpy as np
import pytest
from module_files import load_file

from ecct_tf.errors import ConfigError, DeviceError, SignatureError, TransportError
from ecct_tf.wire import DownlinkFile, Publication, StartFile, UplinkRecord, by_place
from ecct_tf.wire.signing import SigningKey, sign
from mobile_export.device import Device, DeviceModel, ReceivedDownlink, TrainingPlan
from mobile_export.transport import (
    Answer,
    CloudClient,
    DeviceHome,
    HttpTransport,
    OwnData,
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

pieces = load_file("tests/cloud/service_pieces.py")
every_byte = load_file("tests/cloud/every_byte.py")
record, published, TABLE = pieces.record, pieces.published, pieces.TABLE
transport = load_file("tests/mobile_export/transport_pieces.py")
GOLDEN, RUNTIME, told = transport.GOLDEN, transport.RUNTIME, transport.told
breaking, client_of = transport.breaking, transport.client_of


def test_a_download_goes_on_where_it_broke(tmp_path):
    publication = published(tmp_path / "public")
    etag = f'"{publication.item_table.sha256}"'
    parts = [breaking(TABLE, etag, after=after) for after in (400_000, 0, 10_000, len(TABLE))]
    transport, client = client_of(tmp_path, *parts)
    assert client.file(publication.item_table) == TABLE
    starts = [headers.get("Range") for _, _, headers, _ in transport.asked]
    assert starts == [None, "bytes=400000-", "bytes=400000-", "bytes=410000-"]
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
    assert [headers.get("Range") for _, _, headers, _ in transport.asked] == [None] * 2
    assert not list((tmp_path / "cache").iterdir())
    # What is left of something else is fetched anew.
    part = tmp_path / "cache" / f".{publication.item_table.path}.part"
    for left in (torn[:7000], TABLE + b"more"):
        part.write_bytes(left)
        _, client = client_of(tmp_path, breaking(TABLE, etag, after=len(TABLE)))
        assert client.file(publication.item_table) == TABLE
        (tmp_path / "cache" / publication.item_table.path).unlink()


@pytest.mark.parametrize("damaged", [b"", TABLE[:-1], TABLE[:9] + b"?" + TABLE[10:]])
def test_a_file_that_was_damaged_in_the_cache_is_fetched_anew(tmp_path, damaged, caplog):
    publication = published(tmp_path / "public")
    etag = f'"{publication.item_table.sha256}"'
    kept = tmp_path / "cache" / publication.item_table.path
    transport, client = client_of(tmp_path, breaking(TABLE, etag, after=len(TABLE)))
    kept.write_bytes(damaged)
    assert client.file(publication.item_table) == kept.read_bytes() == TABLE
    assert len(transport.asked) == 1
    assert f"{kept}: the file was damaged since it was fetched" in caplog.text


def test_a_model_that_is_no_longer_offered_is_named_with_what_is(tmp_path):
    name = "edge-mlp-trainable-int4.tflite"
    manifests = [
        (
            '{"files": {"edge-mlp-trainable-fine.tflite": {}, "b": {}}}',
            "has b, edge-mlp-trainable-f",
        ),
        ('{"files": {}}', "the manifest has no file; the service must .* by --variant"),
        ('{"files": []}', "in the manifest: TypeError"),
        ("{}", "in the manifest: KeyError"),
    ]
    for manifest, words in manifests:
        _, client = client_of(tmp_path, Answer(200, {}, manifest.encode()))
        with pytest.raises(TransportError, match=rf"expected {name}.*{words}"):
            client.model(name)


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
    none = dataclasses.replace(whole, keys=whole.keys[:0], records=whole.records[:0]).to_bytes()
    for other, got in ((whole.to_bytes(), "2 of users"), (none, "0 of users"), (content, "segme")):
        _, client = client_of(tmp_path, Answer(200, {}, other))
        with pytest.raises(TransportError, match=rf"downlinks of users, of one alone, got .*{got}"):
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
    for receipt in ({"taken": "x"}, {"taken": 2, "repeated": 0, "too_old": 0}):
        _, client = client_of(tmp_path, told(200, receipt))
        with pytest.raises(TransportError, match="expected a receipt"):
            client.send([record().to_bytes()])


def test_answers_go_by_place_where_the_service_takes_them_and_with_items_where_it_asks(tmp_path):
    public = tmp_path / "public"
    published(public)
    current = told(200, json.loads((public / "current.json").read_text()), ecct_answer_by="place")
    receipt = told(200, {"taken": 1, "repeated": 0, "too_old": 0})
    needs = told(422, {"error": "no questions", "index": 0, "answer_by": "item"})
    refused = told(422, {"error": "not asked", "index": 0})
    transport, client = client_of(tmp_path, current, receipt, needs, receipt, needs, refused)
    whole = record().to_bytes()
    client.current()
    for _ in range(2):
        assert client.send([whole]) == Sent(1, 0, 0)
    with pytest.raises(RefusedRecordError, match="not asked"):
        client.send([whole])
    sent = [asked[3] for asked in transport.asked[1:]]
    assert sent == [by_place(whole), by_place(whole), whole, by_place(whole), whole]
    # One that no longer says so gets items again.
    older = told(200, json.loads((public / "current.json").read_text()))
    transport, client = client_of(tmp_path, current, older, receipt)
    client.current()
    client.current()
    client.send([whole])
    assert transport.asked[-1][3] == whole


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

    def downlink(self, publication, *, codec=None):
        assert codec is None
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


NOW = int(time.time())


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


@pytest.mark.parametrize("other", [0, 2])
def test_a_round_with_the_downlink_of_another_user_is_refused_and_changes_nothing(own, other):
    device, spool, offered = own

    class MixedUp(Offering):
        """A service that mixed users up, or one that is asked with the token of another."""

        def downlink(self, publication, *, codec=None):
            path = self.folders[0] / publication.downlinks.path
            file = DownlinkFile.from_bytes(path.read_bytes())
            mixed = dataclasses.replace(file, keys=np.array([other], np.int32)).to_bytes()
            _, client = transport.client_of(self.folders[0], Answer(200, {}, mixed))
            return client.downlink(publication, codec=codec)

    before = device.path.read_bytes()
    client = MixedUp([offered(3)])
    message = f"expected one of user 1, whose device this is, got one of user {other};"
    with pytest.raises(DeviceError, match=message):
        take_part(device, client, spool, TrainingPlan())
    assert (device.path.read_bytes(), len(spool), client.sent) == (before, 0, [])
    assert take_part(device, Offering([offered(3)]), spool, TrainingPlan()).sent.taken == 1


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


def test_several_rounds_of_training_end_as_one_after_another(own, tmp_path):
    device, spool, offered = own
    single = Device.create(
        tmp_path / "single.state", device.model, user=1, history=[3, 1, 4, 15], profile=[1, 1]
    )
    client = Offering([offered(3)])
    report = take_part(device, client, spool, TrainingPlan(seed=2), rounds=3)
    single.receive(client.downlink(client.current()))
    steps = [single.train(TrainingPlan(seed=2)).steps for _ in range(3)]
    assert (device.state.round_number, report.training.steps) == (3, sum(steps))
    assert device.weights.tobytes() == single.weights.tobytes()
    assert UplinkRecord.from_bytes(client.sent[0]).payload == single.uplink()
    with pytest.raises(DeviceError, match="training: rounds"):
        take_part(device, Offering([offered(4)]), spool, TrainingPlan(), rounds=0)


class Whole:
    """What a new device asks for."""

    def __init__(self, folder, model, start):
        self.folder, self.path, self.begin = folder, model, start

    def current(self):
        return Publication.from_json((self.folder / "current.json").read_text())

    def model(self, name):
        assert name == self.path.name
        return self.path

    def start(self, *_):
        return self.begin


def test_a_new_device_begins_with_what_is_offered_and_opens_as_it_was(own, tmp_path):
    device, _, offered = own
    weights = np.linspace(-0.5, 0.5, len(device.weights), dtype=np.float32)
    start = StartFile(
        "float32", "mlp", device.model.file.architecture, ((1, len(weights)),), weights,
        np.zeros(0, np.float16),
    )  # fmt: skip
    home = DeviceHome(tmp_path / "home")
    assert not home.is_settled
    with pytest.raises(DeviceError, match="log in first"):
        home.client(None)
    own_data = OwnData(user=1, model="edge.tflite", history=(3, 1, 4), profile=(1, 1), num_older=1)
    home.settle(own_data)
    home.log_in("ecct1.x")
    assert (home.own, home.is_settled, home.is_logged_in) == (own_data, True, True)
    # Where the cloud's parts do not fit together there is no device yet.
    published(tmp_path / "torn")
    torn = Whole(tmp_path / "torn", GOLDEN / "edge.tflite", start)
    with pytest.raises(TransportError, match="expected a file with the published item table"):
        home.device(torn, runtime=RUNTIME, clock=time.time)
    assert not home.state.exists()
    client = Whole(offered(3), GOLDEN / "edge.tflite", start)
    begun = home.device(client, runtime=RUNTIME, clock=time.time)
    assert begun.weights.tobytes() == weights.tobytes()
    assert (begun.state.history.tolist(), begun.state.num_older) == ([3, 1, 4], 1)
    # What was fetched is lost: the file that is offered takes the state over.
    again = home.device(client, runtime=RUNTIME, clock=time.time)
    assert again.weights.tobytes() == weights.tobytes()
    home.answers().add(record(1, 3))
    other = DeviceHome(tmp_path / "other")
    other.settle(own_data)
    other.forget()
    other.forget()
    assert not other.folder.exists()
    assert len(home.answers()) == 1
    (home.folder / "own.json").write_text('{"user": 1}')
    with pytest.raises(DeviceError, match=r"expected what `DeviceHome\.settle` writes"):
        home.device(client, runtime=RUNTIME, clock=time.time)


def test_what_is_forgotten_is_in_no_file_of_the_device(own, tmp_path, monkeypatch):
    device, _, _ = own
    history = np.arange(17, 29, dtype=np.int32)
    state = dataclasses.replace(device.state, history=history, times=(), num_older=0)
    home = DeviceHome(tmp_path / "devices" / "7")
    home.settle(OwnData(user=7, model="edge.tflite", history=tuple(history.tolist())))
    home.log_in("ecct1.0123456789abcdef.x")
    home.state.write_bytes(state.as_bytes())
    (home.folder / ".device.state.part").write_bytes(state.as_bytes()[:-40])
    content = record(7, 3).to_bytes()
    home.answers().add(record(7, 3))
    (home.spool / ".0000000005.ecup.part").write_bytes(content[:60])
    home.answers()._set_aside("0000000004.ecup", content, reason="not asked")
    needles = {
        "history": history.tobytes(),
        "history as text": ", ".join(map(str, history.tolist())).encode(),
        "weights and slots": state.values.tobytes()[:400],
        "token": b"0123456789abcdef",
        "answer": content[:60],
    }
    devices = tmp_path / "devices"
    assert all(every_byte.holding(devices, [needle]) for needle in needles.values())

    def killed(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            home.forget()
    # Nothing begins with what is left, and the same call removes it.
    assert not home.is_settled
    assert not home.is_logged_in
    assert not home.state.exists()
    home.forget()
    assert every_byte.holding(devices, needles.values()) == []
    assert list(devices.iterdir()) == []


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


def test_a_kind_of_answer_that_is_none_is_no_crash(tmp_path):
    for body in (b"", b"[]", b"\xff", b'{"taken": null}'):
        _, client = client_of(tmp_path, Answer(200, {}, body))
        with pytest.raises(TransportError):
            client.send([record().to_bytes()])
        with pytest.raises(TransportError):
            client.current()


def test_a_client_with_keys_takes_what_they_signed_and_nothing_else(tmp_path):
    key, other = SigningKey.new(), SigningKey.new()
    publication = published(tmp_path / "public")
    texts = [publication.to_json(), sign(publication.to_json(), other, now=NOW)]
    texts.append(sign(publication.to_json(), key, now=NOW))
    answers = [Answer(200, {}, text.encode()) for text in texts]
    transport, _ = client_of(tmp_path, *answers)
    client = CloudClient(transport, "token", cache=tmp_path / "signed", keys=[key.public])
    for told_why in ("it has none", f"it is by the key {other.public.fingerprint}"):
        with pytest.raises(SignatureError, match=told_why):
            client.current()
        assert not (tmp_path / "signed" / "current.json").exists()
    assert client.current() == publication


def test_a_client_with_keys_is_given_no_older_publication_again(tmp_path):
    key = SigningKey.new()
    text = published(tmp_path / "public").to_json()
    older = sign(text, key, now=NOW, valid_days=1)
    newer = sign(text, key, now=NOW, valid_days=2, replaces=older)
    answers = [Answer(200, {}, one.encode()) for one in (older, newer, older)]
    unchanged, unsigned = [Answer(304, {}, b"")] * 2, Answer(200, {}, b"{}")
    transport, _ = client_of(tmp_path, *answers, *unchanged, unsigned)
    times = iter([NOW] * 4 + [NOW + 3 * 86_400, NOW])
    cache = tmp_path / "signed"

    def current():
        # Each by another process.
        client = CloudClient(
            transport, "t", cache=cache, keys=[key.public], clock=lambda: next(times)
        )
        return client.current()

    assert current() == current()
    with pytest.raises(SignatureError, match="before one that was accepted"):
        current()
    assert (cache / "current.json").read_text() == newer
    current()
    # A service that says forever that nothing changed.
    with pytest.raises(SignatureError, match="expired"):
        current()
    with pytest.raises(SignatureError, match="it has none"):
        current()
    (cache / "newest-signed").write_text("?")
    with pytest.raises(SignatureError, match="remove the file if you trust"):
        current()
