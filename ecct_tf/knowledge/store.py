"""The knowledge store: what the cloud keeps of the uplinks, and how old it is."""

import dataclasses

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import CodecError

__all__ = ["KnowledgeStore", "UplinkRows"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

NEVER = -1


@dataclasses.dataclass(frozen=True)
class UplinkRows:
    """Decoded uplinks of one round as the cloud received them, one row a user.

    Attributes:
      users: `[n] int32`, whose knowledge it is; no user twice.
      items: `[n, Q] int32`, the items that the cloud asked about.
      embeddings: `[n, Q, d_e] float32`, `h_e`.
      logits: `[n, Q] float32`, `z_e`, or None in stage 1, where no logit is sent.
    """

    users: Ids
    items: Ids
    embeddings: Array
    logits: Array | None


@dataclasses.dataclass(frozen=True)
class KnowledgeStore:
    """The newest uplink of every user.

    Attributes:
      items: `[users, Q] int32`, 0 before a user's first uplink.
      embeddings: `[users, Q, d_e] float32`.
      logits: `[users, Q] float32`; meaningful where `logit_rounds` is not -1.
      rounds: `[users] int32`, the round an uplink came from, -1 for never.
      logit_rounds: `[users] int32`, the same for its logits.
    """

    items: Ids
    embeddings: Array
    logits: Array
    rounds: Ids
    logit_rounds: Ids

    @classmethod
    def empty(cls, *, num_users: int, num_queries: int, embedding_dim: int) -> "KnowledgeStore":
        """A store that knows nothing yet."""
        return cls(
            items=np.zeros((num_users, num_queries), np.int32),
            embeddings=np.zeros((num_users, num_queries, embedding_dim), np.float32),
            logits=np.zeros((num_users, num_queries), np.float32),
            rounds=np.full(num_users, NEVER, np.int32),
            logit_rounds=np.full(num_users, NEVER, np.int32),
        )

    def updated(self, rows: UplinkRows, *, round_number: int) -> "KnowledgeStore":
        """The store after a round; users who sent nothing keep what they had.

        An uplink without logits replaces embeddings and items, so it also drops the
        user's older logits, which spoke of other items.

        Raises:
          CodecError: when shapes do not fit, a user is unknown or comes twice, or a value
            is not finite.
        """
        expected = (len(rows.users), *self.embeddings.shape[1:])
        if rows.embeddings.shape != expected or rows.items.shape != expected[:2]:
            raise CodecError(
                f"expected uplinks with embeddings of shape {expected} and items "
                f"{expected[:2]}, got {rows.embeddings.shape} and {rows.items.shape}; "
                "device and cloud were built with different settings"
            )
        if rows.logits is not None and rows.logits.shape != expected[:2]:
            raise CodecError(
                f"expected uplinks with logits of shape {expected[:2]}, got {rows.logits.shape}"
            )
        known = np.unique(rows.users)
        if len(known) != len(rows.users) or ((known < 0) | (known >= len(self.rounds))).any():
            raise CodecError(
                f"expected each user at most once, out of 0..{len(self.rounds) - 1}, "
                f"got {rows.users.tolist()[:20]}"
            )
        for name, values in (("embeddings", rows.embeddings), ("logits", rows.logits)):
            if values is not None and not np.isfinite(values).all():
                bad = rows.users[~np.isfinite(values).reshape(len(values), -1).all(axis=1)]
                raise CodecError(f"uplink {name} of users {bad[:5].tolist()} are not finite")
        items, embeddings = self.items.copy(), self.embeddings.copy()
        logits, rounds = self.logits.copy(), self.rounds.copy()
        logit_rounds = self.logit_rounds.copy()
        items[rows.users] = rows.items
        embeddings[rows.users] = rows.embeddings
        rounds[rows.users] = round_number
        logits[rows.users] = 0.0 if rows.logits is None else rows.logits
        logit_rounds[rows.users] = NEVER if rows.logits is None else round_number
        return KnowledgeStore(items, embeddings, logits, rounds, logit_rounds)

    def staleness(self, round_number: int) -> Ids:
        """`[users] int32`: rounds since each user's uplink; -1 for users never heard of."""
        ages = np.where(self.rounds == NEVER, -1, round_number - self.rounds)
        return ages.astype(np.int32)

    def trust(self, *, round_number: int, half_life: float) -> Array:
        """`[users] float32`: 1 for fresh knowledge, halved each `half_life` rounds, 0 for none."""
        ages = self.staleness(round_number)
        weights: Array = np.where(ages < 0, 0.0, 0.5 ** (ages / half_life)).astype(np.float32)
        return weights
