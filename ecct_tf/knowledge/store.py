"""The knowledge store: what the cloud keeps of the uplinks, and how old it is."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import CodecError
from ecct_tf.touched_rows import Rows, TouchedRows, with_rows

__all__ = ["EARLIER", "FIELDS", "NEVER", "NOTHING", "Answers", "KnowledgeStore", "UplinkRows"]

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


class Answers(NamedTuple):
    """What devices said of items, A answers a user.

    Attributes:
      items: `[n, A] int32`.
      logits: `[n, A] float32`, `z_e`.
      trust: `[n, A] float32`, less than 1 for stale answers, 0 where there is none.
    """

    items: Ids
    logits: Array
    trust: Array


@dataclasses.dataclass(frozen=True)
class KnowledgeStore:
    """The newest uplink of every user, and the answers of a few before it.

    Attributes:
      items: `[users, Q] int32`, 0 before a user's first uplink.
      embeddings: `[users, Q, d_e] float32`, or `[users, Q, 0]` where only logits cross.
      logits: `[users, Q] float32`; meaningful where `logit_rounds` is not -1.
      rounds: `[users] int32`, the round an uplink came from, -1 for never.
      logit_rounds: `[users] int32`, the same for its logits.
      earlier_items: `[users, E, Q] int32`, the items of the E uplinks with logits before the
        newest, the newest of them first.
      earlier_logits: `[users, E, Q] float32`, their logits.
      earlier_rounds: `[users, E] int32`, their rounds, -1 where there is none.
    """

    items: Rows
    embeddings: Rows
    logits: Rows
    rounds: Ids
    logit_rounds: Ids
    earlier_items: Rows
    earlier_logits: Rows
    earlier_rounds: Rows

    @classmethod
    def empty(
        cls,
        *,
        num_users: int,
        num_queries: int,
        embedding_dim: int,
        num_earlier: int = 0,
        by_row: bool = False,
    ) -> "KnowledgeStore":
        """A store that knows nothing yet.

        Args:
          num_users: of the data set.
          num_queries: Q.
          embedding_dim: d_e.
          num_earlier: E, answers that it will keep beside the newest.
          by_row: whether what is wide is kept only of users who sent something, as
            `TouchedRows`; otherwise in plain arrays.
        """

        def rows(fill: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Rows:
            default = np.full(shape, fill, dtype)
            if by_row:
                return TouchedRows(default, length=num_users)
            return np.tile(default, (num_users, *(1 for _ in shape)))

        earlier = num_earlier, num_queries
        return cls(
            items=rows(0, (num_queries,), np.int32),
            embeddings=rows(0, (num_queries, embedding_dim), np.float32),
            logits=rows(0, (num_queries,), np.float32),
            rounds=np.full(num_users, NEVER, np.int32),
            logit_rounds=np.full(num_users, NEVER, np.int32),
            earlier_items=rows(0, earlier, np.int32),
            earlier_logits=rows(0, earlier, np.float32),
            earlier_rounds=rows(NEVER, (num_earlier,), np.int32),
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Rows]) -> "KnowledgeStore":
        """The store whose fields `arrays` holds by name.

        One that was written before earlier answers were kept has none.

        Raises:
          KeyError: a field is missing.
        """
        users, queries = arrays["items"].shape
        nothing = cls.empty(num_users=users, num_queries=queries, embedding_dim=0)
        earlier = {name: getattr(nothing, name) for name in EARLIER}
        found = {name: {**earlier, **arrays}[name] for name in FIELDS}
        return cls(**found | {name: np.asarray(found[name]) for name in ("rounds", "logit_rounds")})

    @property
    def num_earlier(self) -> int:
        """E."""
        return self.earlier_rounds.shape[1]

    def keeping(self, num_earlier: int) -> "KnowledgeStore":
        """The store with room for `num_earlier` answers before the newest, the newest kept."""
        if num_earlier == self.num_earlier:
            return self
        missing = max(0, num_earlier - self.num_earlier)

        def resized(rows: Rows, fill: int) -> npt.NDArray[Any]:
            array = np.asarray(rows)
            widths = [(0, 0), (0, missing)] + [(0, 0)] * (array.ndim - 2)
            return np.pad(array[:, :num_earlier], widths, constant_values=fill)

        return dataclasses.replace(
            self,
            earlier_items=resized(self.earlier_items, 0),
            earlier_logits=resized(self.earlier_logits, 0),
            earlier_rounds=resized(self.earlier_rounds, NEVER),
        )

    def updated(self, rows: UplinkRows, *, round_number: int) -> "KnowledgeStore":
        """The store after a round; users who sent nothing keep what they had.

        An uplink without logits replaces embeddings and items; the user's logits, which spoke of
        other items, then are earlier ones.

        Raises:
          CodecError: when shapes do not fit, a user is unknown or comes twice, or a value
            is not finite.
        """
        self._check(rows)
        users = rows.users
        written: dict[str, Any] = {
            "items": rows.items,
            "embeddings": rows.embeddings,
            "rounds": round_number,
            "logits": 0.0 if rows.logits is None else rows.logits,
            "logit_rounds": NEVER if rows.logits is None else round_number,
        }
        kept: dict[str, Any] = {
            name: with_rows(getattr(self, name), users, values) for name, values in written.items()
        }
        kept |= self._set_aside(users[self.logit_rounds[users] != NEVER])
        return dataclasses.replace(self, **kept)

    def _set_aside(self, users: Ids) -> dict[str, Any]:
        """The earlier answers once the newest ones of `users` are in front of theirs."""
        if not self.num_earlier:
            return {}
        kept = {}
        newest = (self.items, self.logits, self.logit_rounds)
        for name, values in zip(EARLIER, newest, strict=True):
            earlier: Rows = getattr(self, name)
            moved = np.concatenate([values[users][:, None], earlier[users][:, :-1]], axis=1)
            kept[name] = with_rows(earlier, users, moved)
        return kept

    def _check(self, rows: UplinkRows) -> None:
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

    def staleness(self, round_number: int) -> Ids:
        """`[users] int32`: rounds since each user's uplink; -1 for users never heard of."""
        ages = np.where(self.rounds == NEVER, -1, round_number - self.rounds)
        return ages.astype(np.int32)

    def trust(self, *, round_number: int, half_life: float) -> Array:
        """`[users] float32`: 1 for fresh knowledge, halved each `half_life` rounds, 0 for none."""
        return _trust(self.rounds, round_number=round_number, half_life=half_life)

    def trust_in(self, users: npt.NDArray[Any], *, round_number: int, half_life: float) -> Array:
        """`[n] float32`: the same of `users` `[n]` alone."""
        return _trust(self.rounds[users], round_number=round_number, half_life=half_life)

    def answers(self, users: Ids, *, round_number: int, half_life: float) -> Answers:
        """All answers with logits of `users` `[n]` that are kept, the newest first.

        Args:
          users: whose.
          round_number: the present round.
          half_life: rounds after which an answer counts half.
        """

        def all_of(newest: Rows, earlier: Rows) -> npt.NDArray[Any]:
            return np.concatenate([newest[users][:, None], earlier[users]], axis=1)

        count = len(users), -1
        rounds = all_of(self.logit_rounds, self.earlier_rounds)
        items = all_of(self.items, self.earlier_items)
        logits = all_of(self.logits, self.earlier_logits)
        trust = _trust(rounds, round_number=round_number, half_life=half_life)
        each = np.repeat(trust, items.shape[2], axis=1)
        return Answers(items.reshape(count), logits.reshape(count), each)


FIELDS = tuple(field.name for field in dataclasses.fields(KnowledgeStore))
EARLIER = ("earlier_items", "earlier_logits", "earlier_rounds")
NOTHING = {name: NEVER if name.endswith("rounds") else 0 for name in FIELDS}
"""By field: what it holds of a user of whom nothing is known."""


def _trust(rounds: Ids, *, round_number: int, half_life: float) -> Array:
    ages = np.where(rounds == NEVER, -1, round_number - rounds)
    weights: Array = np.where(ages < 0, 0.0, 0.5 ** (np.maximum(ages, 0) / half_life))
    return weights.astype(np.float32)
