"""Altered bytes for the readers in all languages, each with what its refusal has to say.

Somebody who alters a file can seal it anew: a checksum vouches for nothing here.
"""

import dataclasses
import json
import struct
import zlib

import numpy as np

from ecct_tf.wire import (
    DownlinkFile,
    ItemTableFile,
    Publication,
    PublishedDelta,
    PublishedFile,
    Section,
    UplinkForm,
    UplinkRecord,
)
from ecct_tf.wire.sealed import seal
from mobile_export.contract.meaning import Column, FileMeaning
from mobile_export.device.labels import StateLabels, Waiting
from mobile_export.device.state import DeviceState, ReceivedDownlink

TABLE = "ab" * 32
NAN, INF = struct.pack("<f", np.nan), struct.pack("<f", np.inf)
HALF_NAN, HALF_INF = b"\x00\x7e", b"\x00\x7c"
MINUS = struct.pack("<i", -1)
LATER = "later version"


@dataclasses.dataclass(frozen=True)
class Altered:
    """Bytes that no reader takes.

    Attributes:
      kind: of what they are.
      change: what was done to them.
      content: the bytes.
      says: parts of the refusal, whatever their case: field, expected, got, way out.
    """

    kind: str
    change: str
    content: bytes
    says: tuple[str, ...]


def crc(body):
    """`body` and what proves a record."""
    return body + zlib.crc32(body).to_bytes(4, "little")


def put(body, place, part):
    """`body` with `part` at `place`."""
    return body[:place] + part + body[place + len(part) :]


def downlinks(codec="int8"):
    """Of two users: 64 bytes, two keys, and records of 12 or more."""
    embeddings = {
        "int8": (np.array([[1, -2], [3, 4]], np.int8), np.array([[0.5], [2.0]], np.float16)),
        "float16": (np.array([[1, -2], [3, 4]], np.float16),),
        "float32": (np.array([[1, -2], [3, 4]], np.float32),),
    }
    return DownlinkFile.build(
        keys_are="users",
        cloud_version=7,
        round_number=3,
        table_sha256=TABLE,
        codec=codec,
        keys=np.array([4, 9], np.int32),
        embeddings=embeddings[codec],
        queries=np.array([[10, 11], [20, 21]], np.int32),
    ).to_bytes()


def record():
    """Of user 7, two queries of three dimensions, with logits."""
    form = UplinkForm(queries=2, embedding_dim=3, codec="int8", with_logits=True)
    payload = struct.pack("<3i", 7, 5, 1) + bytes(range(1, 15))
    return UplinkRecord(7, 3, 2, 86_401, form, payload).to_bytes()


def state():
    """With times, a downlink, a start and labels; no number in its text has three digits."""
    meaning = FileMeaning(
        tier="mlp",
        adapters=False,
        weights=(("w", (2, 1)),),
        blocks=(("b", 3),),
        reads="r",
        vocabulary="v",
        rows=41,
        columns=(Column("c0", "words", "a", 3), Column("c1", "rows", "", 4)),
    )
    labels = StateLabels(
        meaning,
        tokens=("film 1", "film 3", "film 4"),
        texts=("v1", ""),
        waiting=(Waiting("new", 2, 60),),
        waiting_older=0,
    )
    return DeviceState(
        model="cd" * 32,
        layout="ef" * 32,
        user=11,
        profile=[1, 3],
        history=[3, 1, 4],
        num_older=2,
        values=np.array([0.5, 1.0, -2.0], np.float32),
        downlink=ReceivedDownlink(
            np.array([1, -2], np.int8), [10, 11], scale=0.5, cloud_version=7, round_number=3,
            table_sha256=TABLE,
        ),
        round_number=5,
        times=[86_400, 0, 90_000],
        start=np.array([0.25, 1.0], np.float32),
        labels=labels,
    ).as_bytes()  # fmt: skip


