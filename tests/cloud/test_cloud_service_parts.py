"""The parts of the service that no framework is needed for: tokens, ledger, intake, offers."""

import hashlib
import os
import sqlite3
import stat
import threading

import numpy as np
import pytest
from click.testing import CliRunner
from module_files import load_file

from cloud.service import BusyError, Intake, Ledger, Offers, Receipt, TokenStore
from cloud.service.answers import Limits, RefusedAnswerError, read_answers
from cloud.service.metrics import Metrics
from cloud.service.offers import DamagedOfferError
from cloud.service.ranges import UnsatisfiableRangeError, requested_range
from cloud.service.tokens import MOST_SECONDS
from cloud.uplink_log import ReplayWindow, UplinkLogWriter
from ecct_tf.cli import cli
from ecct_tf.errors import CodecError, TokenError
from ecct_tf.wire import DownlinkFile, split_records
from ecct_tf.wire.sealed import seal

pieces = load_file("tests/cloud/service_pieces.py")
NOW, logged, published, record = pieces.NOW, pieces.logged, pieces.published, pieces.record


@pytest.fixture
def store(tmp_path):
    now = [1000.0]
    found = TokenStore(tmp_path / "tokens.sqlite", clock=lambda: now[0])
    found.now = now
    return found


def test_a_token_names_its_user_and_only_its_hash_is_kept(store):
    token, other = store.issue(7), store.issue(8)
    assert token != other
    assert (store.find(token).user, store.find(other).user) == (7, 8)
    content = store.path.read_bytes()
    secret = token.rpartition(".")[2]
    assert secret.encode() not in content
    assert hashlib.sha256(token.encode()).digest() in content
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    for wrong in ("", "ecct1", token[:-1], token + "A", token.replace("ecct1", "ecct2")):
        assert store.find(wrong) is None
    name, _, _ = token.removeprefix("ecct1.").partition(".")
    assert store.find(f"ecct1.{name}.{other.rpartition('.')[2]}") is None


def test_tokens_expire_rotate_and_are_revoked(store):
    short, lasting = store.issue(7, seconds=60), store.issue(7)
    new = store.rotate(7, keep_seconds=100)
    assert all(store.find(token) for token in (short, lasting, new))
    store.now[0] += 60
    assert store.find(short) is None
    store.now[0] += 40
    assert store.find(lasting) is None
    assert store.find(new).user == 7
    operator = store.issue(None)
    assert store.revoke(user=7) == 1
    assert store.find(new) is None
    assert store.find(operator).user is None
    assert store.revoke(token_id=store.find(operator).id) == 1
    assert store.find(operator) is None
    assert [grant.user for grant in store.grants()] == [None, 7, 7, 7]


def test_a_clock_that_is_set_back_revives_no_token_that_was_ended(store):
    expired, revoked, rotated = store.issue(7, seconds=60), store.issue(8, seconds=60), []
    rotated.append(store.issue(9))
    store.now[0] += 100
    rotated.append(store.rotate(9))
    newest = store.rotate(9)
    assert store.revoke(user=8) == 0
    store.now[0] -= 90
    assert store.find(revoked) is None
    assert [store.find(token) for token in rotated] == [None, None]
    assert store.find(newest).user == 9
    # What only its time ended is a matter of the clock.
    assert store.find(expired).user == 7
    kept = store.rotate(7, keep_seconds=30)
    assert store.find(expired).user == store.find(kept).user == 7
    store.now[0] += 31
    last = store.rotate(7, keep_seconds=30)
    store.now[0] -= 31
    assert store.find(expired) is None
    assert store.find(kept).user == store.find(last).user == 7


def test_what_cannot_be_a_token_is_refused(store, tmp_path):
    assert store.find("ecct1.0000000000000000." + "A" * 43) is None
    assert store.grants() == ()
    for user in (-1, 2**31):
        with pytest.raises(TokenError, match="expected a user"):
            store.issue(user)
    for seconds in (0, MOST_SECONDS + 1, 2**80):
        with pytest.raises(TokenError, match=r"expected a time of 1\.\.3,153,600,000 seconds"):
            store.issue(1, seconds=seconds)
    for call in (lambda: store.rotate(5), lambda: store.revoke(user=5)):
        with pytest.raises(TokenError, match="expected a file of tokens, there is none"):
            call()
    assert not store.path.exists()
    store.issue(1, seconds=MOST_SECONDS)
    for seconds in (-1, MOST_SECONDS + 1):
        with pytest.raises(TokenError, match=r"keep old tokens for 0\.\.3,153,600,000 seconds"):
            store.rotate(1, keep_seconds=seconds)
    with pytest.raises(TokenError, match="expected a user"):
        store.revoke(user=2**64)
    with pytest.raises(TokenError, match="no valid token to rotate"):
        store.rotate(5)
    with pytest.raises(TokenError, match="one of them"):
        store.revoke()
    with pytest.raises(TokenError, match="no token with user 5"):
        store.revoke(user=5)
    (tmp_path / "broken").write_text("no database, and long enough to be looked at " * 40)
    with pytest.raises(TokenError, match="expected a file of tokens"):
        TokenStore(tmp_path / "broken").grants()


