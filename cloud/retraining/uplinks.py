"""From the uplink log to what the cloud knows of its devices."""

from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.uplink_log import UplinkBatch
from ecct_tf.knowledge import KnowledgeStore
from ecct_tf.knowledge.store import EARLIER, FIELDS, NEVER

__all__ = ["KnowledgeBuilder"]

Places = npt.NDArray[np.int64]


class KnowledgeBuilder:
    """Keeps the newest uplinks of each user while a log goes by.

    Its memory is that of the store. The end does not depend on how the log is cut into
    batches, nor on the order in which different users come.

    Args:
      start: what was known before.
    """

    def __init__(self, start: KnowledgeStore) -> None:
        self._kept: dict[str, npt.NDArray[Any]] = {
            name: getattr(start, name).copy() for name in FIELDS
        }
        self._num_earlier = start.num_earlier
        self.taken = 0
        self.superseded = 0

    def add(self, batch: UplinkBatch) -> None:
        """Takes a batch; of two uplinks of a user the one of the higher round counts.

        The answers of the other stay among the earlier ones, as far as there is room.
        """
        # Of a user's rows the last of the highest round is the newest: a stable order, numbered
        # from each user's end.
        order = np.lexsort([batch.rounds, batch.users])
        newest = order[_places_from_end(batch.users[order]) == 0]
        taken = int((batch.rounds[newest] > self._kept["rounds"][batch.users[newest]]).sum())
        self.taken += taken
        self.superseded += len(order) - taken
        if self._num_earlier:
            # Beyond the places that there are, no answer of a user can stay.
            answers = order[batch.with_logits[order]]
            places = _places_from_end(batch.users[answers])
            for place in range(self._num_earlier, -1, -1):
                self._take(batch, answers[places == place])
        # One with logits was taken just now.
        self._take(batch, newest[batch.rounds[newest] > self._kept["rounds"][batch.users[newest]]])

    def _take(self, batch: UplinkBatch, rows: Places) -> None:
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

    def finish(self, *, present: int) -> KnowledgeStore:
        """The store.

        Args:
          present: the last round that was asked, to which staleness counts. A round beyond it,
            which a version may hold that was made without this check, is set back to it.
        """
        for name in ("rounds", "logit_rounds", "earlier_rounds"):
            self._kept[name] = np.minimum(self._kept[name], present).astype(np.int32)
        return KnowledgeStore(**self._kept)


def _places_from_end(users: npt.NDArray[Any]) -> Places:
    """Of sorted `users` `[n]`: how many rows of the same user follow each row."""
    ends = np.searchsorted(users, users, side="right")
    return ends - 1 - np.arange(len(users))