def current():
    """As of `current.json`, before it is text."""
    segments = PublishedFile("segments-1.ecdn", 96, "cd" * 32)
    table = PublishedFile("items-1.ecit", 99, TABLE)
    found = Publication(
        cloud_version=7,
        round_number=3,
        codec="int8",
        downlinks=PublishedFile("downlinks-1.ecdn", 98, "ef" * 32),
        segments=segments,
        segment_names=("all", "men"),
        item_table=table,
        deltas=(PublishedDelta(PublishedFile("d.ecid", 97, "01" * 32), 6, "23" * 32, 1),),
        devices="",
        device_bytes=94,
    )
    return json.loads(found.to_json())


def table(bias=(0.0, 1.0, 2.0)):
    """Three rows of a section of three values."""
    values = np.arange(9, dtype=np.int8).reshape(3, 3)
    return ItemTableFile.build(
        codec="int8",
        sections=((Section("cloud", "é", 3), (values, np.ones((3, 1), np.float16))),),
        bias=np.array(bias, np.float16),
        feature_mean=np.zeros(1, np.float32),
        feature_scale=np.ones(1, np.float32),
        logit_mean=0.0,
        logit_scale=1.0,
    )


def cases():
    """All of those that devices in every language read."""
    return [*_downlinks(), *_states(), *_currents(), *_receipts(), *_records()]


def _downlinks():
    again, another, diverged = "fetch the file again", "of another version", "publish a valid"
    body, half, single = (downlinks(name)[:-32] for name in ("int8", "float16", "float32"))
    whole = "in 0..2147483647, got -1"
    edits = [
        ("reserved byte", put(body, 28, b"\1"), ("zeros where nothing is told yet, got 1", LATER)),
        ("last reserved byte", put(body, 31, b"\x80"), ("is told yet, got 2147483648", LATER)),
        ("format", put(body, 4, b"\2"), ("expected format 1", "2", "another version")),
        ("codec", put(body, 6, b"\3"), ("expected a codec below 3", "got 3")),
        ("kind of keys", put(body, 7, b"\2"), ("expected a kind of keys in 0..1, got 2", LATER)),
        ("version", put(body, 8, MINUS), (f"expected a cloud_version {whole}", again)),
        ("round", put(body, 12, MINUS), (f"expected a round_number {whole}", again)),
        ("no width", put(body, 16, b"\0"), ("a cloud_dim in 1..1048576, got 0", another)),
        ("width", put(body, 19, b"\xff"), ("a cloud_dim in 1..1048576, got 4278190082", another)),
        ("no queries", put(body, 20, b"\0"), ("a number of queries in 1..1048576, got 0", another)),
        ("queries", put(body, 20, b"\3"), ("bytes before the digest for 2 keys, got 96", again)),
        ("keys", put(body, 24, b"\3"), ("bytes before the digest for 3 keys, got 96", again)),
        ("many keys", put(body, 24, b"\xff" * 4), ("for 4294967295 keys, got 96", again)),
        ("longer", body + b"\0", ("96 bytes before the digest for 2 keys, got 97", again)),
        ("shorter", body[:-1], ("96 bytes before the digest for 2 keys, got 95", again)),
        ("no header", body[:63], ("a header of 64 bytes, got 63", again)),
        ("key", put(body, 64, MINUS), (f"expected a key {whole}", again)),
        ("order of keys", put(body, 64, b"\x63"), ("one record for each of 2 keys in asc", again)),
        ("equal keys", put(body, 64, b"\x09"), ("one record for each of 2 keys in asc", again)),
        ("query", put(body, 88, MINUS), (f"expected a query {whole}", again)),
        ("scale nan", put(body, 86, HALF_NAN), ("scale of key 9: expected finite", "got nan")),
        ("scale inf", put(body, 74, HALF_INF), ("scale of key 4: expected finite", "got inf")),
        ("scale below 0", put(body, 75, b"\xb8"), ("scale of key 4", "in 0..65504, got -0.5")),
        ("half nan", put(half, 84, HALF_NAN), ("embedding of key 9: expected finite", "got nan")),
        ("half inf", put(half, 74, HALF_INF), ("embedding of key 4: expected finite", "got inf")),
        ("single nan", put(single, 88, NAN), ("embedding of key 9: expected finite", "got nan")),
        ("single inf", put(single, 76, INF), ("embedding of key 4: expected finite", "got inf")),
    ]
    for change, edited, says in edits:
        ways = (diverged,) if " of key " in says[0] else ()
        yield Altered("downlinks", change, seal(edited), ("downlinks", *says, *ways))
    yield Altered("downlinks", "digest", put(seal(body), 70, b"\1"), ("downlinks", "fetch"))
    yield Altered("downlinks", "magic", seal(put(body, 0, b"X")), ("downlinks", "begins with"))


