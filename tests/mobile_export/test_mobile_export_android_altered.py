"""Altered bytes, refused alike in Python, Kotlin and the browser.

The Kotlin and browser tests walk through the same golden file: the same bytes, each with what its
refusal says; and the same altered bytes from a seed, of which each reader refuses the same ones and
reads the same out of the others.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from module_files import load_file

from ecct_tf.config import FeatureConfig
from ecct_tf.data.clock import clock_reading
from ecct_tf.errors import CodecError, DeviceError, TransportError
from ecct_tf.wire import (
    DownlinkFile,
    ItemTableFile,
    Publication,
    StartFile,
    UplinkRecord,
    apply_item_delta,
    item_delta,
)
from ecct_tf.wire.item_rows import ItemRowsFile
from ecct_tf.wire.sealed import seal
from mobile_export.device.state import DeviceState
from mobile_export.transport.client import _json
from mobile_export.transport.http import Answer
from mobile_export.transport.receipts import read_receipt

pieces = load_file("tests/mobile_export/altered_pieces.py")
GOLDEN = Path(__file__).parents[2] / (
    "mobile_export/android/ecct-edge-core/src/test/resources/golden/altered.json"
)
COUNT, SEED = 500, 20_261
NOW = 1_790_000_000
TIMES = [NOW - 3_600, NOW + 10 * 365 * 86_400, NOW - 60]
REFUSED, READ = "R", "A"
PYTHON_ALONE = ("item table", "item table delta", "item rows", "starting weights")


def receipt(content):
    return read_receipt(_json(Answer(200, {}, content)), path="/v1/uplinks", answers=2)


READERS = {
    "downlinks": DownlinkFile.from_bytes,
    "state": lambda content: DeviceState.from_bytes(content, name="kept.state"),
    "current": lambda content: Publication.from_json(content.decode("utf-8")),
    "receipt": receipt,
    "record": UplinkRecord.from_bytes,
    "item table": ItemTableFile.from_bytes,
    "item table delta": lambda content: apply_item_delta(pieces.table().to_bytes(), content),
    "item rows": ItemRowsFile.from_bytes,
    "starting weights": StartFile.from_bytes,
}
ERRORS = (CodecError, DeviceError, TransportError)
# Bytes without what proves them, what proves them, and what is read out of them.
HOSTILE = {
    "downlinks": (pieces.downlinks()[:-32], seal, lambda found: _told_of(found)),
    "state": (
        pieces.state()[:-32],
        seal,
        lambda found: hashlib.sha256(found.as_bytes()).hexdigest(),
    ),
    "record": (pieces.record()[:-4], pieces.crc, lambda found: str(found.round_number)),
    "current": (
        json.dumps(pieces.current()).encode(),
        bytes,
        lambda found: f"{found.cloud_version} {found.round_number} {found.item_table.sha256}",
    ),
    "receipt": (
        json.dumps({"taken": 1, "repeated": 1, "too_old": 0}).encode(),
        bytes,
        lambda found: f"{found.taken} {found.repeated} {found.too_old}",
    ),
}


def _told_of(found):
    keys = ",".join(map(str, found.keys.tolist()))
    return (
        f"{found.keys_are} {found.cloud_version} {found.round_number} {found.table_sha256} {keys}"
    )


class Draw:
    """The numbers that all languages draw: `x * 48271 % (2**31 - 1)`."""

    def __init__(self, seed):
        self._state = seed

    def below(self, limit):
        self._state = self._state * 48_271 % (2**31 - 1)
        return self._state % limit


def altered(body, draw):
    """`body` with one to four bytes changed, perhaps cut or longer; the same in all languages."""
    content = bytearray(body)
    for _ in range(1 + draw.below(4)):
        place = draw.below(len(content))
        kind = draw.below(3)
        if kind == 0:
            content[place] = draw.below(256)
        elif kind == 1:
            content[place] ^= 1 << draw.below(8)
        else:
            content[place] = (0, 127, 128, 255)[draw.below(4)]
    end = draw.below(8)
    if end == 0:
        return bytes(content[: draw.below(len(content))])
    return bytes(content) + bytes(1 + draw.below(5)) if end == 1 else bytes(content)


def outcomes(kind):
    """A letter for each of the altered bytes, and a digest of what was read out of those read."""
    body, proved, told = HOSTILE[kind]
    draw, letters, read = Draw(SEED), [], []
    for _ in range(COUNT):
        content = proved(altered(body, draw))
        try:
            found = READERS[kind](content)
        except UnicodeDecodeError:
            letters.append(REFUSED)  # By the client, which decodes it.
        except ERRORS:
            letters.append(REFUSED)
        else:
            letters.append(READ)
            read.append(told(found))
    return {
        "letters": "".join(letters),
        "read": hashlib.sha256("\n".join(read).encode()).hexdigest(),
    }


def _of_python_alone():
    """Of files that only devices in Python read: others hold their items in the model file."""
    body = pieces.table().to_bytes()[:-32]
    diverged = "expected finite numbers; the cloud that made it has diverged"
    for change, edited, says in (
        ("reserved byte", pieces.put(body, 7, b"\1"), (pieces.LATER,)),
        ("codec", pieces.put(body, 6, b"\3"), ("expected the layout of format 1",)),
        ("rows", pieces.put(body, 8, b"\4"), ("the file says",)),
        ("bias nan", pieces.put(body, len(body) - 2, pieces.HALF_NAN), ("bias, row 2", diverged)),
        (
            "scale inf",
            pieces.put(body, len(body) - 4, pieces.HALF_INF),
            ("scale0, row 2", diverged),
        ),
        ("logit nan", pieces.put(body, 28, pieces.NAN), ("mean and scale of logits", diverged)),
        ("longer", body + b"\0", ("the file says",)),
    ):
        yield pieces.Altered("item table", change, seal(edited), ("item table", *says))
    old, new = pieces.table(), pieces.table(bias=(0.0, 5.0, 2.0))
    delta = item_delta(old.to_bytes(), new.to_bytes())[:-32]
    for change, edited, says in (
        ("reserved byte", pieces.put(delta, 6, b"\1"), ("got 1", pieces.LATER)),
        ("base", pieces.put(delta, 8, b"\0"), ("it starts from table", "fetch the whole table")),
        ("rows", pieces.put(delta, 84, b"\2"), ("bytes, got",)),
        (
            "size",
            pieces.put(delta, 80, b"\xff" * 4),
            ("do not fit the table; fetch the whole table",),
        ),
        (
            "value",
            pieces.put(delta, len(delta) - 1, b"\x7e"),
            ("announced was", "fetch the whole table"),
        ),
    ):
        yield pieces.Altered("item table delta", change, seal(edited), ("item table delta", *says))
    own = np.array([[1, 2], [2, 0]], np.int32)
    rows = ItemRowsFile.build(old, table_sha256=pieces.TABLE, users=np.array([1, 4]), own=own)
    body = rows.to_bytes()[:-32]
    for change, edited, says in (
        ("reserved byte", pieces.put(body, 6, b"\1"), ("bytes 6 and 7 are in use", pieces.LATER)),
        ("rows", pieces.put(body, 44, b"\3"), ("3 rows of",)),
        ("users", pieces.put(body, 48, b"\3"), ("3 users in",)),
        ("order", pieces.put(body, 56, b"\2"), ("items in ascending order",)),
        ("item of a user", pieces.put(body, len(body) - 8, b"\7"), ("items whose rows the file",)),
    ):
        yield pieces.Altered("item rows", change, seal(edited), ("item rows", *says))
    values, scales = np.array([1, -2, 3, 4, 5], np.int8), np.array([0.5, 2, 0.25], np.float16)
    body = StartFile("int8", "é", pieces.TABLE, ((2, 2), (1, 1)), values, scales).to_bytes()[:-32]
    for change, edited, says in (
        ("codec", pieces.put(body, 6, b"\3"), ("expected the layout of format 1",)),
        ("weights", pieces.put(body, 8, b"\6"), ("expected",)),
        (
            "scale nan",
            pieces.put(body, len(body) - 2, pieces.HALF_NAN),
            ("of tier 'é': expected finite",),
        ),
        (
            "scale inf",
            pieces.put(body, len(body) - 6, pieces.HALF_INF),
            ("of tier 'é': expected finite",),
        ),
        ("longer", body + b"\0\0", ("3 scales",)),
    ):
        yield pieces.Altered("starting weights", change, seal(edited), ("starting weights", *says))


def _golden():
    return {
        "python_alone": list(PYTHON_ALONE),
        "cases": [
            {
                "kind": case.kind,
                "change": case.change,
                "bytes": case.content.hex(),
                "says": list(case.says),
            }
            for case in pieces.cases()
        ],
        "sound": {
            kind: proved(body).hex() for kind, (body, proved, _) in HOSTILE.items()
        },
        "hostile": {"seed": SEED, "count": COUNT, **{kind: outcomes(kind) for kind in HOSTILE}},
        "came_back": {"times": TIMES, "now": NOW, "reading": _came_back()},
    }  # fmt: skip


def _came_back():
    """The reading of a clock that was ten years ahead when the second interaction was."""
    config = FeatureConfig(history_length=6, last_items=2, clock=True, clock_calendar=True)
    return clock_reading(np.array(TIMES), now=NOW, config=config).tolist()


def test_the_golden_file_is_what_python_refuses_and_reads_now():
    now = _golden()
    if os.environ.get("WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    found = json.loads(GOLDEN.read_text(encoding="utf-8"))
    readings = [each["came_back"].pop("reading") for each in (found, now)]
    np.testing.assert_allclose(*readings, rtol=1e-6)
    # Of what is to come no pause is told: it is none, not a negative one.
    assert min(readings[0][6:]) == 0
    assert found == now


@pytest.mark.parametrize(
    "case", [*pieces.cases(), *_of_python_alone()], ids=lambda case: f"{case.kind}-{case.change}"
)
def test_altered_bytes_are_refused_by_field_with_the_way_out(case):
    with pytest.raises(ERRORS) as refused:
        READERS[case.kind](case.content)
    message = str(refused.value).lower()
    for part in case.says:
        assert part.lower() in message


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_nobody_altered_is_read(kind):
    body, proved, told = HOSTILE[kind]
    assert told(READERS[kind](proved(body)))


@pytest.mark.parametrize("kind", HOSTILE)
def test_of_hostile_bytes_some_are_refused_and_no_other_error_comes(kind):
    letters = outcomes(kind)["letters"]
    assert len(letters) == COUNT
    assert letters.count(REFUSED) > COUNT // 3
