"""Rows that are made for each user alone, in this process or wherever an engine makes them.

A job's version holds two kinds: the states of all users, out of their histories, and the user
embeddings of its SavedModel, moved by what their devices answered. Users are divided into the same
parts whatever makes them, so that all engines give the same bits.
"""

import dataclasses
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cloud.array_files import drop_pages, read_arrays, write_arrays
from cloud.chunks import first_users, users_from
from ecct_tf.config.part_names import PartNames
from ecct_tf.errors import WorkerError
from ecct_tf.files import private_folder
from ecct_tf.plugins import find_function

__all__ = [
    "ENGINES",
    "ENTRY_POINTS",
    "MakeRows",
    "RowMaker",
    "RowsPlan",
    "UserRows",
    "find_row_engine",
    "make_here",
    "planned",
    "put_together",
]

ENTRY_POINTS = "ecct_tf.user_engines"
"""The group of entry points under which packages register engines that make rows of users."""

ENGINES = PartNames(
    "an engine",
    ENTRY_POINTS,
    {"local": "cloud.user_rows:make_here", "beam": "cloud.pipelines.user_rows:make_rows_by_beam"},
    "local, beam, or module:name such as my_pkg.engines:by_spark",
    setting="engine.users",
)

Ids = npt.NDArray[np.int32]
Array = npt.NDArray[np.float32]
Compute = Callable[[Ids], Array]

# Whole chunks of `cloud.chunks`: the numbers that are computed together decide last bits.
_USERS_IN_PART = 8 * 2048
# Rows of so many bytes are left in a file.
_IN_FILE_BYTES = 1 << 26
_PRIVATE = 0o600


@dataclasses.dataclass(frozen=True, eq=False)
class UserRows:
    """What is to be made.

    Attributes:
      name: of the rows, for files and messages.
      users: how many there are.
      here: in this process, of users `[k] int32`: `[k, w] float32`, each from its user alone.
      elsewhere: writes what that reads into a folder, and gives the same as a function that can be
        pickled and reads it there.
      work: folder for what is needed meanwhile, and for large rows, which must stay while they are
        used.
    """

    name: str
    users: int
    here: Compute
    elsewhere: Callable[[Path], Compute]
    work: Path


@dataclasses.dataclass(frozen=True, eq=False)
class RowsPlan:
    """What all workers need besides the part that each makes; it can be pickled.

    Attributes:
      folder: for what they read and write, as all workers see it.
      users: how many there are.
      users_in_part: how many a part has.
      compute: of users `[k] int32`: `[k, w] float32`.
    """

    folder: Path
    users: int
    users_in_part: int
    compute: Compute

    @property
    def firsts(self) -> tuple[int, ...]:
        """The first user of each part."""
        return first_users(self.users, size=self.users_in_part)

    def of(self, first: int) -> Ids:
        """The users of a part, `[k] int32`."""
        return users_from(first, users=self.users, size=self.users_in_part)

    def make(self, first: int) -> None:
        """Writes a part; of two workers that make the same, one is read."""
        path = self.folder / f"{first:010d}.{secrets.token_hex(4)}.npz"
        write_arrays(path, {"rows": self.compute(self.of(first))}, private=True)


class MakeRows(Protocol):
    """Makes all rows. Whatever the engine, they are the same."""

    def __call__(self, rows: UserRows, *, options: tuple[str, ...]) -> Array:
        """Makes them.

        Args:
          rows: which.
          options: of the engine.

        Returns:
          `[users, w]`, read-only where they are in a file.

        Raises:
          WorkerError: the engine failed.
        """
        ...


@dataclasses.dataclass(frozen=True)
class RowMaker:
    """An engine with what it is told each time.

    Attributes:
      engine: makes rows.
      options: of the engine.
      work: folder for what is needed meanwhile.
    """

    engine: MakeRows
    options: tuple[str, ...]
    work: Path

    def make(
        self, name: str, users: int, here: Compute, elsewhere: Callable[[Path], Compute]
    ) -> Array:
        """All rows; arguments and result as of `UserRows` and the engine."""
        rows = UserRows(name, users, here, elsewhere, self.work)
        return self.engine(rows, options=self.options)


def find_row_engine(name: str) -> MakeRows:
    """The engine that `engine.users` names; imports its module.

    Raises:
      ConfigError: there is none of that name, or it cannot be imported.
    """
    return find_function(ENGINES.target_of(name), what=f"engine.users: engine {name!r}")


def make_here(rows: UserRows, *, options: tuple[str, ...]) -> Array:
    """The engine `local`: this process, part after part."""
    del options  # It has none.
    plan = RowsPlan(rows.work, rows.users, _USERS_IN_PART, rows.here)
    return _joined(rows, plan, (rows.here(plan.of(first)) for first in plan.firsts))


def planned(rows: UserRows) -> RowsPlan:
    """A plan for workers elsewhere, with a folder of its own for what they read and write."""
    private_folder(rows.work)
    folder = (rows.work / f"{rows.name}-{secrets.token_hex(4)}").absolute()
    private_folder(folder)
    return RowsPlan(folder, rows.users, _USERS_IN_PART, rows.elsewhere(folder))


def put_together(plan: RowsPlan, rows: UserRows) -> Array:
    """All rows out of the parts that workers wrote; their folder goes.

    Raises:
      WorkerError: a part is missing.
    """
    try:
        return _joined(rows, plan, (_part(plan, rows, first) for first in plan.firsts))
    finally:
        shutil.rmtree(plan.folder, ignore_errors=True)


def _part(plan: RowsPlan, rows: UserRows, first: int) -> Array:
    found = sorted(plan.folder.glob(f"{first:010d}.*.npz"))
    if not found:
        raise WorkerError(
            f"engine.users: expected the {rows.name} from user {first} on in {plan.folder}, there "
            "are none; all workers must see the job's folder under this path. Give the command "
            "again"
        )
    part: Array = read_arrays(found[0])["rows"]
    return part


def _joined(rows: UserRows, plan: RowsPlan, parts: Iterator[Array]) -> Array:
    """One array out of one part after the other, so that nothing is in memory twice."""
    joined: Any = None
    for first, part in zip(plan.firsts, parts, strict=True):
        if joined is None:
            joined = _room(rows, part)
        joined[first : first + len(part)] = part
        drop_pages(joined)
    joined.flags.writeable = False
    return joined


def _room(rows: UserRows, part: Array) -> Any:
    shape = (rows.users, *part.shape[1:])
    if int(np.prod(shape)) * part.dtype.itemsize < _IN_FILE_BYTES:
        return np.empty(shape, part.dtype)
    private_folder(rows.work)
    path = rows.work / f"{rows.name}.npy"
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE))
    form: Any = np.lib.format  # NumPy has no types for it.
    return form.open_memmap(path, mode="w+", dtype=part.dtype, shape=shape)