def _states():
    body = state()[:-32]
    (length,) = struct.unpack_from("<I", body, 8)
    text, rest = body[12 : 12 + length], body[12 + length :]
    values = 8 + 12 + 24
    waiting = b'["new", 2, 60]'

    def told(old, new, *, arrays=rest):
        assert text.count(old) == 1, old
        header = text.replace(old, new)
        return body[:8] + struct.pack("<I", len(header)) + header + arrays

    def labels(old, new):
        assert rest.count(old) == 1, old
        changed = rest.replace(old, new)
        start = rest.index(b'{"file"')
        lengths = (b'"labels":["|u1",%d]' % (len(each) - start) for each in (rest, changed))
        return told(*lengths, arrays=changed)

    def array(place, part):
        return body[: 12 + length] + put(rest, place, part)

    promised = "bytes of arrays, as the header says, got"
    finite = "expected finite numbers, got"
    rows = "expected row numbers in 0..2147483647, got -1"
    edits = [
        ("reserved byte", put(body, 6, b"\1"), ("zeros where nothing is told yet, got 1", LATER)),
        ("last reserved byte", put(body, 7, b"\1"), ("is told yet, got 256", LATER)),
        ("format", put(body, 4, b"\4"), ("expected format", "4", "another version")),
        ("length of header", put(body, 11, b"\x7f"), ("bytes of header, got",)),
        ("header of letters", put(body, 12, b"\xff"), ("utf-8",)),
        ("no object", body[:8] + struct.pack("<I", 2) + b"[]" + rest, ("expected an object",)),
        ("user -5", told(b'"user":11', b'"user":-5'), ("user", "a whole number", "got -5")),
        ("user 2**40", told(b'"user":11', b'"user":1099511627776'), ("user", "1099511627776")),
        ("user bob", told(b'"user":11', b'"user":"bob"'), ("user", "number", "bob")),
        ("user 1.5", told(b'"user":11', b'"user":1.5'), ("user", "a whole number", "got 1.5")),
        ("no round", told(b'"round":5', b'"rounds":5'), ("round",)),
        ("no downlink", told(b'"downlink"', b'"downlinq"'), ("downlink",)),
        ("model", told(b'"model":"' + b"cd" * 32 + b'"', b'"model":5'),
         ("model: expected a string, got 5",)),
        ("older", told(b'"num_older":2', b'"num_older":4'),
         ("num_older must be in 0..3, the length of its history, got 4",)),
        ("more values", told(b'"values":["<f4",3]', b'"values":["<f4",4]'), (promised,)),
        ("fewer values", told(b'"values":["<f4",3]', b'"values":["<f4",2]'), (promised,)),
        ("values that wrap", told(b'"values":["<f4",3]', b'"values":["<f4",1073741827]'),
         (promised,)),
        ("minus one", told(b'"values":["<f4",3]', b'"values":["<f4",-1]'),
         ("values", "a whole number that is not negative, got -1")),
        ("half a value", told(b'"values":["<f4",3]', b'"values":["<f4",2.5]'),
         ("values", "a whole number that is not negative, got 2.5")),
        ("doubles", told(b'"values":["<f4",3]', b'"values":["<f8",3]'),
         ("values: expected <f4 and a count, got", "<f8")),
        ("objects", told(b'"values":["<f4",3]', b'"values":["|O4",3]'),
         ("values: expected <f4 and a count, got", "|o4")),
        ("no form", told(b'"values":["<f4",3]', b'"values":3'), ("expected 2 entries, got 3",)),
        ("order", told(b'"profile":["<i4",2],"history":["<i4",3]',
                       b'"history":["<i4",2],"profile":["<i4",3]'),
         ("arrays: expected profile, history", "got history, profile")),
        ("a name of its own", told(b'"start"', b'"stbrt"'), ("arrays: expected", "stbrt")),
        ("longer", body + b"\0", (promised,)),
        ("shorter", body[:-1], (promised,)),
        ("profile", array(4, MINUS), ("profile", rows)),
        ("history", array(8, MINUS), ("history", rows)),
        ("time", array(28, struct.pack("<q", -5)), ("times", "got -5")),
        ("late time", array(20, struct.pack("<q", 2**53)),
         ("times", "9007199254740991", "got 9007199254740992")),
        ("values nan", array(values + 4, NAN), ("values", f"{finite} nan at [1]")),
        ("values inf", array(values, INF), ("values", f"{finite} inf", "at [0]")),
        ("start nan", array(values + 22, NAN), ("start", f"{finite} nan at [0]")),
        ("start inf", array(values + 26, INF), ("start", f"{finite} inf", "at [1]")),
        ("query", array(values + 14, MINUS), ("downlink", "quer", "got -1")),
        ("scale below 0", told(b'"scale":0.5', b'"scale":-0.5'),
         ("downlink", "scale", "0..65504", "-0.5")),
        ("scale", told(b'"scale":0.5', b'"scale":1e9'), ("downlink", "scale", "0..65504")),
        ("no scale", told(b'"scale":0.5', b'"scale":null'), ("scale",)),
        ("version", told(b'"cloud_version":7', b'"cloud_version":-1'),
         ("downlink", "cloud_version", "got -1")),
        ("round", told(b'"round_number":3', b'"round_number":2147483648'),
         ("downlink", "round_number", "got 2147483648")),
        ("table", told(b'"table_sha256":"ab', b'"table_sha256":"AB'), ("downlink", "got", "abab")),
        ("unknown", told(b'"table_sha256"', b'"tabel_sha256"'),
         ("downlink: expected nothing unknown, got tabel_sha256",)),
        ("labels of letters", array(len(rest) - 2, b"\xff"), ("utf-8",)),
        ("tokens", labels(b'["film 1", "film 3", "film 4"]', b'"film"'), ("expected a list",)),
        ("a token", labels(b'"film 3"', b"3"), ("expected a string, got 3",)),
        ("texts", labels(b'["v1", ""]', b'["v1"]'), ("labels: expected those of 3 inter",)),
        ("place", labels(waiting, b'["new", 2.5, 60]'), ("whole number", "got 2.5")),
        ("place beyond", labels(waiting, b'["new", 4, 60]'), ("labels: expected those of 3",)),
        ("waiting time", labels(waiting, b'["new", 2, -1]'), ("got -1",)),
        ("half a second", labels(waiting, b'["new", 2, 1.5]'), ("got 1.5",)),
        ("code", labels(waiting, b'["new", 2, 60, [1]]'), ("expected",)),
        ("waiting older", labels(b'"waiting_older": 0', b'"waiting_older": 2'), ("labels: exp",)),
        ("adapters", labels(b'"adapters": false', b'"adapters": 0'), ("true or false, got 0",)),
        ("shape", labels(b'["w", [2, 1]]', b'["w", 2]'), ("expected a list, got 2",)),
        ("column", labels(b'["c1", "rows", "", 4]', b'["c1", "rows", 4]'), ("expected 4 entries",)),
    ]  # fmt: skip
    for change, edited, says in edits:
        yield Altered("state", change, seal(edited), ("kept.state", *says, "begin the device anew"))
    whole = ("kept.state", "state of a device", "begin the device anew")
    yield Altered("state", "digest", put(state(), 40, b"!"), whole)
    yield Altered("state", "cut", state()[:50], whole)


