"""What a device holds of its user beside the history: one row of whole numbers.

First come the private categorical columns, each by the row of its value, then the private numbers
as `ecct_tf.data.numbers` codes them, then for each value of a column of several values whether the
user has it, 1 or 0; all in the order of the schema, and 0 is unknown.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from ecct_tf.data.numbers import NUMBER_ROWS, Scaling
from ecct_tf.data.schema import Kind, Side
from ecct_tf.data.tables import EncodedColumn
from ecct_tf.data.views import DeviceView

__all__ = [
    "ProfileShape",
    "device_profile",
    "device_profiles",
    "private_numbers",
    "private_sets",
    "private_words",
    "profile_shape",
]


@dataclasses.dataclass(frozen=True)
class ProfileShape:
    """The shape of the devices' profiles, which is no secret.

    Attributes:
      sizes: rows of each private categorical column, the unknown row 0 included.
      numbers: how many private numeric columns there are.
      sets: how many values each private column of several values has.
    """

    sizes: tuple[int, ...] = ()
    numbers: int = 0
    sets: tuple[int, ...] = ()

    @property
    def rows(self) -> tuple[int, ...]:
        """How many codes each value of a profile's row has.

        >>> ProfileShape((3,), 0, (2,)).rows
        (3, 2, 2)
        """
        return (*self.sizes, *(NUMBER_ROWS for _ in range(self.numbers)), *[2] * sum(self.sets))


def private_words(columns: Iterable[EncodedColumn]) -> dict[str, tuple[str, ...]]:
    """The values of rows 1, 2, … of each private categorical column, by its name."""
    return {
        each.column.name: each.vocabulary
        for each in columns
        if each.column.side is Side.FEDERATED and each.column.kind is Kind.CATEGORICAL
    }


def private_sets(columns: Iterable[EncodedColumn]) -> dict[str, tuple[str, ...]]:
    """The values of each private column of several values, by its name."""
    return {
        each.column.name: each.vocabulary
        for each in columns
        if each.column.side is Side.FEDERATED and each.column.kind is Kind.MULTI_CATEGORICAL
    }


def private_numbers(columns: Iterable[EncodedColumn]) -> dict[str, Scaling]:
    """The rule of each private numeric column, by its name."""
    return {
        each.column.name: each.column.private_scaling
        for each in columns
        if each.column.is_private_number
    }


def profile_shape(columns: Iterable[EncodedColumn]) -> ProfileShape:
    """The shape of the profiles of a data set with these user columns."""
    known = tuple(columns)
    return ProfileShape(
        tuple(len(words) + 1 for words in private_words(known).values()),
        len(private_numbers(known)),
        tuple(len(values) for values in private_sets(known).values()),
    )


def device_profile(view: DeviceView, *, shape: ProfileShape | None = None) -> npt.NDArray[np.int32]:
    """The row of the user on the device, `[columns] int32`.

    Args:
      view: of the device.
      shape: of the profiles that a model reads; None for all that there is.
    """
    return device_profiles(view.profile.columns, np.zeros(1, np.int64), shape=shape)[0]


def device_profiles(
    user_columns: Iterable[EncodedColumn],
    users: npt.NDArray[np.int64],
    *,
    shape: ProfileShape | None = None,
) -> npt.NDArray[np.int32]:
    """The rows of `users` `[n]`, `[n, columns] int32`.

    Args:
      user_columns: of a data set, or of a device.
      users: rows of the columns.
      shape: of the profiles that a model reads, which may lack numbers and sets; None for all that
        there is.
    """
    columns = {each.column.name: each for each in user_columns}
    names = [*private_words(columns.values())]
    if shape is None or shape.numbers:
        names += private_numbers(columns.values())
    if shape is None or shape.sets:
        names += private_sets(columns.values())
    parts = [columns[name].values[users] for name in names]
    rows = [part[:, None] if part.ndim == 1 else part for part in parts]
    return np.concatenate([np.zeros((len(users), 0), np.int32), *rows], axis=1).astype(np.int32)
