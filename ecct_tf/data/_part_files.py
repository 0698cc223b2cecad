"""A folder of part files as one table: what Spark writes, partitioned by Hive's rules or not."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote

from ecct_tf.data._raw_table import Cell, RawTable, joined
from ecct_tf.errors import DataError

__all__ = ["read_parts"]

# How Hive and Spark write a missing value into a folder's name.
_MISSING = "__HIVE_DEFAULT_PARTITION__"
_SHOWN = 5


def read_parts(
    folder: Path,
    headers: Sequence[str],
    *,
    suffixes: Sequence[str],
    read: Callable[[Path, Sequence[str]], RawTable],
) -> RawTable:
    """Reads the columns `headers` of all part files below `folder`, in the order of their names.

    Files and folders whose names begin with `_` or `.` are no data (`_SUCCESS`, checksums). A
    folder `key=value` gives the rows below it a column `key`, whatever the files say.

    Args:
      folder: the folder.
      headers: the columns to read.
      suffixes: those that part files may have; files without a suffix are part files too.
      read: reads some columns of one part file, which may be empty.

    Raises:
      DataError: there is no part file, a file is of another kind, or all parts are empty.
    """
    tables = []
    for path in _part_paths(folder, suffixes):
        keys = _keys(folder, path)
        within = [header for header in headers if header not in keys]
        table = read(path, within or headers[:1])
        cells: dict[str, Sequence[Cell]] = {
            header: [keys[header]] * table.num_rows if header in keys else table.columns[header]
            for header in headers
        }
        tables.append(RawTable(path, cells, table.lines, table.types))
    full = [table for table in tables if table.num_rows]
    if not full:
        raise DataError(
            f"{folder}: the {len(tables)} part files have no rows, expected at least one. Export "
            "them anew."
        )
    return joined(folder, full)


def _part_paths(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(("_", ".")))
        found += [Path(place) / name for name in files if not name.startswith(("_", "."))]
    other = [
        str(path.relative_to(folder))
        for path in sorted(found)
        if path.suffix and not path.name.lower().endswith(tuple(suffixes))
    ]
    if other:
        raise DataError(
            f"{folder}: expected part files with a suffix of {', '.join(suffixes)}, received "
            f"{', '.join(other[:_SHOWN])}. Move what is no data elsewhere, or begin its "
            "name with an underscore, which leaves it out."
        )
    if not found:
        raise DataError(
            f"{folder}: the folder holds no part files, expected files with a suffix of "
            f"{', '.join(suffixes)}. Correct the path in the schema, or export the data again."
        )
    return sorted(found)


def _keys(folder: Path, path: Path) -> dict[str, str]:
    """The columns that the names of the folders above `path` give its rows."""
    pairs = [
        part.partition("=")[::2] for part in path.relative_to(folder).parts[:-1] if "=" in part
    ]
    return {unquote(key): "" if value == _MISSING else unquote(value) for key, value in pairs}
