"""Downloads that come compressed: the same content in fewer bytes, whole or refused."""

import contextlib
import json
import socket
import threading
import tracemalloc

import pytest
from module_files import load_file

from ecct_tf.errors import TransportError
from ecct_tf.wire import PublishedFile
from ecct_tf.wire.compressed import compressed
from mobile_export.transport import CloudClient, HttpTransport, Retries
from mobile_export.transport.http import UnreachableError

pieces = load_file("tests/cloud/service_pieces.py")
TABLE = pieces.TABLE
DIGEST = TABLE[-32:].hex()
FILE = PublishedFile(f"items-{DIGEST[:16]}.ecit", len(TABLE), DIGEST)
ZIPPED = compressed(TABLE)


class Wire:
    """A service that sends one raw answer after another, and breaks the connection behind each."""

    def __init__(self):
        self.answers, self.asked = [], []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def answer(self, body, *, status=200, length=None, **headers):
        """Adds an answer; `length` is what it says that its body has."""
        named = {"Content-Length": len(body) if length is None else length}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self.answers.append(f"HTTP/1.1 {status} As It Is\r\n{head}\r\n".encode() + body)

    def close(self):
        self._socket.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, contextlib.suppress(ConnectionError):
                    lines = connection.recv(1 << 16).decode().split("\r\n")[1:-2]
                    self.asked.append(dict(line.lower().split(": ", 1) for line in lines))
                    connection.sendall(self.answers.pop(0))


@pytest.fixture
def wire():
    found = Wire()
    yield found
    found.close()


@pytest.fixture
def client(wire, tmp_path):
    def made(attempts=4):
        retries = Retries(attempts=attempts, sleep=lambda _: None)
        cache = tmp_path / "cache"
        return CloudClient(HttpTransport(wire.address), "ecct1.x", cache=cache, retries=retries)

    return made


def codings(wire):
    return [(asked["accept-encoding"], asked.get("range")) for asked in wire.asked]


def test_a_file_is_the_same_with_and_without_gzip(wire, client, tmp_path):
    wire.answer(ZIPPED, Content_Encoding="gzip")
    wire.answer(TABLE)
    for _ in range(2):
        assert client().file(FILE) == TABLE
        (tmp_path / "cache" / FILE.path).unlink()
    assert codings(wire) == [("gzip", None)] * 2


def test_a_service_sends_fewer_bytes_to_a_client(tmp_path):
    pytest.importorskip("uvicorn")
    service = load_file("tests/cloud/test_cloud_service.py")
    running = service.Running(tmp_path)
    try:
        address = f"http://127.0.0.1:{running.socket.getsockname()[1]}"
        client = CloudClient(HttpTransport(address), running.token, cache=tmp_path / "cache")
        publication = client.current()
        assert client.file(publication.item_table) == TABLE
        text = running.ask("GET", "/metrics", token=running.tokens.issue(None))[2].decode()
        route = 'ecct_request_sent_bytes_total{route="/v1/files/{name}"}'
        assert f"{route} {len(ZIPPED)}" in text.splitlines()
    finally:
        running.stop()


def test_a_compressed_download_resumes_by_bytes_of_the_file(wire, client):
    wire.answer(ZIPPED[: len(ZIPPED) // 2], length=len(ZIPPED), Content_Encoding="gzip")
    with pytest.raises(UnreachableError, match="no whole answer"):
        client(attempts=1).file(FILE)
    have = wire_part(client).stat().st_size
    assert 0 < have < len(TABLE)
    # In another process, on another day: another cut, then the rest.
    wire.answer(TABLE[have : have + 5000], status=206, length=len(TABLE) - have)
    wire.answer(TABLE[have + 5000 :], status=206)
    assert client().file(FILE) == TABLE
    expected = [f"bytes={have}-", f"bytes={have + 5000}-"]
    assert codings(wire) == [("gzip", None)] + [("identity", part) for part in expected]
    assert {asked["if-range"] for asked in wire.asked[1:]} == {f'"{DIGEST}"'}


def wire_part(client):
    (part,) = client()._cache.glob(".*.part")
    return part


@pytest.mark.parametrize("missing", [1, 8, 9, 500])
def test_a_stream_that_ends_early_is_not_taken_as_whole(wire, client, missing):
    short = ZIPPED[:-missing]
    wire.answer(short, Content_Encoding="gzip")
    with pytest.raises(UnreachableError, match="ends early"):
        client(attempts=1).file(FILE)
    assert not (client()._cache / FILE.path).exists()
    have = wire_part(client).stat().st_size
    if have < len(TABLE):
        wire.answer(TABLE[have:], status=206)
    else:
        wire.answer(b"{}", status=416)
    assert client().file(FILE) == TABLE
    assert codings(wire)[1] == ("identity", f"bytes={have}-")


def test_a_whole_answer_to_a_request_for_the_rest_begins_anew(wire, client):
    wire.answer(b"?" * 100, length=len(TABLE))
    wire.answer(ZIPPED, Content_Encoding="x-gzip")
    assert client().file(FILE) == TABLE


def test_a_bomb_is_refused_and_nothing_of_it_stays(wire, client):
    wire.answer(compressed(bytes(300_000_000)), Content_Encoding="gzip")
    tracemalloc.start()
    try:
        with pytest.raises(TransportError, match=f"at most the {len(TABLE)} bytes") as refused:
            client().file(FILE)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    # It is not asked for again.
    assert not isinstance(refused.value, UnreachableError)
    assert len(wire.asked) == 1
    assert list(client()._cache.iterdir()) == []


@pytest.mark.parametrize("announced", [2000, None])
def test_a_model_is_bounded_by_its_manifest(wire, client, monkeypatch, announced):
    monkeypatch.setattr("mobile_export.transport.client._MOST_MODEL_BYTES", 3000)
    entry = {"sha256": "ab" * 32} | ({} if announced is None else {"bytes": announced})
    wire.answer(json.dumps({"files": {"edge.tflite": entry}}).encode())
    wire.answer(compressed(bytes(10_000)), Content_Encoding="gzip")
    with pytest.raises(TransportError, match=f"at most the {announced or 3000} bytes"):
        client().model("edge.tflite")
    # A manifest is asked for as it is.
    assert codings(wire) == [("identity", None), ("gzip", None)]


def test_another_file_under_the_name_is_never_kept(wire, client):
    other = TABLE[:-40] + b"?" + TABLE[-39:]
    for _ in range(2):
        wire.answer(compressed(other), Content_Encoding="gzip")
    with pytest.raises(TransportError, match="got another twice"):
        client().file(FILE)
    assert list(client()._cache.iterdir()) == []


@pytest.mark.parametrize(("status", "coding"), [(200, "br"), (206, "gzip")])
def test_codings_that_were_not_asked_for_are_refused(wire, client, status, coding):
    wire.answer(ZIPPED, status=status, Content_Encoding=coding)
    with pytest.raises(TransportError, match=f"got '{coding}' with status {status}"):
        client().file(FILE)
    assert list(client()._cache.iterdir()) == []


@pytest.mark.parametrize("body", [b"", b"no gzip", ZIPPED[:200] + bytes(300), ZIPPED + b"x"])
def test_what_is_no_gzip_is_asked_for_again(wire, client, body):
    wire.answer(body, Content_Encoding="gzip")
    with pytest.raises(UnreachableError, match="gzip: "):
        client(attempts=1).file(FILE)
    assert not (client()._cache / FILE.path).exists()
    wire.answer(body, Content_Encoding="gzip")
    wire.answer(ZIPPED, Content_Encoding="gzip")
    assert client(attempts=2).file(FILE) == TABLE
