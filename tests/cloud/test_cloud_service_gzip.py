"""Files that the service sends compressed: to whom, under which entity tag, and made how often."""

import http.client
import threading
from pathlib import Path

import pytest
from module_files import load_file

pytest.importorskip("uvicorn")

from cloud.service import encoding
from cloud.service.encoding import CompressedForms, admits_gzip
from cloud.service.offers import DamagedOfferError, Offer, Offers
from ecct_tf.wire.compressed import compressed, decompressed

service = load_file("tests/cloud/test_cloud_service.py")
TABLE = service.pieces.TABLE
MODEL = b"model" * 10_000
NOISE = bytes(range(256))


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = service.Running(tmp_path_factory.mktemp("gzip"))
    (found.folder / "models" / "edge.tflite").write_bytes(MODEL)
    (found.folder / "models" / "noise.tflite").write_bytes(NOISE)
    yield found
    found.stop()


@pytest.fixture
def table(running):
    return f"/v1/files/{running.publication.item_table.path}"


def wire_bytes(running, route):
    operator = running.tokens.issue(None)
    lines = running.ask("GET", "/metrics", token=operator)[2].decode().splitlines()
    named = f'ecct_request_sent_bytes_total{{route="{route}"}} '
    return sum(float(line.removeprefix(named)) for line in lines if line.startswith(named))


def test_the_same_content_comes_in_fewer_bytes_to_who_admits_it(running, table):
    for path, content in ((table, TABLE), ("/v1/models/edge.tflite", MODEL)):
        _, plain, whole = running.ask("GET", path)
        status, headers, sent = running.ask("GET", path, Accept_Encoding="gzip")
        assert (status, headers["content-encoding"]) == (200, "gzip")
        assert whole == content == decompressed(sent, most=len(content))
        assert sent == compressed(content)
        assert int(headers["content-length"]) == len(sent) < len(content)
        assert headers["etag"] == plain["etag"][:-1] + '-gzip"'
        assert "content-encoding" not in plain
        assert plain["vary"] == headers["vary"] == "Accept-Encoding"
        assert plain["cache-control"] == headers["cache-control"]


def test_bytes_are_counted_as_they_were_sent(running, table):
    before = wire_bytes(running, "/v1/files/{name}")
    sent = running.ask("GET", table, Accept_Encoding="gzip")[2]
    running.ask("HEAD", table)
    assert wire_bytes(running, "/v1/files/{name}") - before == pytest.approx(len(sent), abs=10)


@pytest.mark.parametrize("accepted", [None, "identity", "gzip;q=0", "br, *;q=0", "gzip;q=x"])
def test_who_does_not_admit_gzip_gets_the_file_as_it_is(running, table, accepted):
    given = {} if accepted is None else {"Accept_Encoding": accepted}
    status, headers, content = running.ask("GET", table, **given)
    assert (status, content) == (200, TABLE)
    assert "content-encoding" not in headers


def test_what_is_accepted_may_be_said_in_several_lines(running, table):
    connection = http.client.HTTPConnection("127.0.0.1", running.socket.getsockname()[1])
    connection.putrequest("GET", table, skip_accept_encoding=True)
    for name, value in (
        ("Authorization", f"Bearer {running.token}"),
        ("Accept-Encoding", "br"),
        ("Accept-Encoding", "gzip"),
    ):
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().headers["content-encoding"] == "gzip"
    connection.close()


def test_ranges_are_of_the_file_as_it_is(running, table):
    etag = running.ask("HEAD", table)[1]["etag"]
    given = {"Accept_Encoding": "gzip", "Range": "bytes=1000-"}
    for condition in ({}, {"If_Range": etag}):
        status, headers, content = running.ask("GET", table, **given, **condition)
        assert (status, content, headers["etag"]) == (206, TABLE[1000:], etag)
        assert "content-encoding" not in headers
        assert headers["vary"] == "Accept-Encoding"
    # A part of the compressed form is no beginning of the file.
    other = etag[:-1] + '-gzip"'
    status, headers, content = running.ask("GET", table, **given, If_Range=other)
    assert (status, content, headers["etag"]) == (200, TABLE, etag)


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_either_entity_tag_says_that_nothing_changed(running, table, accepted):
    etag = running.ask("HEAD", table)[1]["etag"]
    for known in (etag, etag[:-1] + '-gzip"'):
        given = {"Accept_Encoding": accepted, "If_None_Match": f'"x", W/{known}'}
        status, headers, content = running.ask("GET", table, **given)
        # A cache finds what it has by the tag that it asked with.
        assert (status, content, headers["etag"]) == (304, b"", known)
        assert headers["vary"] == "Accept-Encoding"
    both = {"Accept_Encoding": accepted, "If_None_Match": "*"}
    expected = etag if accepted == "identity" else etag[:-1] + '-gzip"'
    assert running.ask("GET", table, **both)[1]["etag"] == expected
    other = {"Accept_Encoding": accepted, "If_None_Match": '"x-gzip"'}
    assert running.ask("GET", table, **other)[0] == 200


