"""From what an app knows of its user to the row of whole numbers that a file reads."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data.numbers import Scaling, number_code
from ecct_tf.errors import DataError, DeviceError
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
        category, a number for a number, and None where it is unknown, as is what is left out and a
        text that the file does not have.
      what: for messages, whose it is.

    Raises:
      DeviceError: a column is none of the file's, a number is none, or the row has another length.
    """
    columns = file.metadata["profile"]
    if not isinstance(profile, Mapping):
        if np.shape(profile) != (len(columns),):
            raise DeviceError(
                f"{what}: expected {len(columns)} profile values, as {file.name} has columns, got "
                f"the shape {np.shape(profile)}"
            )
        return item_rows(profile, what="profile")
    names = [str(column["name"]) for column in columns]
    strangers = sorted(set(map(str, profile)) - set(names))
    if strangers:
        raise DeviceError(
            f"{what}: expected a profile with columns out of {names}, got {strangers}; {file.name} "
            "was trained without them"
        )
    return np.array(
        [
            column_code(column, profile.get(name), words=file.profile_words.get(name), what=what)
            for name, column in zip(names, columns, strict=True)
        ],
        np.int32,
    )


def profile_texts(file: EdgeFile, profile: npt.ArrayLike | Mapping[str, Any]) -> tuple[str, ...]:
    """The values of a profile that `profile_row` accepts, as an app gave them; empty for unknown.

    A number that came as its code has none.
    """
    if not isinstance(profile, Mapping):
        return row_texts(file, item_rows(profile, what="profile"))
    given = [profile.get(str(column["name"])) for column in file.metadata["profile"]]
    return tuple("" if _is_unknown(value) else str(value) for value in given)


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
    if "number" in column:
        rule = column["number"]
        scaling = Scaling(mean=rule["mean"], scale=rule["scale"], log=rule["log"])
        try:
            return number_code(float(value), scaling)
        except (TypeError, ValueError, DataError) as error:
            raise DeviceError(
                f"{what}: profile: column {column['name']!r}: expected a finite number, or None "
                f"where it is unknown, got {value!r}"
            ) from error
    if words is None:
        raise DeviceError(
            f"{what}: profile: column {column['name']!r} has no values in this file; give the row "
            "of whole numbers"
        )
    return 0 if _is_unknown(value) else words.get(str(value), 0)


def _is_unknown(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
