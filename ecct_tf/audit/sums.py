"""What sums over devices tell of single answers: the best linear guess of each.

The attacker knows whom the cloud asked about what. In each round other devices are asked about an
item, so that its sums differ by who is in them; where few were asked, a sum is nearly an answer. It
takes answers about an item to be a common part and one of each device, both normal
with the variances that the sums themselves show, and the same in each round: then the best guess
of an answer is its conditional mean given all sums of the item.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.audit.received import Received
from ecct_tf.federated.item_rows import Asked
from ecct_tf.knowledge.item_means import AskedSums, ItemMeans, variances
from ecct_tf.knowledge.item_sums import Payload

__all__ = ["guessed_answers", "received_of_sums"]

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

# Of the bound's mean square of an answer: devices never agree wholly.
_LEAST_WITHIN = 0.01


class _Look(NamedTuple):
    """The sum of an item in a round: of whom, and how much else is in it."""

    users: Ids
    value: Array
    variance: float


def received_of_sums(rounds: Sequence[tuple[int, Sequence[Asked]]], *, width: int) -> Received:
    """Rows as if devices had sent them, of the best guess at what each said.

    Args:
      rounds: the sums of each round, with its number.
      width: d_e.
    """
    every = [asked for _, round_sums in rounds for asked in round_sums]
    guesses = {
        name: guessed_answers([asked.sums for asked in every], name)
        for name in ("embeddings", "logits")
    }
    parts = []
    for number, round_sums in rounds:
        for asked in round_sums:
            sums = asked.sums
            said = {"embeddings": _unknown(sums.items, width), "logits": _unknown(sums.items, 1)}
            for payload in sums.spec.payloads:
                guessed, rows = guesses[payload.name], said[payload.name]
                for row, user in enumerate(sums.users.tolist()):
                    for place, item in enumerate(sums.items[row].tolist()):
                        if item:
                            rows[row, place] = guessed[user, item]
            parts.append(
                (
                    sums.users.astype(np.int64),
                    np.full(len(sums.users), number),
                    sums.items.astype(np.int64),
                    said["embeddings"],
                    asked.expected + said["logits"][..., 0],
                )
            )
    users, numbers, items, embeddings, logits = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return Received(users, numbers, items, embeddings, logits, source="sums over devices")


def guessed_answers(every: Sequence[AskedSums], name: str) -> dict[tuple[int, int], Array]:
    """The best linear guess of what each device said of each item it was asked about, `[k]`.

    Args:
      every: the sums of all rounds.
      name: of the payload.

    Returns:
      By user and item.
    """
    with_it = [
        (sums, payload) for sums in every for payload in sums.spec.payloads if payload.name == name
    ]
    if not with_it:
        return {}
    spec = with_it[0][0].spec
    means = ItemMeans.none(spec.num_items, spec.embedding_dim)
    for sums in every:
        means = means.observed(sums)
    known = means.means[name]
    most = _most(*with_it[0])
    between, within = variances(known.moments)
    within = max(within, _LEAST_WITHIN * most)
    centre = known.overall / known.overall_weight
    looks = dict[int, list[_Look]]()
    for sums, payload in with_it:
        for item, look in _looks(sums, payload, between=between, within=within, centre=centre):
            looks.setdefault(item, []).append(look)
    guesses = dict[tuple[int, int], Array]()
    for item, found in looks.items():
        users, values = _conditional(found, between=between, within=within, centre=centre)
        guesses.update(
            {(int(user), item): value for user, value in zip(users, values, strict=True)}
        )
    return guesses


def _conditional(
    looks: Sequence[_Look], *, between: float, within: float, centre: Array
) -> tuple[Ids, Array]:
    """The users who were asked about an item, and the conditional mean of what each said."""
    users = np.unique(np.concatenate([look.users for look in looks]))
    inside = np.stack([np.isin(users, look.users) for look in looks]).astype(np.float64)
    counts = inside.sum(axis=1)
    covariance = between * np.outer(counts, counts) + within * inside @ inside.T
    covariance += np.diag([look.variance for look in looks])
    excess = np.stack([look.value for look in looks]) - counts[:, None] * centre
    weights = np.linalg.solve(covariance, excess)
    return users, centre + (between * counts[None] + within * inside.T) @ weights


def _looks(
    sums: AskedSums, payload: Payload, *, between: float, within: float, centre: Array
) -> list[tuple[int, _Look]]:
    """The sum of each item that was asked about; other items in its bucket count as noise."""
    items = sums.items.ravel().astype(np.int64)
    users = np.repeat(sums.users.astype(np.int64), sums.items.shape[1])
    users, items = users[items > 0], items[items > 0]
    order = np.argsort(items, kind="stable")
    asked, starts, counts = np.unique(items[order], return_index=True, return_counts=True)
    buckets, signs = sums.spec.places(asked, np.int64(sums.salt))
    total = sums.spec.decoded(sums.total, payload)
    number, signed, squares = (
        np.bincount(buckets, weights=each, minlength=sums.spec.buckets)
        for each in (counts, signs * counts, counts**2)
    )
    found = []
    for place, item in enumerate(asked):
        bucket, sign, count = buckets[place], signs[place], counts[place]
        others = signed[bucket] - sign * count
        noise = payload.noise**2 + payload.unit**2
        noise += within * (number[bucket] - count) + between * (squares[bucket] - count**2)
        value = sign * (total[bucket] - others * centre)
        own = users[order[starts[place] : starts[place] + count]]
        found.append((int(item), _Look(own, value, float(noise))))
    return found


def _unknown(items: npt.NDArray[np.int32], width: int) -> Array:
    return np.full((*items.shape, width), np.nan)


def _most(sums: AskedSums, payload: Payload) -> float:
    asked = max(int((sums.items > 0).sum()), 1)
    return payload.clip**2 * sums.devices / (asked * payload.width)