def test_the_command_names_limits_and_files_that_are_none(tmp_path):
    def told(*given):
        done = CliRunner().invoke(cli, ["cloud", "token", *given])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    tokens = str(tmp_path / "tokens.sqlite")
    for given in (("--days", "36501"), ("--user", "2147483648")):
        code, output = told("issue", tokens, "--user", "3", *given)
        assert code == 2
        assert f"Invalid value for '{given[0]}'" in output
    code, output = told("list", tokens)
    assert code == 2
    assert "there is none" in output
    assert told("issue", tokens, "--user", "3", "--days", "36500")[0] == 0
    # As an earlier release would write it, which had no limit.
    database = sqlite3.connect(tokens)
    database.execute("UPDATE tokens SET expires = ?", (2**62,))
    database.commit()
    database.close()
    code, output = told("list", tokens)
    assert code == 0
    assert "after 9999" in output


def test_a_store_that_has_read_sees_what_others_change_and_replace(store, tmp_path):
    """It keeps its connection; a command that runs beside it does not wait for it."""
    token, other = store.issue(7), TokenStore(store.path)
    assert store.find(token).user == 7
    newer = other.issue(8)
    assert store.find(newer).user == 8
    other.revoke(user=7)
    assert store.find(token) is None
    assert other.erase(8) == 1  # which needs the file for itself
    assert store.find(newer) is None
    replacing = TokenStore(tmp_path / "new.sqlite")
    newest = replacing.issue(9)
    replacing.path.replace(store.path)
    assert store.find(newest).user == 9
    store.path.unlink()
    assert store.find(newest) is None
    store.path.write_bytes(b"no SQLite, but as long as a header: " + bytes(100))
    with pytest.raises(TokenError, match="expected a file of tokens"):
        store.find(newest)