def test_a_head_has_the_headers_of_the_get(running, table):
    for path in (table, "/v1/models/edge.tflite", "/v1/models/noise.tflite"):
        for accepted in ("gzip", "identity"):
            answers = [
                running.ask(method, path, Accept_Encoding=accepted) for method in ("GET", "HEAD")
            ]
            for _, headers, _ in answers:
                headers.pop("date")
            assert answers[0][1] == answers[1][1]
            assert answers[1][2] == b""


def test_what_gzip_does_not_shorten_or_is_one_user_s_goes_as_it_is(running):
    status, headers, content = running.ask("GET", "/v1/models/noise.tflite", Accept_Encoding="gzip")
    assert (status, content, headers["vary"]) == (200, NOISE, "Accept-Encoding")
    assert "content-encoding" not in headers
    segments = f"/v1/files/{running.publication.segments.path}"
    for path in ("/v1/downlink", "/v1/current", "/v1/models/manifest.json", segments):
        status, headers, _ = running.ask("GET", path, Accept_Encoding="gzip")
        assert status == 200
        assert "content-encoding" not in headers
        assert "vary" not in headers


def test_pages_of_other_origins_and_codings_are_kept_apart(tmp_path):
    named = service.Running(tmp_path, origins=["https://shop.example"])
    try:
        path = f"/v1/files/{named.publication.item_table.path}"
        given = {"Accept_Encoding": "gzip", "Origin": "https://shop.example"}
        _, headers, content = named.ask("GET", path, **given)
        assert decompressed(content, most=len(TABLE)) == TABLE
        assert {part.strip() for part in headers["vary"].split(",")} == {
            "Accept-Encoding",
            "Origin",
        }
    finally:
        named.stop()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, False), ("", False), ("gzip", True), ("x-gzip", True), (" GZip ;Q=0.001", True),
        ("gzip;q=0", False), ("gzip;q=0.000, *", False), ("*", True), ("*;q=0", False),
        ("deflate, br", False), ("identity;q=0.5, gzip", True), ("gzip;q=0.5, identity", False),
        ("gzip;q=2", False), ("gzip;", False), ("gzipped", False), ("gzip;q=0, x-gzip", False),
    ],
)  # fmt: skip
def test_codings_are_read_with_their_weights(header, expected):
    assert admits_gzip(header) == expected


def offer(content, *, etag='"a"'):
    return Offer(content, len(content), etag, lasting=True, compressible=True)


def test_a_form_is_made_once_and_the_longest_unused_goes(monkeypatch):
    made = []
    monkeypatch.setattr(
        encoding, "compressed", lambda content: made.append(content) or content[: len(content) // 2]
    )
    forms = CompressedForms(most_bytes=100)
    one, two, three = (offer(name * 80, etag=f'"{name}"') for name in (b"1", b"2", b"3"))
    for each in (one, two, one, three, one, two):
        assert forms.of(each) == each.content[:40]
    assert [content[:1] for content in made] == [b"1", b"2", b"3", b"2"]
    assert forms.of(offer(b"4" * 101)) is None
    assert len(made) == 4


def test_that_gzip_does_not_shorten_a_file_is_found_once(monkeypatch):
    made = []
    monkeypatch.setattr(encoding, "compressed", lambda content: made.append(content) or content)
    forms = CompressedForms()
    assert [forms.of(offer(NOISE)) for _ in range(3)] == [None] * 3
    assert len(made) == 1


def test_nobody_waits_while_another_thread_compresses(monkeypatch):
    begun, go = threading.Event(), threading.Event()

    def slow(content):
        begun.set()
        go.wait(30)
        return content[:1]

    monkeypatch.setattr(encoding, "compressed", slow)
    forms = CompressedForms()
    thread = threading.Thread(target=forms.of, args=(offer(TABLE),))
    thread.start()
    assert begun.wait(30)
    assert forms.of(offer(TABLE)) is None
    go.set()
    thread.join()
    assert forms.of(offer(TABLE)) == TABLE[:1]


def test_a_file_that_was_torn_since_is_not_compressed(tmp_path):
    publication = service.published(tmp_path)
    found = Offers(tmp_path).file(publication.item_table.path)
    assert found.read() == TABLE
    for damage in (lambda path: path.write_bytes(TABLE[:-1]), Path.unlink):
        damage(found.content)
        with pytest.raises(DamagedOfferError, match=found.content.name):
            CompressedForms().of(found)
