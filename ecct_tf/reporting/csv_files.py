"""CSV files of a run folder, read with errors that name the file, the row and the column."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecct_tf.errors import RunFolderError

__all__ = ["printable", "read_table"]


def read_table(
    file: Path,
    *,
    required: Sequence[str],
    optional: Sequence[str],
    text: Sequence[str] = (),
) -> pd.DataFrame:
    """Reads a table and checks it.

    Args:
      file: a CSV file with a header.
      required: columns of finite numbers, without gaps.
      optional: columns of numbers that may be missing or have gaps (NaN then).
      text: columns of text that must be there.

    Returns:
      The columns named, in the order of `text`, `required`, `optional`; those of `optional`
      that the file lacks are all NaN.

    Raises:
      RunFolderError: the file is unreadable, lacks a column or has a bad cell.
    """
    try:
        raw = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError as error:
        raise RunFolderError(f"{file} is missing; copy the whole run folder") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise RunFolderError(
            f"{file} is not a readable table, it was damaged: {error}. Copy the run folder again, "
            "or repeat the run"
        ) from error
    missing = [name for name in (*text, *required) if name not in raw.columns]
    if missing:
        raise RunFolderError(
            f"{file} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)} "
            f"(it has {', '.join(map(str, raw.columns))}): another version of ECCT-TF wrote it. "
            f"Repeat the run: `ecct simulate --config {file.parent}/config.yaml --out NEW-FOLDER`"
        )
    columns = {name: raw[name].map(printable) for name in text}
    for name in required:
        columns[name] = _numbers(raw[name], file, gaps=False)
    for name in optional:
        columns[name] = _numbers(raw[name], file, gaps=True) if name in raw else np.nan
    return pd.DataFrame(columns, index=raw.index)


def printable(text: str) -> str:
    r"""Without control characters, which neither a terminal nor an SVG should get.

    >>> printable("a\x1bb")
    'a�b'
    """
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _numbers(column: pd.Series, file: Path, *, gaps: bool) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = ~np.isfinite(numbers)
    if gaps:
        wrong &= column.str.strip() != ""
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise RunFolderError(
            # The header is line 1 of the file.
            f"{file}, line {row + 2}, column {column.name}: expected a number, "
            f"got {column.iloc[row]!r}; the file was damaged, or changed after the run"
        )
    return numbers
