"""Vocabularies in exported files: a value a line, and only a line feed ends a line."""

import pytest

from ecct_tf.errors import ExportError
from mobile_export.flatbuffer.packing import vocabulary_rows, vocabulary_text


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", " "])
def test_every_other_separator_may_be_part_of_a_value(mark):
    values = [f"a{mark}b", mark, "c"]
    assert vocabulary_rows(vocabulary_text("<padding>", values)) == ["<padding>", *values]


def test_an_empty_vocabulary_has_its_first_row():
    assert vocabulary_rows(vocabulary_text("<unknown>", [])) == ["<unknown>"]


@pytest.mark.parametrize("mark", ["\n", "\r", "\r\n"])
def test_a_line_break_is_refused_with_the_value(mark):
    with pytest.raises(ExportError) as caught:
        vocabulary_text("<padding>", ["a", f"b{mark}c"])
    assert repr(f"b{mark}c") in str(caught.value)