def _currents():
    ways = ("publication", "publish again")
    plain = "expected a plain name and a SHA-256, got"

    def told(place, name, value):
        found = current()
        (found[place] if place else found)[name] = value
        return json.dumps(found).encode()

    without = current()
    del without["round_number"]
    edits = [
        ("version", told("", "cloud_version", -1), ("cloud_version", "got -1")),
        ("round", told("", "round_number", 2**31), ("round_number", "got 2147483648")),
        ("no round", json.dumps(without).encode(), ("round_number",)),
        ("path", told("segments", "path", "../a"), (f"{plain} ../a and cdcd",)),
        ("hidden path", told("segments", "path", ".a"), (f"{plain} .a and cdcd",)),
        ("no path", told("segments", "path", ""), (f"{plain} ",)),
        ("digest", told("segments", "sha256", "CD" * 32), (f"{plain} segments-1.ecdn and CDCD",)),
        ("digest of table", told("item_table", "sha256", "ab"), (f"{plain} items-1.ecit and ab",)),
        ("bytes", told("segments", "num_bytes", -1), ("num_bytes", "got -1")),
        ("names", told("", "segment_names", "all"), ("segment_names", "a list", "all")),
        ("a name", told("", "segment_names", [5]), ("string", "5")),
        ("nothing", b"", ()),
        ("a list", b"[]", ()),
    ]
    for change, content, says in edits:
        yield Altered("current", change, content, (*ways, *says))
    yield Altered("current", "format", told("", "format", 2), ("format", "2", "another version"))


