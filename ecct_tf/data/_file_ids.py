"""From the texts of a file to ids in one form: each row checked, and none taken for another."""

from __future__ import annotations

from collections.abc import Sequence

from ecct_tf.data._cells import distinct_texts
from ecct_tf.data._ids import IdNotes, canonical_ids, line_break_in, refuse_look_alikes
from ecct_tf.data._raw_table import RawTable, column_texts, refuse_rows, refuse_texts
from ecct_tf.errors import DataError

__all__ = ["check_known_ids", "read_ids", "read_unique_ids"]

# A float of 64 bits keeps whole numbers of so many digits.
_EXACT_DIGITS = 15
# What exports write for a missing id; as an id it would join strangers into one.
_NO_ID = frozenset({"", "nan", "null", "none", "<na>"})


def read_ids(table: RawTable, header: str) -> tuple[Sequence[str], IdNotes]:
    """The column `header` as ids in one form, and what was changed for it.

    Raises:
      DataError: a value is no id: missing, a number that is not whole, a time, or a text with a
        line break; or two ids look alike.
    """
    texts, notes = canonical_ids(column_texts(table, header))
    kind = table.types.get(header)
    if kind is not None and not notes.floats:
        raise DataError(
            f"{table.path}: column {header!r}: expected ids as text or whole numbers, received "
            f"{kind} (such as {table.columns[header][0]!r}). Save the column as text."
        )
    distinct = distinct_texts(texts)
    absent = {text for text in distinct if text.lower() in _NO_ID}
    refuse_texts(
        table,
        header,
        texts,
        absent,
        expected="an id",
        way_out="Give the rows an id, or take them out of the file.",
    )
    refuse_texts(
        table,
        header,
        texts,
        {text for text in distinct if line_break_in(text)},
        expected="an id without line breaks and control characters",
        way_out="Replace them in the file, since exported files have an id a line.",
    )
    if notes.floats:
        refuse_texts(
            table,
            header,
            texts,
            {text for text in distinct if len(text) > _EXACT_DIGITS},
            expected=f"a whole number of at most {_EXACT_DIGITS} digits, of which a "
            "floating-point number keeps every one",
            way_out="Save the column as text.",
        )
    refuse_look_alikes(f"{table.path}: column {header!r}", list(distinct))
    return texts, notes


def read_unique_ids(table: RawTable, header: str) -> tuple[list[str], IdNotes]:
    """As `read_ids`, and each occurs once."""
    found, notes = read_ids(table, header)
    values = list(found)
    first = {value: row for row, value in reversed(list(enumerate(values)))}
    wrong = [row for row, value in enumerate(values) if first[value] != row]
    refuse_rows(
        table,
        header,
        wrong,
        expected="each id once",
        way_out="Keep one row an id.",
        notes=[f" (first on {table.place(first[values[row]])})" for row in wrong[:5]],
    )
    return values, notes


def check_known_ids(
    table: RawTable,
    header: str,
    values: Sequence[str],
    *,
    known: Sequence[str],
    source: str,
    required: bool,
) -> None:
    """Refuses ids of the column `header` that another file must know and does not.

    Args:
      table: the interactions.
      header: the column of ids.
      values: its ids.
      known: the ids of the other file.
      source: the other file.
      required: whether each id must be known; otherwise one must be.

    Raises:
      DataError: names the first rows.
    """
    distinct = set(distinct_texts(values))
    strangers = distinct - set(known)
    if strangers and required:
        refuse_rows(
            table,
            header,
            [row for row, value in enumerate(values) if value in strangers],
            expected=f"an id of {source} (required: true)",
            way_out=f"Add the ids to {source}, take the rows out, or leave required out of the "
            "schema to have their columns unknown.",
        )
    if strangers == distinct:
        some = ", ".join(map(repr, known[:3]))
        raise DataError(
            f"{table.path}: column {header!r}: expected ids of {source}, such as {some}, received "
            f"{len(distinct):,} other ids and none of these, the first {values[0]!r} on "
            f"{table.place(0)}. Correct the headers or the ids of one file, or leave {source} out "
            "of the schema."
        )
