"""From the uplink log to what the cloud knows of its devices."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.array_files import drop_pages
from cloud.retraining.forgetting import drop_answers
from cloud.uplink_log import ForgetNote, Uplinks
from ecct_tf.files import private_folder, write_bytes
from ecct_tf.knowledge import KnowledgeStore
from ecct_tf.knowledge.store import EARLIER, FIELDS, NEVER, NOTHING
from ecct_tf.touched_rows import parts_of

__all__ = ["KnowledgeBuilder", "RowFiles"]

Places = npt.NDArray[np.int64]

# Arrays of so many bytes are in files, where there is a folder for them.
_LARGE_BYTES = 1 << 26
# Rows of a batch after which the memory of files is given back.
_ROWS_IN_MEMORY = 1 << 18


@dataclasses.dataclass(frozen=True)
class RowFiles:
    """The arrays of a store in files, for other processes to look at some users.

    Attributes:
      files: by field: file, type and shape.
    """

    files: Mapping[str, tuple[Path, str, tuple[int, ...]]]

    def of(self, users: npt.NDArray[Any]) -> KnowledgeStore:
        """What is known of `users` `[n]`, as a store of n users."""
        return KnowledgeStore(
            **{name: _mapped(*file)[users] for name, file in self.files.items()},
        )


class KnowledgeBuilder:
    """Keeps the newest uplinks of each user while a log goes by.

    Its memory is that of the store, or, with a folder, of what was written lately. The end does
    not depend on how the log is cut into batches, nor on the order in which different users come.

    Args:
      start: what was known before.
      folder: for the large arrays, which the store then reads; it stays until the store is
        written.
    """

    def __init__(self, start: KnowledgeStore, *, folder: Path | None = None) -> None:
        self._kept: dict[str, npt.NDArray[Any]] = {}
        for name in FIELDS:
            known = getattr(start, name)
            kept = _filled(known.shape, known.dtype, name, folder=folder)
            begin = 0
            for part in parts_of(known):
                kept[begin : begin + len(part)] = part
                begin += len(part)
            drop_pages(kept)
            drop_pages(known)
            self._kept[name] = kept
        self._num_earlier = start.num_earlier
        self._since = 0
        self._added = 0
        self._heard = np.zeros(len(self._kept["rounds"]), np.bool_)

    @property
    def taken(self) -> int:
        """Of how many users the newest uplink is one that was added."""
        return int(np.count_nonzero(self._heard))

    @property
    def superseded(self) -> int:
        """How many uplinks were added that are not the newest of their users."""
        return self._added - self.taken

    def forget(self, notes: Sequence[ForgetNote], *, present: int) -> None:
        """Drops the answers that `notes` cover.

        Args:
          notes: what is to be forgotten of what was known before.
          present: the round that it counts to.
        """
        if notes:
            drop_answers(self._kept, notes, present=present)

    def add(self, batch: Uplinks) -> None:
        """Takes a batch; of two uplinks of a user the one of the higher round counts.

        The answers of the other stay among the earlier ones, as far as there is room.
        """
        # Of a user's rows the last of the highest round is the newest: a stable order, numbered
        # from each user's end.
        order = np.lexsort([batch.rounds, batch.users])
        newest = order[_places_from_end(batch.users[order]) == 0]
        newer = newest[batch.rounds[newest] > self._kept["rounds"][batch.users[newest]]]
        self._heard[batch.users[newer]] = True
        self._added += len(order)
        if self._num_earlier:
            # Beyond the places that there are, no answer of a user can stay.
            answers = order[batch.with_logits[order]]
            places = _places_from_end(batch.users[answers])
            for place in range(self._num_earlier, -1, -1):
                self._take(batch, answers[places == place])
        # One with logits was taken just now.
        self._take(batch, newest[batch.rounds[newest] > self._kept["rounds"][batch.users[newest]]])
        self._since += len(order)
        if self._since > _ROWS_IN_MEMORY:
            self._since = 0
            for array in self._kept.values():
                drop_pages(array)

    def _take(self, batch: Uplinks, rows: Places) -> None:
        """Takes `rows` of distinct users, each either its user's newest or an earlier answer."""
        rounds, kept = batch.rounds[rows], self._kept
        before = kept["rounds"][batch.users[rows]]
        older = rows[(rounds < before) & batch.with_logits[rows]]
        self._set_aside(
            batch.users[older], (batch.items[older], batch.logits[older], batch.rounds[older])
        )
        newer = rows[rounds > before]
        users, logits = batch.users[newer], batch.with_logits[newer]
        known = users[kept["logit_rounds"][users] != NEVER]
        answers = (kept["items"][known], kept["logits"][known], kept["logit_rounds"][known])
        self._set_aside(known, answers)
        kept["items"][users] = batch.items[newer]
        kept["embeddings"][users] = batch.embeddings[newer]
        kept["rounds"][users] = batch.rounds[newer]
        # Older logits spoke of other items.
        kept["logits"][users] = np.where(logits[:, None], batch.logits[newer], 0.0)
        kept["logit_rounds"][users] = np.where(logits, batch.rounds[newer], NEVER)

    def _set_aside(self, users: Places, answers: tuple[npt.NDArray[Any], ...]) -> None:
        """Puts answers of distinct users, `[n, Q]`, `[n, Q]`, `[n]`, among their earlier ones."""
        if not self._num_earlier or not len(users):
            return
        joined = {
            name: np.concatenate([new[:, None], self._kept[name][users]], axis=1)
            for name, new in zip(EARLIER, answers, strict=True)
        }
        newest_first = np.argsort(-joined["earlier_rounds"].astype(np.int64), kind="stable")
        for name, values in joined.items():
            order = newest_first.reshape(newest_first.shape + (1,) * (values.ndim - 2))
            chosen = np.take_along_axis(values, order, axis=1)
            self._kept[name][users] = chosen[:, : self._num_earlier]

    def rows(self) -> Mapping[str, npt.NDArray[Any]]:
        """What it has now, by field of a store, `[users, ...]` each; not to be altered."""
        return self._kept

    def row_files(self, folder: Path) -> RowFiles:
        """What it has now, in files: its own, or written into `folder` where it has none."""
        files = {}
        for name, array in self._kept.items():
            path = folder / f"{name}.raw"
            if isinstance(array, np.memmap):
                array.flush()
                path = Path(str(array.filename))
            else:
                write_bytes(path, array.tobytes(), private=True)
            files[name] = (path.absolute(), array.dtype.str, array.shape)
        return RowFiles(files)

    def put(
        self, users: npt.NDArray[Any], rows: Mapping[str, npt.NDArray[Any]], *, added: int
    ) -> None:
        """Takes over what another builder made of the uplinks of some users.

        It began with what this one has of them, and nothing of them was added here.

        Args:
          users: `[n]`, whose.
          rows: by field, `[n, ...]` each: what the other has of them.
          added: how many uplinks of theirs it was given.
        """
        self._heard[users] = rows["rounds"] > self._kept["rounds"][users]
        self._added += added
        for name, array in self._kept.items():
            array[users] = rows[name]
            drop_pages(array)

    def finish(self, *, present: int) -> KnowledgeStore:
        """The store.

        Args:
          present: the last round that was asked, to which staleness counts. A round beyond it,
            which a version may hold that was made without this check, is set back to it.
        """
        for name in ("rounds", "logit_rounds", "earlier_rounds"):
            self._kept[name] = np.minimum(self._kept[name], present).astype(np.int32)
        return KnowledgeStore(**self._kept)


def _filled(
    shape: tuple[int, ...], dtype: npt.DTypeLike, name: str, *, folder: Path | None
) -> npt.NDArray[Any]:
    """An array that knows nothing of anybody, in a file where it is large."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if folder is None or size < _LARGE_BYTES:
        return np.full(shape, NOTHING[name], dtype)
    private_folder(folder)
    path = folder / f"{name}.raw"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    # What is not written to is zero, and takes no room on the disk.
    with path.open("r+b") as file:
        file.truncate(size)
    found = np.memmap(path, dtype, "r+", shape=shape)
    if NOTHING[name]:
        found[:] = NOTHING[name]
    return found


def _mapped(path: Path, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if not int(np.prod(shape)):
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", shape=shape)


def _places_from_end(users: npt.NDArray[Any]) -> Places:
    """Of sorted `users` `[n]`: how many rows of the same user follow each row."""
    ends = np.searchsorted(users, users, side="right")
    return ends - 1 - np.arange(len(users))
