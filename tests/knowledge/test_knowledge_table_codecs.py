"""Forms of the item table beyond the codecs: by hand, exact again, and forms of one's own."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.errors import CodecError, ConfigError
from ecct_tf.knowledge import (
    Block,
    EncodedRows,
    build_table_codec,
)
from ecct_tf.knowledge.product_codes import codebooks
from ecct_tf.knowledge.table_arrays import item_table, item_table_arrays
from ecct_tf.knowledge.table_codecs import pack_int4, unpack_int4
from ecct_tf.knowledge.table_files import (
    item_table_file,
    read_item_table_file,
    table_bytes,
    transmit,
)
from ecct_tf.wire import ItemTableFile, Section, apply_item_delta, delta_rows, item_delta
from ecct_tf.wire.compressed import compressed

FORMS = ("int4", "compact", "pq2", "pq4", "pq8", "fine", "lean")


def normal(items, width):
    """Rows of a standard normal, the padding row zero."""
    values = np.random.default_rng(0).standard_normal((items + 1, width)).astype(np.float32)
    values[0] = 0.0
    return values


@pytest.fixture(scope="module")
def table(table_of):
    return table_of(60)


@pytest.fixture(scope="module")
def crossed(table):
    """What devices make of the table and its bytes, by form."""
    return {form: transmit(table, form, "int8") for form in FORMS}


def test_int4_by_hand():
    values = np.array([[0, 0, 0], [7, -3.4, 1.6]], np.float32)
    encoded = build_table_codec("int4").encode(values)
    # 7 and 2 share a byte, -3 has one to itself; the scale is 1.
    assert encoded.rows[1].tolist() == [16 * 2 + 7 + 8, 256 - 3 + 8 - 256, 0x00, 0x3C]
    decoded = build_table_codec("int4").decode(encoded, 3)
    np.testing.assert_array_equal(decoded, [[0, 0, 0], [7, -3, 2]])


def test_compact_values_by_hand():
    values = np.array([[0, 0, 0], [14, -2, 5], [0.75, -0.25, 0.5]], np.float32)
    encoded = build_table_codec("compact").encode(values)
    # Scales of 2 and, nearest to 0.75 / 7, of 0.109375 = 1.75 / 16: exponent 11, mantissa 6 of 8.
    assert encoded.rows[:, 2].tolist() == [8, 128, 94]
    assert encoded.shared == b"\0"
    decoded = build_table_codec("compact").decode(encoded, 3)
    np.testing.assert_array_equal(decoded, [[0, 0, 0], [14, -2, 4], [0.765625, -0.21875, 0.546875]])


def test_compact_categories_are_bits_or_a_list_and_equal_int4():
    marks = np.zeros((4, 40), np.float32)
    marks[1, 3] = 1.0
    marks[2, [0, 39]] = 0.5**0.5
    compact, int4 = build_table_codec("compact"), build_table_codec("int4")
    listed = compact.encode(marks)
    assert listed.shared == b"\2"
    assert listed.rows[:, :2].tolist() == [[0, 0], [4, 0], [1, 40], [0, 0]]
    marks[3, :6] = 6**-0.5
    bits = compact.encode(marks)
    assert bits.shared == b"\1"
    assert bits.rows[:, :5].tolist() == [
        [0, 0, 0, 0, 0], [8, 0, 0, 0, 0], [1, 0, 0, 0, 128], [63, 0, 0, 0, 0]
    ]  # fmt: skip
    np.testing.assert_array_equal(compact.decode(bits, 40), int4.decode(int4.encode(marks), 40))
    np.testing.assert_allclose(compact.decode(bits, 40), marks, rtol=1e-3)
    wide = compact.encode(np.eye(400, dtype=np.float32))
    assert wide.shared == b"\3"
    assert wide.rows.shape == (400, 4)
    np.testing.assert_array_equal(compact.decode(wide, 400) > 0, np.eye(400) > 0)


@pytest.mark.parametrize("seed", range(20))
def test_compact_rows_of_any_size_encode_to_the_same_bytes_again(seed):
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 300))
    values = rng.standard_normal((9, width)) * 10.0 ** rng.integers(-7, 7, (9, 1))
    values *= rng.random((9, width)) < rng.random()
    codec = build_table_codec("compact")
    encoded = codec.encode(values.astype(np.float32))
    again = codec.encode(codec.decode(encoded, width))
    np.testing.assert_array_equal(again.rows, encoded.rows)
    assert again.shared == encoded.shared


@pytest.mark.parametrize(
    ("rows", "shared", "message"),
    [
        (np.zeros((2, 3), np.uint8), b"", "a kind from 0 to 3, got none"),
        (np.zeros((2, 3), np.uint8), b"\4", "a kind from 0 to 3, got 04"),
        (np.zeros((2, 3), np.uint8), b"\0", "rows of 4 bytes for 6 values, got 3"),
        (np.full((2, 4), 255, np.uint8), b"\0", "finite scales"),
        (np.full((2, 3), 255, np.uint8), b"\1", "finite scales"),
        (np.full((2, 3), 60, np.uint8), b"\2", "columns up to 6, got 60"),
        (np.zeros((2, 3), np.uint8), b"\3", "columns of 2 bytes and a scale, got 3 bytes"),
        (np.zeros((2, 1), np.uint8), b"\2", "columns of 1 bytes and a scale, got 1 bytes"),
    ],
)
def test_altered_compact_rows_are_refused(rows, shared, message):
    with pytest.raises(CodecError, match=message):
        build_table_codec("compact").decode(EncodedRows(rows, shared), 6)


def test_all_pairs_of_int4_values_come_back():
    pairs = np.stack(np.meshgrid(np.arange(-7, 8), np.arange(-7, 8)), axis=-1).reshape(-1, 2)
    packed = pack_int4(pairs.astype(np.int8))
    assert packed.shape == (225, 1)
    np.testing.assert_array_equal(unpack_int4(packed, 2), pairs)


def test_product_codes_by_hand():
    # Two groups of two columns; few different values, which are the codebooks as rows use them.
    values = np.array([[0, 0, 0], [1, 2, 5], [0, 0, 6], [1, 2, 5]], np.float32)
    encoded = build_table_codec("pq2").encode(values)
    assert encoded.rows.tolist() == [[0, 0], [1, 1], [0, 2], [1, 1]]
    assert codebooks(encoded).tolist() == [[[0, 0], [1, 2], [0, 0]], [[0, 0], [5, 0], [6, 0]]]
    assert encoded.shared[:4] == bytes([2, 0, 3, 0])
    np.testing.assert_array_equal(build_table_codec("pq2").decode(encoded, 3), values)


def test_product_codes_are_nearest_entries_and_the_padding_row_stays_zero():
    values = normal(400, 4)
    encoded = build_table_codec("pq4").encode(values)
    book = codebooks(encoded)[0].astype(np.float64)
    distances = ((values[1:, None] - book) ** 2).sum(-1)
    chosen = np.take_along_axis(distances, encoded.rows[1:].astype(int), axis=1)[:, 0]
    np.testing.assert_allclose(chosen, distances.min(axis=1), rtol=1e-4, atol=1e-6)
    decoded = build_table_codec("pq4").decode(encoded, 4)
    assert not decoded[0].any()
    # What was decoded is written as it was.
    again = build_table_codec("pq4").encode(decoded)
    assert (again.rows.tobytes(), again.shared) == (encoded.rows.tobytes(), encoded.shared)
    # Of unit variance, with some 1.6 rows an entry: far better than no code at all.
    assert chosen.mean() / (values[1:] ** 2).sum(axis=1).mean() < 0.1


@pytest.mark.parametrize("form", FORMS)
def test_what_devices_read_is_published_as_it_was(form, table, crossed):
    content = item_table_file(table, form).to_bytes()
    file = ItemTableFile.from_bytes(content)
    assert file.codec == form
    read, expected = read_item_table_file(file), crossed[form].table
    for name, array in item_table_arrays(read).items():
        np.testing.assert_array_equal(array, item_table_arrays(expected)[name], err_msg=name)
    assert item_table_file(read, form).to_bytes() == content
    assert crossed[form].num_bytes == len(compressed(content))
    # What is accounted for without compression, beside the padding row, names and digest.
    shared = sum(len(section.shared) for section in file.sections)
    assert table_bytes(read, "int8") == 60 * file.rows.dtype.itemsize + shared + 4 * 10


def test_bytes_of_a_row_by_hand(table):
    # next source and target, category, attributes, own columns of the cloud, and the bias: the
    # six columns that the cloud has of the target are not written again.
    sizes = {"int4": (5, 5, 4, 3, 3), "pq2": (3, 3, 2, 1, 1), "pq8": (1, 1, 1, 1, 1)}
    sizes |= {"lean": (1, 2, 1, 1, 1), "fine": (2, 2, 1, 1, 1)}
    for form, parts in sizes.items():
        file = item_table_file(table, form)
        assert file.rows.dtype.itemsize == sum(parts) + 2
    assert [each.kind for each in file.sections][-2:] == ["copy", "cloud"]


def test_a_smaller_form_has_fewer_bytes(table):
    rows = {form: item_table_file(table, form).rows.dtype.itemsize for form in FORMS}
    assert rows["int4"] > rows["pq2"] > rows["pq4"] >= rows["lean"] >= rows["pq8"]


def test_lean_codes_are_longer_where_errors_cancel_out_or_nothing_is_lost():
    codec, values = build_table_codec("lean"), normal(400, 24)
    assert codec.of("source").encode(values).rows.shape == (401, 3)
    assert codec.of("target").encode(values).rows.shape == (401, 6)
    assert codec.of("cloud").encode(values).rows.shape == (401, 3)
    # 200 different rows of 24 categories are one entry each, and nothing is lost.
    genres = np.repeat(normal(200, 24) > 1.0, 2, axis=0)[1:].astype(np.float32)
    encoded = codec.of("both").encode(genres)
    assert encoded.rows.shape == (401, 1)
    np.testing.assert_array_equal(codec.of("both").decode(encoded, 24), genres)
    # 400 different ones are two halves of which each has fewer.
    genres = np.concatenate([genres[:, :12], np.roll(genres[:, 12:], 1, axis=0)], axis=1)
    encoded = codec.of("both").encode(genres)
    assert encoded.rows.shape == (401, 2)
    np.testing.assert_array_equal(codec.of("both").decode(encoded, 24), genres)


def test_fine_codes_have_three_values_where_no_more_are_exact():
    codec, values = build_table_codec("fine"), normal(400, 24)
    for kind in ("source", "target", "both", "cloud"):
        assert codec.of(kind).encode(values).rows.shape == (401, 8)
    genres = np.repeat(normal(200, 24) > 1.0, 2, axis=0)[1:].astype(np.float32)
    assert codec.of("both").encode(genres).rows.shape == (401, 1)
    assert codec.of("source").encode(genres).rows.shape == (401, 8)


def test_lean_codes_that_lose_something_are_written_again_as_they_were():
    codec = build_table_codec("lean").of("both")
    # Once four columns have 256 values, so have all eight: devices would write one byte.
    values = np.concatenate([normal(400, 4), np.ones((401, 4), np.float32)], axis=1)
    values[0] = 0.0
    encoded = codec.encode(values)
    again = codec.encode(codec.decode(encoded, 8))
    assert (again.rows.tobytes(), again.shared) == (encoded.rows.tobytes(), encoded.shared)
    assert encoded.rows.shape == (401, 1)


def test_the_cloud_reads_its_copied_columns_from_the_block(crossed):
    found = crossed["int4"].table
    np.testing.assert_array_equal(found.cloud[:, :6], found.blocks[0].target)
    assert [(width, block and block.name) for width, block in found.cloud_copies] == [
        (6, "next"),
        (2, None),
    ]


def test_blocks_of_one_name_are_not_copied(table):
    alike = dataclasses.replace(table, blocks=(*table.blocks, table.blocks[0]))
    assert alike.cloud_copies == ((8, None),)


def test_a_codebook_that_is_fitted_stays_as_items_are_appended():
    # 401 and 410 rows lie in one step of the length that codebooks are fitted on.
    values = normal(410, 2)
    grown, before = (build_table_codec("pq2").encode(each) for each in (values, values[:402]))
    np.testing.assert_array_equal(grown.rows[:402], before.rows)
    used = int(before.rows.max()) + 1
    np.testing.assert_array_equal(codebooks(grown)[:, :used], codebooks(before))


@pytest.mark.parametrize("form", FORMS)
def test_appended_items_leave_the_others_as_they_were(form, table_of):
    grown = table_of(60)
    old = dataclasses.replace(
        grown,
        blocks=tuple(
            Block(block.name, source := block.source[:51], source)
            if block.is_symmetric
            else Block(block.name, block.source[:51], block.target[:51])
            for block in grown.blocks
        ),
        **{name: getattr(grown, name)[:51] for name in ("attributes", "cloud", "bias")},
    )
    before, after = (item_table_file(each, form).to_bytes() for each in (old, grown))
    delta = item_delta(before, after)
    assert delta_rows(delta) == 10
    assert apply_item_delta(before, delta) == after


def test_another_form_has_no_delta(table):
    files = [item_table_file(table, form).to_bytes() for form in ("int4", "pq4", "int8")]
    assert item_delta(files[0], files[1]) is None
    assert item_delta(files[2], files[0]) is None


def test_the_form_goes_with_the_table(table, crossed):
    assert item_table(item_table_arrays(crossed["pq4"].table)).form == "pq4"
    assert transmit(table, None, "int8").table.form == ""
    assert "form" not in item_table_arrays(transmit(table, None, "int8").table)
    other = transmit(table, "float16", "int8", whole=False)
    assert (other.table.form, other.num_bytes) == ("float16", table.encoded_bytes("float16"))
    assert table_bytes(other.table, "int8") == other.num_bytes
    whole = transmit(table, "float16", "int8")
    assert whole.num_bytes == len(compressed(item_table_file(table, "float16").to_bytes()))


def test_damaged_codes_and_books_are_refused(table):
    file = item_table_file(table, "pq4")
    short = dataclasses.replace(file.sections[0], shared=file.sections[0].shared[:-2])
    with pytest.raises(CodecError, match="expected codebooks of 2 groups"):
        read_item_table_file(dataclasses.replace(file, sections=(short, *file.sections[1:])))
    few = EncodedRows(np.full((2, 1), 7, np.uint8), bytes([4, 0, 1, 0]) + bytes(8))
    with pytest.raises(CodecError, match="product codes below 1, got 7"):
        build_table_codec("pq4").decode(few, 4)
    with pytest.raises(CodecError, match="int4 rows of 5 bytes for 6 values, got 4"):
        build_table_codec("int4").decode(EncodedRows(np.zeros((1, 4), np.uint8)), 6)
    copied = dataclasses.replace(file.sections[-2], name="nothing")
    with pytest.raises(CodecError, match="expected a block 'nothing'"):
        read_item_table_file(
            dataclasses.replace(file, sections=(*file.sections[:-2], copied, file.sections[-1]))
        )


def test_a_file_of_bytes_that_are_no_table_is_refused(table):
    file = item_table_file(table, "int4")
    renamed = dataclasses.replace(file, codec="no_such_form")
    with pytest.raises(ConfigError, match="expected a form of the item table out of auto, float32"):
        read_item_table_file(ItemTableFile.from_bytes(renamed.to_bytes()))
    with pytest.raises(CodecError, match="got the form 'int4'"):
        file.decoded(0)
    with pytest.raises(CodecError, match="row_bytes"):
        Section("cloud", "", 4, row_bytes=-1)
