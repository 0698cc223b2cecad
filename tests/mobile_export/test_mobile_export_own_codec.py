"""Custom codecs on devices: named by the device, compared with the file, encoded outside of it."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from ecct_tf.errors import CodecError, DeviceError
from ecct_tf.wire import DownlinkFile
from ecct_tf.wire.row_codec import decoded_rows, encoded_rows
from mobile_export.contract.signatures import Sizes, custom_codec_name, graph_codec, signatures
from mobile_export.contract.wire import pack_uplink, unpack_uplink
from mobile_export.device import ReceivedDownlink
from mobile_export.device.received import check_codec

EXAMPLES = Path(__file__).parents[2] / "examples" / "own_codecs"
INT4 = "own_codecs.four_bits:int4"
GROUPS = "own_codecs.four_bits:int4_groups"
NOWHERE = "no_such_package.codecs:int4"


@pytest.fixture(autouse=True)
def _example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)


def sizes(codec):
    return Sizes(
        history_length=4,
        profile_columns=1,
        cloud_dim=5,
        embedding_dim=3,
        num_queries=2,
        codec=graph_codec(codec),
        custom_codec=custom_codec_name(codec),
        with_logits=True,
        with_noise=False,
        weights=10,
        state=11,
    )


def file(codec):
    return types.SimpleNamespace(name="edge.tflite", sizes=sizes(codec))


@pytest.mark.parametrize(
    ("of_file", "told", "message"),
    [
        (INT4, None, f"exchange.codec={INT4}, a custom codec; if this device has the package"),
        (INT4, GROUPS, f"expected a file of exchange.codec={GROUPS}.* got one of {INT4}"),
        (INT4, "int8", f"expected a file of exchange.codec=int8.* got one of {INT4}"),
        ("int8", INT4, f"expected a file of exchange.codec={INT4}.* got one of int8"),
        (NOWHERE, INT4, f"expected a file of exchange.codec={INT4}.* got one of {NOWHERE}"),
    ],
)
def test_a_file_of_another_codec_is_refused_and_both_are_named(of_file, told, message):
    with pytest.raises(DeviceError, match=message):
        check_codec(file(of_file), told)
    assert "no_such_package" not in sys.modules


def test_the_same_name_is_taken():
    for codec, told in ((INT4, INT4), ("int8", "int8"), ("float16", None)):
        check_codec(file(codec), told)


def test_signatures_take_and_give_numbers():
    found = signatures(sizes(INT4), trainable=True)
    ports = {port.name: port.dtype for port in found["uplink"].outputs}
    assert ports == {"items": "int32", "embeddings": "float32", "logits": "float32"}
    taken = {port.name: port.dtype for port in found["score"].inputs}
    assert taken["user_embedding"] == "float32"


def test_the_device_encodes_what_the_file_gives():
    given = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    answer = {"items": np.array([3, 1]), "embeddings": given, "logits": given[:, 0].copy()}
    payload = pack_uplink(7, answer, sizes(INT4))
    assert len(payload) == 4 + 8 + 2 * (2 + 2) + (2 + 1)
    (rows,) = unpack_uplink(payload, sizes(INT4)).embeddings
    np.testing.assert_array_equal(rows, encoded_rows(INT4, given))


def test_the_device_decodes_its_downlink_by_its_own_name():
    known = np.random.default_rng(1).standard_normal((1, 5)).astype(np.float32)
    published = DownlinkFile.build(
        keys_are="users",
        cloud_version=2,
        round_number=3,
        table_sha256="0" * 64,
        codec=INT4,
        keys=np.array([7], np.int32),
        embeddings=(encoded_rows(INT4, known),),
        queries=np.array([[1, 2]], np.int32),
        cloud_dim=5,
    )
    received = DownlinkFile.from_bytes(published.to_bytes())
    found = ReceivedDownlink.read(received, 7, codec=INT4)
    expected = decoded_rows(INT4, encoded_rows(INT4, known), 5)[0]
    np.testing.assert_array_equal(found.user_embedding, expected)
    assert found.user_embedding.dtype == np.float32
    with pytest.raises(CodecError, match="which this reader was not told"):
        ReceivedDownlink.read(received, 7)
    with pytest.raises(CodecError, match=f"expected codec {GROUPS}"):
        ReceivedDownlink.read(received, 7, codec=GROUPS)
