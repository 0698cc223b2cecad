"""What workers elsewhere make rows of users from: files, which each process reads once."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.array_files import read_arrays, write_arrays
from cloud.features import category_matrix, user_states
from cloud.input_space import InputSpace
from cloud.recommender import CloudRecommender
from cloud.version_files import StoredCloud
from ecct_tf.data import CloudView
from ecct_tf.knowledge import Block, KnowledgeStore

__all__ = ["FiledEmbeddings", "FiledHistories"]

Ids = npt.NDArray[np.int32]
Array = npt.NDArray[np.float32]

_BLOCKS = ("preference", "sequence")


@dataclasses.dataclass(frozen=True)
class FiledHistories:
    """The user tower's inputs after whole older histories, by files.

    Attributes:
      path: of the histories, and of what the library's own cloud pools of them.
    """

    path: Path

    @classmethod
    def write(cls, folder: Path, *, view: CloudView, space: InputSpace) -> "FiledHistories":
        """Writes what the states of a view's users are made of into a folder."""
        path = folder / "histories.npz"
        arrays: dict[str, npt.NDArray[Any]] = {
            "items": view.older.items,
            "offsets": view.older.offsets,
            "columns": category_matrix(
                view.users, rows=view.num_users, names=space.user_categories
            ),
        }
        for name in _BLOCKS:
            arrays[name] = getattr(space, name).source
        write_arrays(path, arrays, private=True)
        return cls(path)

    def __call__(self, users: Ids) -> Array:
        """`[k, s] float32` of users `[k] int32`."""
        arrays, blocks = _histories(self.path)
        starts = arrays["offsets"][users]
        return user_states(
            blocks,
            arrays["items"],
            starts=starts,
            sizes=arrays["offsets"][users + 1] - starts,
            centralized=arrays["columns"][users],
        )


@dataclasses.dataclass(frozen=True)
class FiledEmbeddings:
    """User embeddings of a version's files, with the uplinks fused in.

    Attributes:
      folder: of the version, whose files are whole.
      attempt: tells versions apart that lay in the same folder one after the other.
    """

    folder: Path
    attempt: str

    def __call__(self, users: Ids) -> Array:
        """`[k, d_c] float32` of users `[k] int32`."""
        cloud, knowledge, present = _version(self.folder, self.attempt)
        return cloud.user_embeddings(users, knowledge=knowledge, round_number=present)


@functools.lru_cache(maxsize=1)
def _histories(path: Path) -> tuple[dict[str, npt.NDArray[Any]], tuple[Block, ...]]:
    arrays = read_arrays(path, in_place=True)
    # Targets are not read.
    return arrays, tuple(Block(name, arrays[name], arrays[name]) for name in _BLOCKS)


@functools.lru_cache(maxsize=1)
def _version(folder: Path, attempt: str) -> tuple[CloudRecommender, KnowledgeStore, int]:
    del attempt  # Part of the key alone.
    stored = StoredCloud.read(folder)
    return stored.recommender(), stored.knowledge, stored.round_number
