"""What the Kotlin library computes itself: bytes of uplinks, float16, seeded samples.

Python's own answers are kept in a golden file that the Kotlin tests read; see
`test_mobile_export_android.py`.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ecct_tf.config import SampleConfig
from ecct_tf.data._arrays import complement_items
from ecct_tf.data.guard import guard_candidates, guard_positions
from ecct_tf.data.numbers import NUMBER_ROWS, Scaling, number_code
from ecct_tf.edge import pad_history
from ecct_tf.wire import (
    PlacedRecord,
    UplinkForm,
    UplinkRecord,
    by_place,
    pack_uplink,
    unpack_uplink,
)
from mobile_export.making.labels import number_rule

GOLDEN = Path(__file__).parents[2] / (
    "mobile_export/android/ecct-edge-core/src/test/resources/golden/wire.json"
)
USER = 11
HISTORY = [3, 1, 4, 15, 9, 26]
OLDER, LENGTH, ITEMS = 2, 6, 40
SEED, NEGATIVES = 7, 3


@pytest.fixture(scope="module")
def golden():
    if os.environ.get("WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(_golden(), indent=1) + "\n")
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_the_golden_file_is_what_python_writes_now(golden):
    assert golden == _golden()


def test_python_reads_the_golden_uplinks(golden):
    for case in golden["wire"]:
        found = unpack_uplink(
            bytes.fromhex(case["bytes"]), _form(case["codec"], case["with_logits"])
        )
        assert found.user == USER
        assert found.items.tolist() == case["outputs"]["items"]
        assert len(found.logits) > 0 or not case["with_logits"]


def test_python_resolves_the_golden_answers_by_place(golden):
    for case in golden["wire"]:
        placed = PlacedRecord.from_bytes(bytes.fromhex(case["by_place"]))
        assert placed.answering(case["outputs"]["items"]).to_bytes().hex() == case["record"]


def _golden():
    forms = [(codec, stage) for codec in ("float32", "float16", "int8") for stage in (True, False)]
    return {
        "wire": [_wire(*form) for form in forms], "halves": _halves(), "draw": _draw(),
        "draw_of_positions": _draw(group=1 + NEGATIVES),
        "guard": _guard(), "numbers": _numbers(),
    }  # fmt: skip


def _numbers():
    """Codes of numbers by rules of all forms, as a file tells them; null is unknown."""
    given = [None, 0.0, -1.5, 17.25, 41.0, 93_500.5, -1e12, 1e300]
    rules = [Scaling(min=18, max=90), Scaling(log=True), Scaling(log=True, mean=10, scale=0.7)]
    return [
        {
            "column": {"name": "n", "rows": NUMBER_ROWS, "file": None, "number": number_rule(rule)},
            "given": given,
            "codes": [0 if x is None else number_code(x, rule) for x in given],
        }
        for rule in rules
    ]


def _form(codec, with_logits):
    return UplinkForm(queries=2, embedding_dim=3, codec=codec, with_logits=with_logits)


def _wire(codec, with_logits):
    """A payload of two queries in every form; float16 as its bits, as a file answers."""
    values = np.array([[0.5, -1.25, 3.0], [-0.0, 1e-4, -7.5]], np.float32)
    logits = np.array([2.5, -11.0], np.float32)
    scales = np.array([0.0236, 0.059], np.float16).view("<u2").astype(np.int32)
    outputs = {"items": np.array([7, 2_000_000], np.int32)}
    if codec == "int8":
        outputs["embeddings"] = np.array([[21, -53, 127], [0, 2, -127]], np.int8)
        outputs["embedding_scales"] = scales
        outputs["logits"] = np.array([29, -127], np.int8)
        outputs["logit_scale"] = scales[:1]
    elif codec == "float16":
        outputs["embeddings"] = values.astype("<f2").view("<u2").astype(np.int32)
        outputs["logits"] = logits.astype("<f2").view("<u2").astype(np.int32)
    else:
        outputs["embeddings"], outputs["logits"] = values, logits
    if not with_logits:
        outputs = {name: value for name, value in outputs.items() if not name.startswith("logit")}
    content = pack_uplink(USER, outputs, _form(codec, with_logits))
    record = UplinkRecord(USER, 5, 3, 1_790_000_000, _form(codec, with_logits), content).to_bytes()
    return {
        "codec": codec,
        "with_logits": with_logits,
        "outputs": {name: value.tolist() for name, value in outputs.items()},
        "bytes": content.hex(),
        "record": record.hex(),
        "by_place": by_place(record).hex(),
    }


def _guard():
    """Which positions a device holds back, and what each is ranked among."""
    positions = []
    told = ((6, 2, 128, 2), (6, 3, 128, 2), (6, 5, 128, 2), (6, 6, 9, 2), (6, 0, 128, 9))
    for length, older, most, held in (*told, (6, 0, 3, 2), (0, 0, 16, 2), (6, 2, 128, 0)):
        samples = SampleConfig(max_positions=most, guard_positions=held)
        positions.append(
            {
                "length": length,
                "older": older,
                "max_positions": most,
                "guard_positions": held,
                "held": guard_positions(length, num_older=older, samples=samples).tolist(),
            }
        )
    candidates = []
    for position, items in ((5, ITEMS), (1, 26), (3, 300), (0, 2**31 - 1)):
        found = guard_candidates(np.array(HISTORY, np.int32), np.array([position]), num_items=items)
        candidates.append(
            {
                "history": HISTORY,
                "position": position,
                "items": items,
                "candidates": found[0].tolist(),
            }
        )
    return {"positions": positions, "candidates": candidates}


def _halves():
    """Bits of float16 and their values: normal, subnormal, largest, zeros."""
    bits = [0x0000, 0x8000, 0x0001, 0x03FF, 0x0400, 0x3C00, 0xC500, 0x7BFF, 0x2E66]
    return [[code, float(np.array([code], "<u2").view("<f2")[0])] for code in bits]


class _SplitMix64:
    """The generator of the Kotlin library, written from its definition."""

    def __init__(self, seed):
        self._state = seed

    def next(self):
        bound = 2**64
        self._state = (self._state + 0x9E3779B97F4A7C15) % bound
        bits = self._state
        bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 % bound
        bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB % bound
        return bits ^ (bits >> 31)

    def below(self, bound):
        limit = (2**63 - 1) - (2**63 - 1) % bound
        while (drawn := self.next() >> 1) >= limit:
            pass
        return drawn % bound


def _draw(*, group=1):
    """Samples of the history with seeded negatives, in the order that Kotlin trains them.

    Args:
      group: how many stay together, as a loss by position reads them.
    """
    random = _SplitMix64(SEED)
    known = np.array(sorted(HISTORY))
    rows = []
    for position in range(OLDER, len(HISTORY)):
        before = pad_history(np.array(HISTORY[:position], np.int32), LENGTH).tolist()
        rows.append((before, HISTORY[position], 1.0))
        for _ in range(NEGATIVES):
            rank = random.below(ITEMS - len(known))
            rows.append((before, int(complement_items(known, np.array([rank]))[0]), 0.0))
    groups = [rows[start : start + group] for start in range(0, len(rows), group)]
    for last in range(len(groups) - 1, 0, -1):
        chosen = random.below(last + 1)
        groups[last], groups[chosen] = groups[chosen], groups[last]
    rows = [row for each in groups for row in each]
    first = _SplitMix64(SEED)
    return {
        "seed": SEED,
        "negatives": NEGATIVES,
        "first_numbers": [str(first.next()) for _ in range(3)],
        "histories": [row[0] for row in rows],
        "candidates": [row[1] for row in rows],
        "labels": [row[2] for row in rows],
    }