def test_many_writers_issue_tokens_at_once(store):
    found = []
    threads = [threading.Thread(target=lambda: found.append(store.issue(1))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({store.find(token).id for token in found}) == 8


def test_the_ledger_judges_as_the_reader_of_the_log_does():
    rng, ledger, window = np.random.default_rng(0), Ledger(), ReplayWindow(3)
    names = {"fresh": 0, "repeated": 1, "too_old": 2}
    for _ in range(3000):
        user, number = int(rng.integers(3)), int(rng.integers(0, 200))
        status = ledger.status(user, number)
        assert names[status] == window.admit(np.array([user]), np.array([number]))[0]
        if status == "fresh":
            ledger.add(user, number)


def test_a_ledger_of_a_log_knows_what_is_in_it(tmp_path):
    assert len(Ledger.of_log(tmp_path / "none")) == 0
    writer = UplinkLogWriter(tmp_path)
    writer.append([record(7, 1), record(8, 3)])
    (path,) = writer.append([record(9, 2, created_at=NOW + 90_000)])
    path.write_bytes(path.read_bytes()[:-3])
    ledger = Ledger.of_log(tmp_path)
    told = [ledger.status(*key) for key in ((7, 1), (8, 3), (7, 3), (9, 2))]
    assert told == ["repeated", "repeated", "fresh", "fresh"]


def test_answers_are_appended_together_and_confirmed_once_each(tmp_path):
    intake = Intake(UplinkLogWriter(tmp_path), Ledger(), linger_seconds=0.2)
    offered = [
        intake.offer([record(7, 1), record(7, 2)]),
        intake.offer([record(8, 1)]),
        intake.offer([record(7, 2), record(7, 3)]),
        # Of another day, and rounds that lie further apart than the window.
        intake.offer([record(9, 0, created_at=NOW - 90_000), record(9, 500), record(9, 500)]),
    ]
    assert [future.result(timeout=30) for future in offered] == [
        Receipt(2, 0, 0),
        Receipt(1, 0, 0),
        Receipt(1, 1, 0),
        Receipt(2, 1, 0),
    ]
    assert intake.offer([record(9, 1), record(7, 1)]).result(timeout=30) == Receipt(0, 1, 1)
    intake.close()
    assert sorted(logged(tmp_path)) == [(7, 1), (7, 2), (7, 3), (8, 1), (9, 0), (9, 500)]
    assert (intake.taken, intake.files, intake.waiting) == (6, 2, 0)
    with pytest.raises(BusyError):
        intake.offer([record(1, 1)])


def test_a_full_disk_confirms_nothing_and_loses_nothing(tmp_path, monkeypatch):
    full = [True]
    sync = os.fsync

    def fsync(descriptor):
        if full[0]:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr("ecct_tf.files.os.fsync", fsync)
    intake = Intake(UplinkLogWriter(tmp_path), Ledger())
    with pytest.raises(OSError, match="No space"):
        intake.offer([record(7, 1)]).result(timeout=30)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    full[0] = False
    assert intake.offer([record(7, 1)]).result(timeout=30) == Receipt(1, 0, 0)
    full[0] = True
    # What is in the log is confirmed without a write.
    assert intake.offer([record(7, 1)]).result(timeout=30) == Receipt(0, 1, 0)
    intake.close()
    assert intake.failures == 1
    assert logged(tmp_path) == [(7, 1)]


def test_more_than_may_wait_is_refused(tmp_path):
    class Slow(UplinkLogWriter):
        def append(self, records, *, name=None):
            begun.set()
            go.wait(30)
            return super().append(records, name=name)

    begun, go = threading.Event(), threading.Event()
    intake = Intake(Slow(tmp_path), Ledger(), most_waiting=3, linger_seconds=0)
    first = intake.offer([record(7, 1), record(7, 2)])
    assert begun.wait(30)
    second = intake.offer([record(7, 3)])
    with pytest.raises(BusyError, match="3 answers wait for the disk, 3 may"):
        intake.offer([record(7, 4)])
    go.set()
    assert (first.result(30), second.result(30)) == (Receipt(2, 0, 0), Receipt(1, 0, 0))
    intake.offer([record(7, 4)]).result(30)
    intake.close()


def test_records_are_cut_apart_by_their_own_lengths():
    records = [record(7, number).to_bytes() for number in range(3)]
    assert list(split_records(b"".join(records), most_bytes=1000)) == records
    for wrong in (b"x", b"".join(records)[:-1], records[0][:39], records[0] + b"ECUP"):
        with pytest.raises(CodecError, match="uplink records: expected"):
            list(split_records(wrong, most_bytes=1000))
    with pytest.raises(CodecError, match="at most 20 bytes"):
        list(split_records(records[0], most_bytes=20))


@pytest.mark.parametrize(
    ("wrong", "status", "index"),
    [
        (lambda: b"", 400, 0),
        (lambda: record(7, 1).to_bytes() + b"\0", 400, 1),
        (lambda: record(7, 1).to_bytes()[:-1] + b"\0", 400, 0),
        (lambda: record(7, 0).to_bytes() + record(8, 1).to_bytes(), 403, 1),
        (lambda: record(7, 6).to_bytes(), 422, 0),
        (lambda: record(7, 1, created_at=NOW + 90_000).to_bytes(), 422, 0),
        (lambda: record(7, 1, created_at=NOW - 91 * 86_400).to_bytes(), 422, 0),
        (lambda: b"".join(record(7, 1).to_bytes() for _ in range(5)), 413, 4),
    ],
)
def test_an_answer_that_can_never_be_taken_is_named(wrong, status, index):
    with pytest.raises(RefusedAnswerError) as refused:
        read_answers(wrong(), user=7, newest_round=5, now=NOW, limits=Limits(most_records=4))
    assert (refused.value.status, refused.value.index) == (status, index)
    # A device that was offline for weeks is no liar.
    late = record(7, 5, created_at=NOW - 89 * 86_400)
    assert read_answers(late.to_bytes(), user=7, newest_round=5, now=NOW, limits=Limits()) == (
        late,
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None), ("bytes=0-0", (0, 1)), ("bytes=3-", (3, 9)), ("bytes=-4", (5, 9)),
        ("bytes=-90", (0, 9)), ("bytes=2-90", (2, 9)), ("bytes=4-2", None), ("bytes=-", None),
        ("bytes=0-1,3-4", None), ("items=0-1", None), ("bytes=x-1", None),
    ],
)  # fmt: skip
def test_ranges(header, expected):
    assert requested_range(header, if_range=None, etag='"a"', size=9) == expected
    assert requested_range(header, if_range='"b"', etag='"a"', size=9) is None


