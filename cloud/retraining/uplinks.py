"""From the uplink log to what the cloud knows of its devices."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.uplink_log import UplinkBatch
from ecct_tf.knowledge import KnowledgeStore

__all__ = ["KnowledgeBuilder"]


class KnowledgeBuilder:
    """Keeps the newest uplink of each user while a log goes by.

    Its memory is that of the store. The end does not depend on how the log is cut into
    batches, nor on the order in which different users come.

    Args:
      start: what was known before.
    """

    def __init__(self, start: KnowledgeStore) -> None:
        self._kept: dict[str, npt.NDArray[Any]] = {
            field.name: getattr(start, field.name).copy() for field in dataclasses.fields(start)
        }
        self.taken = 0
        self.superseded = 0

    def add(self, batch: UplinkBatch) -> None:
        """Takes a batch; of two uplinks of a user the one of the higher round counts."""
        # Of a user's rows the last of the highest round: a stable order, then each user's end.
        order = np.lexsort([batch.rounds, batch.users])
        users = batch.users[order]
        last = order[np.append(users[1:] != users[:-1], True)] if len(order) else order
        newer = last[batch.rounds[last] > self._kept["rounds"][batch.users[last]]]
        self.taken += len(newer)
        self.superseded += len(order) - len(newer)
        users, logits = batch.users[newer], batch.with_logits[newer]
        self._kept["items"][users] = batch.items[newer]
        self._kept["embeddings"][users] = batch.embeddings[newer]
        self._kept["rounds"][users] = batch.rounds[newer]
        # Older logits spoke of other items.
        self._kept["logits"][users] = np.where(logits[:, None], batch.logits[newer], 0.0)
        self._kept["logit_rounds"][users] = np.where(logits, batch.rounds[newer], -1)

    def finish(self, *, present: int) -> KnowledgeStore:
        """The store.

        Args:
          present: the last round that was asked, to which staleness counts. A round beyond it,
            which a version may hold that was made without this check, is set back to it.
        """
        for name in ("rounds", "logit_rounds"):
            self._kept[name] = np.minimum(self._kept[name], present).astype(np.int32)
        return KnowledgeStore(**self._kept)
