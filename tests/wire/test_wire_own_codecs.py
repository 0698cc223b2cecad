"""Custom codecs in the formats of files and logs: known by the reader's own name, or unread."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ecct_tf.errors import CodecError, ConfigError
from ecct_tf.wire import (
    DownlinkFile,
    PlacedRecord,
    UplinkForm,
    UplinkRecord,
    by_place,
    decoded_uplink,
    pack_uplink,
    pack_uplinks,
)
from ecct_tf.wire.codec_codes import codec_code
from ecct_tf.wire.row_codec import RowCodec, decoded_rows, encoded_rows

EXAMPLES = Path(__file__).parents[2] / "examples" / "own_codecs"
INT4 = "own_codecs.four_bits:int4"
GROUPS = "own_codecs.four_bits:int4_groups"
# A part that nobody may import because bytes name it.
NOWHERE = "no_such_package.codecs:int4"


@pytest.fixture(autouse=True)
def _example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)


def form(codec=INT4, **fields):
    sizes = {"queries": 4, "embedding_dim": 3, "with_logits": True}
    return UplinkForm(codec=codec, **sizes, **fields)


def record(codec=INT4):
    rng = np.random.default_rng(0)
    outputs = {
        "items": np.arange(1, 5, dtype=np.int32),
        "embeddings": rng.standard_normal((4, 3)).astype(np.float32),
        "logits": rng.standard_normal(4).astype(np.float32),
    }
    payload = pack_uplink(7, outputs, form(codec))
    return UplinkRecord(7, 3, 2, 86_400, form(codec), payload), outputs


def test_bytes_of_a_payload_are_those_of_the_codec():
    # Id, four items, four rows of three numbers, one row of four logits.
    assert form().payload_bytes == 4 + 16 + 4 * (2 + 2) + (2 + 2)


def test_a_device_and_a_round_of_many_write_the_same():
    made, outputs = record()
    (row,) = pack_uplinks(
        np.array([7]),
        outputs["items"][None],
        embeddings=[encoded_rows(INT4, outputs["embeddings"])[None]],
        logits=[encoded_rows(INT4, outputs["logits"])[None]],
        form=form(),
    )
    assert row.tobytes() == made.payload


def test_a_reader_that_was_told_the_name_reads_numbers():
    made, outputs = record()
    read = UplinkRecord.from_bytes(made.to_bytes(), codec=INT4)
    assert read == made
    embeddings, logits = decoded_uplink(read.payload, read.form)
    for found, sent in ((embeddings, outputs["embeddings"]), (logits, outputs["logits"])):
        most = (0.5 / 7 + 2**-11) * np.abs(sent).max(axis=-1, keepdims=True)
        assert (np.abs(found - sent) <= most).all()


@pytest.mark.parametrize("told", [None, GROUPS, NOWHERE, "int8"])
def test_others_pass_it_on_unread_and_import_nothing(told):
    content = record()[0].to_bytes()
    read = UplinkRecord.from_bytes(content, codec=told)
    assert (read.user, read.round_number, read.cloud_version) == (7, 3, 2)
    assert read.to_bytes() == content
    with pytest.raises(CodecError, match=rf"a custom codec of code {codec_code(INT4)}, which"):
        decoded_uplink(read.payload, read.form)


def test_places_are_resolved_by_a_service_that_knows_no_codec():
    content = record()[0].to_bytes()
    placed = PlacedRecord.from_bytes(by_place(content))
    assert placed.answering(np.arange(1, 5)).to_bytes() == content


def test_codes_of_custom_codecs_stand_apart():
    codes = {codec_code(name) for name in (INT4, GROUPS, NOWHERE)}
    assert len(codes) == 3
    assert min(codes) >= 128
    assert [codec_code(name) for name in ("float32", "float16", "int8")] == [0, 1, 2]


def test_a_known_form_has_no_unread_bytes():
    with pytest.raises(CodecError, match="only there, got 5 of"):
        form(unread_bytes=5)


def downlinks():
    known = np.random.default_rng(1).standard_normal((2, 5)).astype(np.float32)
    file = DownlinkFile.build(
        keys_are="users",
        cloud_version=2,
        round_number=3,
        table_sha256="0" * 64,
        codec=INT4,
        keys=np.array([4, 7], np.int32),
        embeddings=(encoded_rows(INT4, known),),
        queries=np.array([[1, 2], [3, 4]], np.int32),
        cloud_dim=5,
    )
    return file, known


def test_downlinks_are_read_by_their_name_alone():
    file, known = downlinks()
    expected = decoded_rows(INT4, encoded_rows(INT4, known), 5)
    read = DownlinkFile.from_bytes(file.to_bytes(), codec=INT4)
    np.testing.assert_array_equal(read.of(7).user_embedding, expected[1])
    assert read.of(7).queries.tolist() == [3, 4]
    unread = DownlinkFile.from_bytes(file.to_bytes())
    assert unread.only(7).to_bytes() == file.only(7).to_bytes()
    with pytest.raises(CodecError, match="which this reader was not told"):
        unread.of(7)
    np.testing.assert_array_equal(unread.read_with(INT4).of(4).user_embedding, expected[0])


@pytest.mark.parametrize("told", ["int8", GROUPS])
def test_a_device_of_another_codec_refuses_them_and_names_both(told):
    unread = DownlinkFile.from_bytes(downlinks()[0].to_bytes())
    with pytest.raises(CodecError, match=rf"expected codec {told}.* got .*{codec_code(INT4)}"):
        unread.read_with(told)


def test_a_codec_without_a_numpy_form_is_refused_with_the_way_out(monkeypatch):
    from own_codecs import four_bits

    whole = four_bits.int4()
    bare = dataclasses.replace(whole, encode_array=None)
    monkeypatch.setattr(four_bits, "bare", lambda: bare, raising=False)
    with pytest.raises(ConfigError, match="bare': expected encode_array and decode_array, with"):
        form("own_codecs.four_bits:bare")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda row, _: row[..., :1].astype(np.float32), r"expected \[5\] float32, got \[1\] fl"),
        (lambda _, width: np.zeros(width), r"expected \[5\] float32, got \[5\] float64"),
        (lambda *_: 1 // 0, "decode_array failed: ZeroDivisionError"),
    ],
)
def test_what_a_codec_makes_is_checked(monkeypatch, changed, message):
    from own_codecs import four_bits

    rows = RowCodec(lambda width: width, None, None, 0.1, lambda values: values, changed)
    name = f"own_codecs.four_bits:wrong_{abs(hash(message))}"
    monkeypatch.setattr(four_bits, name.partition(":")[2], lambda: rows, raising=False)
    with pytest.raises(ConfigError, match=message):
        decoded_rows(name, np.zeros(5, np.uint8), 5)
    with pytest.raises(CodecError, match="expected rows of 6 bytes for 6 numbers, got 5"):
        decoded_rows(name, np.zeros(5, np.uint8), 6)
