import dataclasses

import numpy as np
import pytest

from ecct_tf.errors import DataError
from ecct_tf.knowledge import Block, ItemTable
from ecct_tf.knowledge.table_arrays import item_table, item_table_arrays


def normal(*shape):
    return np.random.default_rng([*shape]).standard_normal(shape).astype(np.float32)


SYMMETRIC = normal(5, 3)
TABLE = ItemTable(
    blocks=(
        Block("alike", SYMMETRIC, SYMMETRIC),
        Block("next", normal(5, 2), normal(5, 2) + 1),
    ),
    attributes=normal(5, 1),
    cloud=normal(5, 6),
    bias=normal(5),
    feature_mean=normal(7),
    feature_scale=normal(7),
    logit_mean=0.25,
    logit_scale=2.0,
)


def test_num_items_does_not_count_padding():
    assert TABLE.num_items == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attributes": normal(4, 1)}, "attributes has 4 rows, cloud has 5"),
        ({"bias": normal(6)}, "bias has 6 rows"),
        ({"blocks": (Block("short", normal(3, 2), normal(3, 2)),)}, "block 'short' has 3 rows"),
        ({"cloud": np.full((5, 6), np.nan, np.float32)}, "cloud holds NaN or infinite"),
        ({"bias": np.full(5, np.inf, np.float32)}, "bias holds NaN or infinite"),
        (
            {"blocks": (Block("b", normal(5, 2), np.full((5, 2), np.nan, np.float32)),)},
            r"block 'b' \(target\) holds NaN",
        ),
        ({"feature_mean": np.full(7, np.nan, np.float32)}, "feature_mean holds NaN"),
        ({"feature_scale": normal(6)}, r"one shape \[F\], got \(7,\) and \(6,\)"),
        ({"logit_scale": float("inf")}, "logit_mean and logit_scale holds NaN or infinite"),
    ],
)
def test_refuses(change, message):
    with pytest.raises(DataError, match=message):
        dataclasses.replace(TABLE, **change)


def test_block_refuses_unlike_sides():
    with pytest.raises(DataError, match=r"'odd'.*\(5, 2\) and \(5, 3\)"):
        Block("odd", normal(5, 2), normal(5, 3))
    with pytest.raises(DataError, match="'flat'"):
        Block("flat", normal(5), normal(5))


def test_symmetry_is_one_array_not_equal_values():
    assert TABLE.blocks[0].is_symmetric
    assert not Block("copy", SYMMETRIC, SYMMETRIC.copy()).is_symmetric


def arrays(table):
    return [
        *(side for block in table.blocks for side in (block.source, block.target)),
        table.attributes,
        table.cloud,
    ]


@pytest.mark.parametrize("codec", ["float32", "float16", "int8"])
def test_transmitted(codec):
    crossed = TABLE.transmitted(codec)
    for sent, got in zip(arrays(TABLE), arrays(crossed), strict=True):
        peak = np.abs(sent).max(axis=-1, keepdims=True)
        bound = {"float32": 0.0, "float16": peak * 2.0**-11, "int8": peak / 127 * 0.51}[codec]
        assert got.dtype == np.float32
        assert (np.abs(got - sent) <= bound + 1e-7).all()
        assert (codec == "float32") == np.array_equal(got, sent)
    np.testing.assert_array_equal(crossed.bias, TABLE.bias.astype(np.float16))
    # What standardises the inputs crosses unchanged, and a symmetric block stays one array.
    np.testing.assert_array_equal(crossed.feature_mean, TABLE.feature_mean)
    assert (crossed.logit_mean, crossed.logit_scale) == (0.25, 2.0)
    assert [block.is_symmetric for block in crossed.blocks] == [True, False]
    assert [block.name for block in crossed.blocks] == ["alike", "next"]


@pytest.mark.parametrize(
    ("codec", "table"),
    # Columns: 3 once for the symmetric block, 2 + 2, 1, 6 = 14 in 5 arrays.
    [("float32", 4 * 14 * 4), ("float16", 4 * 14 * 2), ("int8", 4 * (14 + 5 * 2))],
)
def test_encoded_bytes_by_hand(codec, table):
    moments, bias = 4 * (7 + 7 + 2), 4 * 2
    assert TABLE.encoded_bytes(codec) == table + moments + bias


def test_a_symmetric_block_crosses_once():
    twice = dataclasses.replace(
        TABLE, blocks=(Block("alike", SYMMETRIC, SYMMETRIC.copy()), TABLE.blocks[1])
    )
    assert twice.encoded_bytes("float32") - TABLE.encoded_bytes("float32") == 4 * 3 * 4


def test_arrays_bring_the_table_back():
    arrays = item_table_arrays(TABLE)
    assert "block/0/target" not in arrays
    found = item_table(arrays)
    assert [block.name for block in found.blocks] == ["alike", "next"]
    assert [block.is_symmetric for block in found.blocks] == [True, False]
    assert (found.logit_mean, found.logit_scale) == (0.25, 2.0)
    for name, array in item_table_arrays(found).items():
        np.testing.assert_array_equal(array, arrays[name])
