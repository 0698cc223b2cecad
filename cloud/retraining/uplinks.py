"""From the uplink log to what the cloud knows of its devices."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.uplink_log import UplinkBatch
from ecct_tf.knowledge import KnowledgeStore

__all__ = ["KnowledgeBuilder", "present_round"]

# The share of users whose rounds do not move the present: theirs may be wrong.
_AHEAD = 0.01


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

    def finish(self) -> tuple[KnowledgeStore, int]:
        """The store, and the round that staleness counts to.

        A round beyond that one is set back to it, so that it counts as fresh and no more.
        """
        present = present_round(self._kept["rounds"])
        for name in ("rounds", "logit_rounds"):
            self._kept[name] = np.minimum(self._kept[name], present).astype(np.int32)
        return KnowledgeStore(**self._kept), present


def present_round(rounds: npt.NDArray[np.int32]) -> int:
    """The round that all but the farthest 1 % of the users heard of have not passed.

    A device that counts wrongly, or lies, would otherwise age what all others said.

    >>> present_round(np.array([-1, 3, 4, 4, 2], np.int32))
    4
    >>> present_round(np.append(np.full(200, 7), 2_000_000).astype(np.int32))
    7
    """
    heard = np.sort(rounds[rounds >= 0])
    if not len(heard):
        return 0
    return int(heard[len(heard) - 1 - int(_AHEAD * len(heard))])
