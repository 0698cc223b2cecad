"""Forms of the item table that a user brings: tried, refused, known again."""

import dataclasses
import sys
import types

import numpy as np
import pytest

from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import EncodedRows, TableCodec, build_table_codec, table_origin
from ecct_tf.knowledge.table_files import (
    item_table_file,
    read_item_table_file,
    table_bytes,
    transmit,
)
from ecct_tf.knowledge.table_origin import changed_item_forms, item_form_origins
from ecct_tf.wire import ItemTableFile


@pytest.fixture(scope="module")
def table(table_of):
    return table_of(60)


@pytest.fixture
def own(monkeypatch):
    """A module with forms of one's own, by name."""
    module = types.ModuleType("own_tables")

    def ternary():
        def encode(values):
            return EncodedRows((np.sign(values) + 1).astype(np.uint8))

        def decode(encoded, width):
            assert encoded.rows.shape[1] == width
            return encoded.rows.astype(np.float32) - 1.0

        return TableCodec(encode, decode)

    def drifting():
        return TableCodec(ternary().encode, lambda _, width: np.ones((9, width), np.float32))

    def narrow():
        return TableCodec(
            ternary().encode, lambda encoded, width: ternary().decode(encoded, width)[:, 1:]
        )

    module.ternary, module.drifting, module.narrow = ternary, drifting, narrow
    module.nothing = lambda: None
    module.mixed = lambda: dataclasses.replace(ternary(), kinds={"cloud": build_table_codec("pq2")})
    module.half = lambda: dataclasses.replace(ternary(), kinds={"cloud": narrow()})
    module.mixed.__module__ = module.half.__module__ = "own_tables"
    for function in (ternary, drifting, narrow, module.nothing):
        function.__module__ = "own_tables"
    monkeypatch.setitem(sys.modules, "own_tables", module)
    build_table_codec.cache_clear()
    return module


@pytest.mark.usefixtures("own")
def test_a_form_of_ones_own_crosses(table):
    found = transmit(table, "own_tables:ternary", "int8")
    np.testing.assert_array_equal(found.table.cloud, np.sign(table.cloud))
    assert table_bytes(found.table, "int8") == 60 * (6 + 6 + 3 + 1 + 2 + 2) + 4 * 10
    content = item_table_file(table, "own_tables:ternary").to_bytes()
    assert read_item_table_file(ItemTableFile.from_bytes(content)).form == "own_tables:ternary"


@pytest.mark.usefixtures("own")
def test_a_form_of_ones_own_may_write_a_kind_of_section_otherwise(table):
    found = transmit(table, "own_tables:mixed", "int8").table
    np.testing.assert_array_equal(found.blocks[0].target, np.sign(table.blocks[0].target))
    np.testing.assert_allclose(found.cloud[:, 6:], table.cloud[:, 6:], rtol=1e-3)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_tables:nothing", "return an ecct_tf.knowledge.TableCodec, got NoneType"),
        ("own_tables:drifting", "encode to the same bytes again"),
        ("own_tables:half", r"expected decoded rows \[9, 5\] float32"),
        ("own_tables:narrow", r"expected decoded rows \[9, 5\] float32"),
        ("own_tables:missing", "function missing in the module own_tables"),
        ("int3", "did you mean int"),
        ("int8", "use build_codec"),
    ],
)
def test_what_is_no_form_is_refused(name, words):
    with pytest.raises(ConfigError, match=words):
        build_table_codec(name)


def test_only_forms_of_ones_own_are_recorded(monkeypatch):
    origin = {"target": "own_tables:form", "version": None, "source_sha256": "1" * 64}
    source = {"own_tables:form": origin}
    monkeypatch.setattr(table_origin, "origin_of", lambda target, **_: source[target])
    for form in (None, "auto", "pq4"):
        assert item_form_origins(form) == {}
    assert item_form_origins("own_tables:form") == source
    assert changed_item_forms("own_tables:form", source) == []
    other = {"own_tables:form": {**origin, "source_sha256": "0" * 64}}
    assert len(changed_item_forms("own_tables:form", other)) == 1
