"""What a run's cloud received of each user: rows of `h_e` and `z_e` with the items asked about."""

import dataclasses

import numpy as np
import numpy.typing as npt

from ecct_tf.knowledge import KnowledgeStore
from ecct_tf.knowledge.store import NEVER

__all__ = ["Answers", "Received", "answers_of"]

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Received:
    """Uplinks, one a row, in any order.

    Attributes:
      users: `[n] int64`, whose.
      rounds: `[n] int64`.
      items: `[n, Q] int64`, what the device was asked about.
      embeddings: `[n, Q, d_e] float64`, `h_e`; NaN where it is not kept.
      logits: `[n, Q] float64`, `z_e`; NaN where none was sent.
      source: where they were kept: `checkpoint` or `uplink log`.
    """

    users: Ids
    rounds: Ids
    items: Ids
    embeddings: Array
    logits: Array
    source: str

    @classmethod
    def from_store(cls, store: KnowledgeStore) -> "Received":
        """The newest uplink of each user, and what is kept of those before: logits alone."""
        newest = np.flatnonzero(store.rounds != NEVER)
        earlier_rounds = np.asarray(store.earlier_rounds)
        logits = store.logits[newest].astype(np.float64)
        logits[store.logit_rounds[newest] == NEVER] = np.nan
        users, places = np.nonzero(earlier_rounds != NEVER)
        earlier_items = np.asarray(store.earlier_items)[users, places]
        earlier = np.asarray(store.earlier_logits)[users, places].astype(np.float64)
        lost = np.full((*earlier.shape, store.embeddings.shape[2]), np.nan)
        return cls(
            users=np.concatenate([newest, users]),
            rounds=np.concatenate([store.rounds[newest], earlier_rounds[users, places]]),
            items=np.concatenate([store.items[newest], earlier_items]),
            embeddings=np.concatenate([store.embeddings[newest], lost]),
            logits=np.concatenate([logits, earlier]),
            source="checkpoint",
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """What was received of each pair of a user and an item, all rounds together.

    Attributes:
      users: `[p] int64`, ascending.
      items: `[p] int64`, ascending within a user.
      times: `[p] float64`, how often the device was asked.
      embedding: `[p, d_e] float64`, mean `h_e`; 0 where none is kept.
      with_embedding: `[p] bool`.
      logit: `[p] float64`, mean `z_e`; 0 where none was sent.
      newest_logit: `[p] float64`, that of the newest round; likewise.
      with_logit: `[p] bool`.
    """

    users: Ids
    items: Ids
    times: Array
    embedding: Array
    with_embedding: npt.NDArray[np.bool_]
    logit: Array
    newest_logit: Array
    with_logit: npt.NDArray[np.bool_]

    def taken(self, rows: npt.NDArray[np.bool_]) -> "Answers":
        """The pairs that a mask takes."""
        return Answers(*(getattr(self, each.name)[rows] for each in dataclasses.fields(self)))


def answers_of(received: Received) -> Answers:
    """Joins the answers on the same pair; item 0 is none.

    Example:
      >>> received = Received(
      ...     users=np.array([4, 4]), rounds=np.array([0, 1]), items=np.array([[7, 0], [7, 9]]),
      ...     embeddings=np.array([[[2.0], [0.0]], [[4.0], [6.0]]]),
      ...     logits=np.array([[np.nan, np.nan], [1.0, -1.0]]), source="checkpoint")
      >>> answers = answers_of(received)
      >>> answers.items.tolist(), answers.embedding[:, 0].tolist(), answers.logit.tolist()
      ([7, 9], [3.0, 6.0], [1.0, -1.0])
    """
    # In the order of rounds, so that the last to write a place is the newest.
    order = np.argsort(received.rounds, kind="stable")
    asked = received.items[order].reshape(-1)
    width = received.items.shape[1]
    users = np.repeat(received.users[order], width)
    real = asked > 0
    stride = int(asked.max(initial=0)) + 1
    keys, place = np.unique(users[real] * stride + asked[real], return_inverse=True)
    count = len(keys)
    embeddings = received.embeddings[order].reshape(len(asked), received.embeddings.shape[2])[real]
    logits = received.logits[order].reshape(-1)[real]
    # Where none cross they have no width.
    kept = np.isfinite(embeddings).all(axis=1) & (embeddings.shape[1] > 0)
    sent = np.isfinite(logits)
    sums = np.zeros((count, embeddings.shape[1]))
    np.add.at(sums, place[kept], embeddings[kept])
    newest = np.zeros(count)
    newest[place[sent]] = logits[sent]
    num_kept = np.bincount(place[kept], minlength=count)
    num_sent = np.bincount(place[sent], minlength=count)
    total = np.bincount(place[sent], weights=logits[sent], minlength=count)
    return Answers(
        users=keys // stride,
        items=keys % stride,
        times=np.bincount(place, minlength=count).astype(np.float64),
        embedding=sums / np.maximum(num_kept, 1)[:, None],
        with_embedding=num_kept > 0,
        logit=total / np.maximum(num_sent, 1),
        newest_logit=newest,
        with_logit=num_sent > 0,
    )