def _receipts():
    def told(**changes):
        return json.dumps({"taken": 1, "repeated": 1, "too_old": 0, **changes}).encode()

    whole = "a whole number that is not negative, got"
    for change, content, says in (
        ("negative", told(taken=-1), ("taken", f"{whole} -1")),
        ("half", told(repeated=1.5), ("repeated", f"{whole} 1.5")),
        ("text", told(too_old="1"), ("too_old", "expected a", "number", "1")),
        ("true", told(taken=True), ("taken", "expected a", "number", "true")),
        ("nothing", b"", ("expected",)),
        ("of more", told(taken=2), ("expected a receipt of 2 answers, got one of 3",)),
        ("of fewer", told(taken=0), ("expected a receipt of 2 answers, got one of 1",)),
        ("wraps", told(taken=2**31 - 1, repeated=2**31 - 1, too_old=4), ("of 2 answers, got one",)),
    ):
        yield Altered("receipt", change, content, says)


def _records():
    body = record()[:-4]
    whole = "in 0..2147483647, got -1"
    late = struct.pack("<q", 253_402_300_800)
    longer = put(body, 36, struct.pack("<I", 27)) + b"\0"
    for change, edited, says in (
        ("schema", put(body, 4, b"\7"), ("expected schema version 1, got 7",)),
        ("codec", put(body, 6, b"\x09"), ("expected a codec below 3", "got 9")),
        ("stage", put(body, 7, b"\3"), ("expected stage 1 or 2, got 3",)),
        ("no query", put(body, 8, b"\0"), ("at least one query and one embed", "got 0 and 3")),
        ("no width", put(body, 12, b"\0"), ("at least one query and one embed", "got 2 and 0")),
        ("time", put(body, 16, b"\xff" * 8), ("a created_at_seconds in 0..253402300799, got -1",)),
        ("late", put(body, 16, late), ("in 0..253402300799, got 253402300800",)),
        ("user", put(body, 24, b"\4"), ("its payload is of user 7, expected user 4",)),
        ("users", put(put(body, 24, MINUS), 40, MINUS), (f"expected a user {whole}",)),
        ("round", put(body, 28, MINUS), (f"expected a round_number {whole}",)),
        ("version", put(body, 32, MINUS), (f"expected a cloud_version {whole}",)),
        ("length", put(body, 36, b"\1"), ("its header says 1 bytes of payload, it has 26",)),
        ("longer", longer, ("expected a payload of 26 bytes", "got 27")),
        ("queries", put(body, 8, b"\3"), ("expected a payload of", "got 26")),
    ):
        yield Altered("record", change, crc(edited), ("uplink", *says))
    yield Altered("record", "crc", put(record(), 50, b"\x55"), ("uplink record", "CRC-32"))
    yield Altered("record", "cut", record()[:3], ("uplink record", "got 3"))
