"""A log of a custom codec: read by the name in the reader's contract, checked as decoded."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cloud.uplink_log import (
    LogContract,
    Quarantine,
    ReplayWindow,
    UplinkLogWriter,
    log_files,
    read_uplinks,
)
from cloud.uplink_log.forgetting import _answers
from ecct_tf.wire import UplinkForm, UplinkRecord, pack_uplink
from ecct_tf.wire.codec_codes import codec_code
from ecct_tf.wire.row_codec import decoded_rows, encoded_rows

EXAMPLES = Path(__file__).parents[2] / "examples" / "own_codecs"
INT4 = "own_codecs.four_bits:int4"
GROUPS = "own_codecs.four_bits:int4_groups"
SIZES = {"queries": 2, "embedding_dim": 3}
CONTRACT = LogContract(
    num_users=9,
    num_items=20,
    codec="float32",
    clip_norm=1.0,
    clip_logit=4.0,
    newest_round=5,
    newest_version=0,
    **SIZES,
)


@pytest.fixture(autouse=True)
def _example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)


def record(user, *, embedding=0.5, logit=-4.0):
    form = UplinkForm(codec=INT4, with_logits=True, **SIZES)
    outputs = {
        "items": np.array([3, 20], np.int32),
        "embeddings": np.array([[embedding, 0.1, 0.0], [0.2, -0.2, 0.1]], np.float32),
        "logits": np.array([logit, 0.3], np.float32),
    }
    return UplinkRecord(user, 1, 0, 86_400, form, pack_uplink(user, outputs, form)), outputs


def read(folder, codec, records):
    UplinkLogWriter(folder / "log").append(records, name="first")
    quarantine = Quarantine(folder / "refused")
    (batch,) = read_uplinks(
        folder / "log",
        log_files(folder / "log"),
        contract=dataclasses.replace(CONTRACT, codec=codec),
        window=ReplayWindow(CONTRACT.num_users),
        quarantine=quarantine,
    )
    return batch, [(each.reason.value, each.message) for each in quarantine.not_taken_back()]


def test_sound_records_are_decoded_and_others_refused(tmp_path):
    (good, outputs), (far, _) = record(1), record(2, embedding=1.3)
    absurd, _ = record(3, logit=5.0)
    content = bytearray(record(4)[0].payload)
    content[4 + 4 * 2 : 4 + 4 * 2 + 2] = np.float16(np.nan).tobytes()  # the first scale
    broken = dataclasses.replace(record(4)[0], payload=bytes(content))
    batch, refused = read(tmp_path, INT4, [good, far, absurd, broken])
    assert batch.users.tolist() == [1]
    np.testing.assert_array_equal(
        batch.embeddings[0], decoded_rows(INT4, encoded_rows(INT4, outputs["embeddings"]), 3)
    )
    np.testing.assert_array_equal(
        batch.logits[0], decoded_rows(INT4, encoded_rows(INT4, outputs["logits"]), 2)
    )
    assert [reason for reason, _ in refused] == ["embedding_norm", "absurd_logit", "not_finite"]
    assert "got 1.3" in refused[0][1]


def test_rounding_up_by_the_codecs_error_is_no_fault(tmp_path):
    # A step of int4 is a seventh of the largest: the norm may grow past what devices clip to.
    edge, _ = record(1, embedding=0.97)
    embeddings = encoded_rows(INT4, np.array([[0.7, 0.7, 0.14]], np.float32))
    assert np.linalg.norm(decoded_rows(INT4, embeddings, 3)) > 0.99
    assert read(tmp_path, INT4, [edge])[0].users.tolist() == [1]


@pytest.mark.parametrize("codec", ["int8", GROUPS])
def test_a_job_of_another_codec_refuses_them_by_name(tmp_path, codec):
    batch, ((reason, message),) = read(tmp_path, codec, [record(1)[0]])
    assert len(batch.users) == 0
    assert reason == "wrong_form"
    assert f"expected codec {codec}, 2 queries" in message
    assert f"got a custom codec of code {codec_code(INT4)}, 2 and 3" in message


def test_forgetting_needs_no_codec(tmp_path):
    UplinkLogWriter(tmp_path).append([record(7)[0]], name="first")
    (file,) = log_files(tmp_path)
    assert list(_answers(tmp_path, file)) == [(7, 1, 86_400)]
