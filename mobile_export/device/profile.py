"""From what an app knows of its user to the row of whole numbers that a file reads."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data.numbers import Scaling, number_code
from ecct_tf.errors import DataError, DeviceError
from ecct_tf.plain_text import shown
from mobile_export.device.given import item_rows
from mobile_export.runtime.edge_file import EdgeFile

__all__ = ["column_code", "profile_row", "profile_texts", "row_texts"]


def profile_row(
    file: EdgeFile, profile: npt.ArrayLike | Mapping[str, Any], *, what: str
) -> npt.NDArray[np.int32]:
    """The input `profile` of a file, `[columns] int32`.

    Args:
      file: that reads it.
      profile: values by the names of the file's columns, or the row itself. A value is a text for a
        category, a number for a number, a list of texts for a column of several values, and None
        where it is unknown, as is what is left out and a text that the file does not have.
      what: for messages, whose it is.

    Raises:
      DeviceError: a column is none of the file's, a number is none, several values are no list, or
        the row has another length.
    """
    columns = file.metadata["profile"]
    if not isinstance(profile, Mapping):
        if np.shape(profile) != (len(columns),):
            known = ", ".join(dict.fromkeys(map(_column_name, columns)))
            raise DeviceError(
                f"{what}: expected {len(columns)} profile values, as {file.name} has columns, got "
                f"the shape {np.shape(profile)}. Give them by name, profile={{column: value}} of "
                f"{known}; what is left out is unknown."
            )
        return item_rows(profile, what="profile")
    names = list(dict.fromkeys(map(_column_name, columns)))
    strangers = sorted(set(map(str, profile)) - set(names))
    if strangers:
        raise DeviceError(
            f"{what}: expected a profile with columns out of {names}, got {strangers}; {file.name} "
            "was trained without them"
        )
    return np.array(
        [
            column_code(column, profile.get(name), words=file.profile_words.get(name), what=what)
            for column in columns
            for name in [_column_name(column)]
        ],
        np.int32,
    )


def profile_texts(file: EdgeFile, profile: npt.ArrayLike | Mapping[str, Any]) -> tuple[str, ...]:
    """The values of a profile that `profile_row` accepts, as an app gave them; empty for unknown.

    A number that came as its code has none.
    """
    if not isinstance(profile, Mapping):
        return row_texts(file, item_rows(profile, what="profile"))
    texts = []
    for column in file.metadata["profile"]:
        value = profile.get(_column_name(column))
        if "set" in column:
            value = "1" if column_code(column, value, words=None, what="profile") else None
        texts.append("" if _is_unknown(value) else str(value))
    return tuple(texts)


def row_texts(file: EdgeFile, row: npt.NDArray[np.int32]) -> tuple[str, ...]:
    """The values that a row of whole numbers stands for, as far as the file tells them."""
    texts = []
    for column, code in zip(file.metadata["profile"], row.tolist(), strict=True):
        words = file.profile_words.get(str(column["name"]))
        if not code or "number" in column:
            texts.append("")
        elif words is None:
            texts.append(str(code))
        else:
            texts.append(next((word for word, found in words.items() if found == code), ""))
    return tuple(texts)


def column_code(
    column: Mapping[str, Any], value: Any, *, words: Mapping[str, int] | None, what: str
) -> int:
    """The code of one value; 0 for None, and for a text that `words` does not have.

    Raises:
      DeviceError: it is no number where one is read, or the column has no words.
    """
    if value is None:
        return 0
    if "set" in column:
        return int(str(column["set"]["value"]) in _several(column, value, what=what))
    if "number" in column:
        rule = column["number"]
        scaling = Scaling(mean=rule["mean"], scale=rule["scale"], log=rule["log"])
        try:
            return number_code(float(value), scaling)
        except (TypeError, ValueError, DataError) as error:
            raise DeviceError(
                f"{what}: profile: column {column['name']!r}: expected a finite number, or None "
                f"where it is unknown, got {shown(value)}"
            ) from error
    if words is None:
        raise DeviceError(
            f"{what}: profile: column {column['name']!r} has no values in this file; give the row "
            "of whole numbers"
        )
    return 0 if _is_unknown(value) else words.get(str(value), 0)


def _several(column: Mapping[str, Any], value: Any, *, what: str) -> set[str]:
    """The values that a user has of a column of several."""
    if _is_unknown(value):
        return set()
    if isinstance(value, str) or not isinstance(value, Collection):
        raise DeviceError(
            f"{what}: profile: column {column['set']['column']!r}: expected a list of values, such "
            f"as [{str(column['set']['value'])!r}], or None where they are unknown, got {value!r}"
        )
    return set(map(str, value))


def _column_name(column: Mapping[str, Any]) -> str:
    """What an app calls the column that an entry of the file belongs to."""
    return str(column["set"]["column"] if "set" in column else column["name"])


def _is_unknown(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
