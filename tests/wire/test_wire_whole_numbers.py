"""A whole number that its field cannot hold is refused, on writing as on reading."""

import dataclasses
import json
import struct

import numpy as np
import pytest

from ecct_tf.errors import CodecError
from ecct_tf.wire import (
    DownlinkFile,
    DownlinkForm,
    ItemTableFile,
    Publication,
    PublishedDelta,
    PublishedFile,
    Section,
    UplinkForm,
    UplinkRecord,
    apply_item_delta,
    digest_of,
    item_delta,
    pack_uplink,
    pack_uplinks,
    unpack_uplink,
)
from ecct_tf.wire.sealed import seal

BEYOND = [-1, -(2**31), 2**31, 2**63, 1.5, True]

FORM = UplinkForm(queries=2, embedding_dim=1, codec="float32", with_logits=False)
PAYLOAD = struct.pack("<iiiff", 7, 1, 2, 0.5, 0.5)


def downlinks(**changes):
    values = {
        "keys_are": "users",
        "cloud_version": 7,
        "round_number": 3,
        "table_sha256": "ab" * 32,
        "codec": "float32",
        "keys": np.array([4, 9]),
        "embeddings": (np.zeros((2, 1), np.float32),),
        "queries": np.array([[10], [20]]),
    }
    return DownlinkFile.build(**{**values, **changes})


def publication(**changes):
    file = PublishedFile("a.ecdn", 10, "ab" * 32)
    values = Publication(
        cloud_version=1,
        round_number=2,
        codec="int8",
        downlinks=file,
        segments=file,
        segment_names=("all",),
        item_table=file,
        deltas=(PublishedDelta(file, 1, "ab" * 32, 3),),
        devices="",
        device_bytes=254,
    )
    return dataclasses.replace(values, **changes)


def record(**changes):
    values = {"user": 7, "round_number": 1, "cloud_version": 1, "created_at_seconds": 5}
    return UplinkRecord(**{**values, **changes}, form=FORM, payload=PAYLOAD)


@pytest.mark.parametrize("value", BEYOND)
@pytest.mark.parametrize("field", ["round_number", "cloud_version"])
@pytest.mark.parametrize("make", [downlinks, publication, record])
def test_a_version_or_round_beyond_its_field_is_not_written(make, field, value):
    with pytest.raises(CodecError, match=rf"expected a {field} in 0\.\.2147483647, got"):
        make(**{field: value})


def test_the_last_round_of_the_field_is_written_and_read():
    assert DownlinkFile.from_bytes(downlinks(round_number=2**31 - 1).to_bytes()).round_number == (
        2**31 - 1
    )
    assert Publication.from_json(publication(round_number=2**31 - 1).to_json()).round_number == (
        2**31 - 1
    )


@pytest.mark.parametrize("name", ["round_number", "cloud_version"])
def test_a_negative_field_is_not_read(name):
    place = {"cloud_version": 8, "round_number": 12}[name]
    body = bytearray(downlinks().to_bytes()[:-32])
    struct.pack_into("<i", body, place, -(2**31))
    with pytest.raises(CodecError, match=f"a {name} in 0"):
        DownlinkFile.from_bytes(seal(bytes(body)))
    found = json.loads(publication().to_json())
    for value in (-1, 2**31, "3", None, 2.0):
        with pytest.raises(CodecError, match=f"a {name} in 0"):
            Publication.from_json(json.dumps({**found, name: value}))


@pytest.mark.parametrize("value", [-1, 2**31, 2**32 + 4])
def test_ids_are_refused_before_they_are_wrapped(value):
    with pytest.raises(CodecError, match="a key in"):
        downlinks(keys=np.sort(np.array([4, value])))
    with pytest.raises(CodecError, match="a query in"):
        downlinks(queries=np.array([[10], [value]]))
    arrays = {"embeddings": [np.zeros((1, 2, 1), np.float32)], "logits": [], "form": FORM}
    with pytest.raises(CodecError, match="uplink: expected a user in"):
        pack_uplinks(np.array([value]), np.array([[1, 2]]), **arrays)
    with pytest.raises(CodecError, match="a value of items in"):
        pack_uplinks(np.array([7]), np.array([[1, value]]), **arrays)


def test_values_of_int8_are_refused_before_they_are_wrapped():
    form = UplinkForm(queries=1, embedding_dim=1, codec="int8", with_logits=False)
    outputs = {"items": np.array([1]), "embedding_scales": np.array([0x3C00])}
    packed = pack_uplink(7, {**outputs, "embeddings": np.array([[-128]])}, form)
    assert packed == struct.pack("<iibH", 7, 1, -128, 0x3C00)
    with pytest.raises(CodecError, match=r"a value of embeddings in -128\.\.127, got 200"):
        pack_uplink(7, {**outputs, "embeddings": np.array([[200]])}, form)


def test_a_negative_user_is_not_read():
    with pytest.raises(CodecError, match="a user in"):
        unpack_uplink(struct.pack("<i", -7) + PAYLOAD[4:], FORM)


def test_sizes_that_no_memory_has_are_refused_before_they_are_taken():
    with pytest.raises(CodecError, match="a cloud_dim in 1"):
        DownlinkForm(cloud_dim=2**32 - 1, queries=1, codec="float32")
    body = bytearray(downlinks().to_bytes()[:-32])
    struct.pack_into("<I", body, 20, 2**32 - 1)
    with pytest.raises(CodecError, match="a number of queries in 1"):
        DownlinkFile.from_bytes(seal(bytes(body)))
    with pytest.raises(CodecError, match="a width in"):
        Section("both", "", 2**32)
    old, new = table(2), table(3)
    delta = bytearray(item_delta(old, new)[:-32])
    struct.pack_into("<I", delta, 80, 2**32 - 1)
    with pytest.raises(CodecError, match="its rows do not fit the table"):
        apply_item_delta(old, seal(bytes(delta)))
    assert digest_of(apply_item_delta(old, item_delta(old, new))) == digest_of(new)


def table(rows):
    values = np.arange(rows, dtype=np.float32)[:, None]
    return ItemTableFile.build(
        codec="float32",
        sections=((Section("both", "", 1), (values,)),),
        bias=np.zeros(rows, np.float16),
        feature_mean=np.zeros(1, np.float32),
        feature_scale=np.ones(1, np.float32),
        logit_mean=0.0,
        logit_scale=1.0,
    ).to_bytes()


def test_a_table_needs_a_scale_for_each_mean():
    file = ItemTableFile.from_bytes(table(2))
    with pytest.raises(CodecError, match="a scale for each of 1 means"):
        dataclasses.replace(file, feature_scale=np.ones(2, np.float32))


@pytest.mark.parametrize("field", ["num_bytes", "rows", "from_version", "device_bytes"])
def test_lengths_in_a_publication_are_not_negative(field):
    found = json.loads(publication().to_json())
    place = {
        "num_bytes": found["downlinks"], "rows": found["deltas"][0],
        "from_version": found["deltas"][0], "device_bytes": found,
    }[field]  # fmt: skip
    place[field] = -1
    with pytest.raises(CodecError, match="got -1"):
        Publication.from_json(json.dumps(found))
