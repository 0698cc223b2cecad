"""What the columns of a table are, told from their names, types and sizes."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ecct_tf.data._parquet_files import holds_values, is_list
from ecct_tf.data.files_schema import TimestampUnit
from ecct_tf.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["infer_columns", "infer_header", "infer_headers", "infer_unit"]

_log = logging.getLogger(__name__)

# Letters alone, small: `User_ID` and `userId` are one.
_NAMES = {
    "user": (
        *("user", "userid", "uid", "customer", "customerid", "member", "memberid"),
        *("visitor", "visitorid", "household", "householdid", "account", "accountid"),
    ),
    "item": (
        *("item", "itemid", "iid", "movie", "movieid", "film", "filmid", "product", "productid"),
        *("sku", "article", "articleid", "book", "bookid", "track", "trackid", "song", "songid"),
    ),
    "timestamp": ("timestamp", "time", "ts", "datetime", "date", "unixtime", "when", "at"),
}
_TITLES = ("title", "name")
_MOST_VALUES = 100
# In seconds the year 5138, in milliseconds 1973: numbers above are milliseconds.
_FIRST_MILLISECONDS = 100_000_000_000


def infer_headers(table: pa.Table, keys: Sequence[str], *, section: str) -> dict[str, str]:
    """The headers of the columns that hold `keys`, by key.

    Raises:
      DataError: a key has no column of such a name, or several; one error for all keys.
    """
    found, missing = dict[str, str](), dict[str, DataError]()
    for key in keys:
        try:
            found[key] = infer_header(table, key, section=section)
        except DataError as error:
            missing[key] = error
    if len(missing) > 1:
        where = ", ".join(f"{key!r}: ..." for key in missing)
        raise DataError(
            f"{section}: expected one column each whose name says that it holds the "
            f"{' and the '.join(missing)}; there are "
            f"{', '.join(map(str, table.column_names))}. Rename them, or name them in the "
            f"schema: {{{section!r}: {{{where}}}}}."
        )
    for refusal in missing.values():
        raise refusal
    return found


def infer_header(table: pa.Table, what: str, *, section: str) -> str:
    """The column of `table` with the ids or times of `what`: `user`, `item` or `timestamp`.

    Raises:
      DataError: no column has a name that says so, or several have.
    """
    names = list(map(str, table.column_names))
    found = [name for name in names if _letters(name) in _NAMES[what]]
    # One that is called as in a schema file needs no guess.
    if what in names:
        found = [what]
    if len(found) == 1:
        return found[0]
    state = "none has" if not found else f"{' and '.join(map(repr, found))} have"
    key = "id" if section != "interactions" else what
    raise DataError(
        f"{section}: expected one column whose name says that it holds the {what}, such as "
        f"{what!r}; of {', '.join(names)} {state} one. Rename it, or name it in the schema: "
        f"{{{section!r}: {{{key!r}: ...}}}}."
    )


def infer_unit(table: pa.Table, header: str) -> TimestampUnit:
    """The unit of the times in the column `header`, where there is one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if header not in table.column_names:
        return "s"
    column = table[header]
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return "iso8601"
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        largest = pc.max(column).as_py()
        return _unit_of(0 if largest is None else largest)
    first = next((str(value) for value in column.to_pylist() if value is not None), "")
    number = re.fullmatch(r"[0-9]*(\.[0-9]*)?", first)
    return _unit_of(int(first.partition(".")[0] or 0)) if number else "iso8601"


def _unit_of(number: float) -> TimestampUnit:
    units: tuple[TimestampUnit, ...] = ("ms", "us", "ns")
    fitting = [
        unit for place, unit in enumerate(units) if number >= _FIRST_MILLISECONDS * 1000**place
    ]
    return fitting[-1] if fitting else "s"


def infer_columns(
    table: pa.Table, what: str, *, ids: str
) -> tuple[dict[str, dict[str, str]], str | None]:
    """The feature columns of a table of users or items, and the column of titles.

    Args:
      table: the table.
      what: `user` or `item`.
      ids: its column of ids.

    Returns:
      Column specifications by name, as a schema has them, and the title's header or None.
    """
    names = [str(name) for name in table.column_names if str(name) != ids]
    title = None
    if what == "item":
        titles = (
            name
            for wanted in _TITLES
            for name in names
            if name.lower() == wanted and _is_single(table[name].type)
        )
        title = next(titles, None)
    columns: dict[str, dict[str, str]] = {}
    for name in names:
        if name == title:
            continue
        kind, why_not = _kind(table[name], what)
        if name in ("user", "item"):
            kind, why_not = None, "is called as the ids are"
        if kind is None:
            _log.warning(
                "%ss: the column %r %s and is left out; a schema says what it is",
                what,
                name,
                why_not,
            )
        else:
            columns[name] = {"kind": kind}
    return columns, title


def _kind(column: Any, what: str) -> tuple[str | None, str]:
    """The kind of a feature column, or None and why it is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if not holds_values(kind):
        return None, f"holds {kind}, neither texts nor numbers nor times,"
    if pc.all(pc.is_null(column, nan_is_null=True)).as_py():
        return None, "has no values"
    if is_list(kind):
        # Fractions are no names of categories: as many in each row are an embedding.
        fractions = pa.types.is_floating(kind.value_type)
        if fractions and what == "user":
            return None, "holds lists of fractions, which devices do not read,"
        if fractions and pc.count_distinct(pc.list_value_length(column)).as_py() == 1:
            return "vector", ""
        if what == "user":
            several = pc.count_distinct(pc.list_flatten(column)).as_py()
            if several > _MOST_VALUES:
                return None, f"holds lists of {several:,} different values, above {_MOST_VALUES},"
        return "multi_categorical", ""
    if what == "item" and _is_number(kind):
        return "numeric", ""
    # Arrow counts no values behind a dictionary, which pandas' categories are.
    plain = column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column
    values = pc.count_distinct(plain).as_py()
    if values > _MOST_VALUES:
        if _is_number(kind):
            return "numeric", ""
        return None, f"has {values:,} different values, above {_MOST_VALUES} for a category,"
    return "categorical", ""


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _is_single(kind: Any) -> bool:
    """Whether a column holds one text, number or time a row."""
    return holds_values(kind) and not is_list(kind)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())