@pytest.mark.parametrize("header", ["bytes=9-", "bytes=-0", "bytes=90-91"])
def test_a_range_behind_the_end_cannot_be_answered(header):
    with pytest.raises(UnsatisfiableRangeError):
        requested_range(header, if_range=None, etag='"a"', size=9)


def test_a_publication_offers_each_file_but_everybody_s_downlinks(tmp_path):
    publication = published(tmp_path / "public")
    offers = Offers(tmp_path / "public")
    assert offers.publication() == publication
    table = offers.file(publication.item_table.path)
    assert (table.etag, table.lasting) == (f'"{publication.item_table.sha256}"', True)
    assert offers.file(publication.segments.path).num_bytes == publication.segments.num_bytes
    assert offers.file(publication.downlinks.path) is None
    for name in ("current.json", ".lock", "../public/current.json", "items-", "x" * 300, ""):
        assert offers.file(name) is None
    own = DownlinkFile.from_bytes(offers.downlink(7).content)
    assert own.keys.tolist() == [7]
    assert offers.downlink(7).etag != offers.downlink(4).etag
    assert offers.downlink(5) is None
    assert offers.model("edge.tflite") is None


def test_a_newer_publication_is_offered_at_once(tmp_path):
    published(tmp_path / "public")
    offers = Offers(tmp_path / "public")
    before = offers.current().etag, offers.downlink(7).etag
    published(tmp_path / "public", round_number=6, users=(4, 7, 9))
    assert offers.publication().round_number == 6
    assert offers.downlink(9) is not None
    assert before[0] != offers.current().etag
    assert before[1] != offers.downlink(7).etag


def test_a_torn_file_is_never_offered(tmp_path):
    folder = tmp_path / "public"
    publication = published(folder)
    offers = Offers(folder)
    table, whole = folder / publication.item_table.path, folder / publication.downlinks.path
    content = table.read_bytes()
    table.write_bytes(content[:-1])
    with pytest.raises(DamagedOfferError, match="the file is damaged"):
        offers.file(table.name)
    # A whole file of another content under this name.
    table.write_bytes(seal(b"ECIT\1\0other"))
    with pytest.raises(DamagedOfferError, match="its checksum or its name"):
        offers.file(table.name)
    whole.write_bytes(whole.read_bytes()[:-1])
    with pytest.raises(DamagedOfferError, match="downlinks"):
        offers.downlink(7)
    (folder / "current.json").write_text("{")
    with pytest.raises(DamagedOfferError, match=r"current\.json"):
        offers.current()
    with pytest.raises(DamagedOfferError, match="expected a publication"):
        Offers(tmp_path / "none").publication()


def test_models_are_offered_with_their_manifest_and_nothing_else(tmp_path):
    published(tmp_path / "public")
    (tmp_path / "edge-mlp.tflite").write_bytes(b"model")
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "MODEL_CARD.md").write_text("card")
    offers = Offers(tmp_path / "public", models=tmp_path)
    assert offers.model("edge-mlp.tflite").content == b"model"
    assert offers.model("manifest.json").content == b"{}"
    assert offers.model("MODEL_CARD.md") is None
    assert offers.model("../public/current.json") is None


def test_metrics_are_a_text_of_counts():
    metrics = Metrics()
    metrics.count(method="GET", route="/v1/files/{name}", status=200, seconds=0.5, sent=7)
    metrics.count(method="GET", route="/v1/files/{name}", status=200, seconds=0.25, sent=3)
    lines = metrics.text({"uplinks_taken_total": 3, "uplinks_waiting": 0}).splitlines()
    route = 'route="/v1/files/{name}"'
    assert f'ecct_requests_total{{method="GET",{route},status="200"}} 2' in lines
    assert f"ecct_request_seconds_total{{{route}}} 0.75" in lines
    assert f"ecct_request_sent_bytes_total{{{route}}} 10" in lines
    assert "# TYPE ecct_uplinks_taken_total counter" in lines
    assert "# TYPE ecct_uplinks_waiting gauge" in lines


@pytest.mark.parametrize("exists", [True, False])
def test_a_file_of_tokens_that_is_not_there_is_named_at_the_start(exists, tmp_path, monkeypatch):
    monkeypatch.setattr("cloud.service.running.serve", lambda _, ready: ready("here"))
    (tmp_path / "current.json").write_text("{}")
    tokens = tmp_path / "tokens.sqlite"
    if exists:
        tokens.touch()
    words = ["cloud", "serve", str(tmp_path), "--log", str(tmp_path / "log"), "--tokens"]
    result = CliRunner().invoke(cli, [*words, str(tokens)], catch_exceptions=False)
    assert "at here" in result.output
    assert ("every device is refused until" in result.output) != exists
