"""From what an app knows of its user to the row of whole numbers that a file reads."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data.numbers import Scaling, number_code
from ecct_tf.errors import DataError, DeviceError
from mobile_export.device.given import item_rows
from mobile_export.runtime.loaded_file import LoadedFile

__all__ = ["profile_row"]


def profile_row(
    file: LoadedFile, profile: npt.ArrayLike | Mapping[str, Any], *, what: str
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
            _code(column, profile.get(name), words=file.profile_words.get(name), what=what)
            for name, column in zip(names, columns, strict=True)
        ],
        np.int32,
    )


def _code(
    column: Mapping[str, Any], value: Any, *, words: Mapping[str, int] | None, what: str
) -> int:
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
    return 0 if isinstance(value, float) and math.isnan(value) else words.get(str(value), 0)
