"""Which uplinks were seen: a window of rounds for each user, of constant size."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import DataError

__all__ = ["FRESH", "SEEN", "TOO_OLD", "WINDOW_ROUNDS", "Admits", "ReplayWindow", "WindowOfUsers"]

WINDOW_ROUNDS = 64

FRESH, SEEN, TOO_OLD = 0, 1, 2


class Admits(Protocol):
    """Says which uplinks are new."""

    def admit(
        self, users: npt.NDArray[np.integer[Any]], rounds: npt.NDArray[np.integer[Any]]
    ) -> npt.NDArray[np.uint8]:
        """As `ReplayWindow.admit`."""
        ...


class ReplayWindow:
    """Remembers the newest round of each user and which of the 63 before it were seen.

    As in the anti-replay window of IPsec (RFC 4303), late uplinks within the window are
    taken once, and what is older than it cannot be told from a replay and is refused. Twelve
    bytes a user, however long the log is.

    Args:
      num_users: users are 0 to `num_users - 1`.

    >>> window = ReplayWindow(2)
    >>> window.admit(np.array([0, 0, 0, 1]), np.array([70, 69, 70, 0])).tolist()
    [0, 0, 1, 0]
    >>> window.admit(np.array([0, 0]), np.array([7, 6])).tolist()
    [0, 2]
    """

    def __init__(self, num_users: int) -> None:
        self._newest = np.full(num_users, -1, np.int32)
        self._seen = np.zeros(num_users, np.uint64)

    def admit(
        self, users: npt.NDArray[np.integer[Any]], rounds: npt.NDArray[np.integer[Any]]
    ) -> npt.NDArray[np.uint8]:
        """Takes uplinks in order and remembers them.

        Args:
          users: `[n]`, all known.
          rounds: `[n]`, not negative.

        Returns:
          `[n] uint8`: 0 for a fresh one, 1 for one that was seen, 2 for one that is older
          than the window.
        """
        found = np.zeros(len(users), np.uint8)
        if not len(users):
            return found
        order = np.argsort(users, kind="stable")
        ordered = users[order]
        changes = ordered[1:] != ordered[:-1]
        if changes.all():
            return self._admit_distinct(users, rounds)
        first = np.concatenate([[0], np.flatnonzero(changes) + 1])
        counts = np.diff(first, append=len(ordered))
        turns = np.arange(len(ordered)) - np.repeat(first, counts)
        # Each turn has every user at most once: it can be done at a stroke.
        by_turn = np.argsort(turns, kind="stable")
        start = 0
        for end in np.cumsum(np.bincount(turns)).tolist():
            rows = order[by_turn[start:end]]
            found[rows] = self._admit_distinct(users[rows], rounds[rows])
            start = end
        return found

    def grown(self, num_users: int) -> "ReplayWindow":
        """A copy for at least as many users, the new ones never seen.

        Raises:
          DataError: when there were more.
        """
        if num_users < len(self._newest):
            raise DataError(
                f"replay window: it knows {len(self._newest)} users, expected at least as many "
                f"now, got {num_users}; users are never removed from a vocabulary"
            )
        window = ReplayWindow(num_users)
        window._newest[: len(self._newest)] = self._newest
        window._seen[: len(self._seen)] = self._seen
        return window

    def capped(self, newest_round: int) -> "ReplayWindow":
        """A copy in which nobody is ahead of `newest_round`, the last that was asked.

        What was seen of the rounds up to it stays; a user whose window a forged record had
        moved on is heard again.

        >>> window = ReplayWindow(1)
        >>> window.admit(np.array([0, 0]), np.array([3, 5])).tolist()
        [0, 0]
        >>> window.capped(4).admit(np.array([0, 0]), np.array([3, 4])).tolist()
        [1, 0]
        """
        window = self.grown(len(self._newest))
        ahead = np.maximum(self._newest.astype(np.int64) - newest_round, 0)
        shift = np.minimum(ahead, WINDOW_ROUNDS - 1).astype(np.uint64)
        window._newest = np.minimum(self._newest, newest_round).astype(np.int32)
        window._seen = np.where(ahead < WINDOW_ROUNDS, self._seen >> shift, np.uint64(0))
        return window

    def without(
        self, *, users: npt.NDArray[np.int64], answers: npt.NDArray[np.int64]
    ) -> "ReplayWindow":
        """A copy that has not seen some answers; what is unknown to it is passed over.

        Args:
          users: of whom nothing was seen.
          answers: `[n, 2]`, user and round of each.

        >>> window = ReplayWindow(1)
        >>> window.admit(np.array([0, 0]), np.array([3, 90])).tolist()
        [0, 0]
        >>> fewer = window.without(users=np.zeros(0, np.int64), answers=np.array([[0, 90]]))
        >>> fewer.admit(np.array([0, 0]), np.array([90, 90])).tolist()
        [0, 1]
        """
        window = self.grown(len(self._newest))
        newest, seen = window._newest, window._seen
        one = np.uint64(1)
        known = answers[answers[:, 0] < len(newest)]
        behind = newest[known[:, 0]].astype(np.int64) - known[:, 1]
        inside = (behind >= 0) & (behind < WINDOW_ROUNDS)
        places = known[inside, 0]
        np.bitwise_and.at(seen, places, ~(one << behind[inside].astype(np.uint64)))
        left = seen != 0
        # The newest is again the newest that was seen: the lowest bit that is set.
        _, exponent = np.frexp((seen & (~seen + one)).astype(np.float64))
        shift = np.where(left, exponent - 1, 0)
        window._seen = np.where(left, seen >> shift.astype(np.uint64), np.uint64(0))
        window._newest = np.where(left, newest - shift, -1).astype(np.int32)
        gone = users[users < len(newest)]
        window._newest[gone], window._seen[gone] = -1, 0
        return window

    def of(self, users: npt.NDArray[np.integer[Any]]) -> "WindowOfUsers":
        """A copy of what it knows of `users` `[n]`, ascending, no user twice."""
        part = ReplayWindow(0)
        part._newest, part._seen = self._newest[users], self._seen[users]
        return WindowOfUsers(users, part)

    def put(
        self,
        users: npt.NDArray[np.integer[Any]],
        *,
        newest: npt.NDArray[np.int32],
        seen: npt.NDArray[np.uint64],
    ) -> None:
        """Takes over what a copy of `users` `[n]`, made by `of`, has seen since.

        Args:
          users: whose.
          newest: `[n]`, as `to_arrays` of the copy's window says.
          seen: `[n]`, the same.
        """
        self._newest[users], self._seen[users] = newest, seen

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The state, as copies."""
        return {"newest": self._newest.copy(), "seen": self._seen.copy()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "ReplayWindow":
        """The window that `to_arrays` was asked of.

        Raises:
          DataError: when the arrays are no such state.
        """
        newest, seen = np.asarray(arrays.get("newest")), np.asarray(arrays.get("seen"))
        if newest.dtype != np.int32 or seen.dtype != np.uint64 or newest.shape != seen.shape:
            raise DataError(
                "replay window: expected arrays `newest` int32 and `seen` uint64 of one length, "
                f"got {newest.dtype} {newest.shape} and {seen.dtype} {seen.shape}"
            )
        window = cls(0)
        window._newest, window._seen = newest.copy(), seen.copy()
        return window

    def _admit_distinct(
        self, users: npt.NDArray[Any], rounds: npt.NDArray[Any]
    ) -> npt.NDArray[np.uint8]:
        newest, seen = self._newest[users].astype(np.int64), self._seen[users]
        ahead = rounds.astype(np.int64) - newest
        one = np.uint64(1)
        # A shift by the whole width is undefined: in its place stands what it should give.
        shift = np.minimum(np.abs(ahead), WINDOW_ROUNDS - 1).astype(np.uint64)
        newer, old = ahead > 0, ahead <= -WINDOW_ROUNDS
        moved = np.where(ahead < WINDOW_ROUNDS, seen << shift, np.uint64(0)) | one
        bit = one << shift
        self._newest[users] = np.maximum(newest, rounds).astype(np.int32)
        self._seen[users] = np.where(newer, moved, np.where(old, seen, seen | bit))
        repeated = ~newer & ((seen & bit) != 0)
        return np.where(old, TOO_OLD, np.where(repeated, SEEN, FRESH)).astype(np.uint8)


class WindowOfUsers:
    """What a `ReplayWindow` knows of a few users, who keep their numbers.

    Args:
      users: `[n]`, ascending, no user twice.
      window: of n users, who are counted from 0 there.

    >>> whole = ReplayWindow(9)
    >>> part = whole.of(np.array([3, 7]))
    >>> part.admit(np.array([7, 7, 3]), np.array([1, 1, 1])).tolist()
    [0, 1, 0]
    >>> whole.put(part.users, **part.window.to_arrays())
    >>> whole.admit(np.array([3, 4, 7]), np.array([1, 1, 1])).tolist()
    [1, 0, 1]
    """

    def __init__(self, users: npt.NDArray[np.integer[Any]], window: ReplayWindow) -> None:
        self.users = users
        self.window = window

    def admit(
        self, users: npt.NDArray[np.integer[Any]], rounds: npt.NDArray[np.integer[Any]]
    ) -> npt.NDArray[np.uint8]:
        """As `ReplayWindow.admit`, of some of its users."""
        return self.window.admit(np.searchsorted(self.users, users), rounds)
