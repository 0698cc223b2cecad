"""Whether what a cloud received tells that an item is among a device's newest interactions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.audit.bends import Bends
from ecct_tf.audit.findings import Finding, found
from ecct_tf.audit.likelihood import Ratios, likelihood_ratios
from ecct_tf.audit.measures import Curve, Draws
from ecct_tf.audit.probes import FOLDS, crossed_scores
from ecct_tf.audit.received import Answers

__all__ = ["FALSE_RATE", "CloudScores", "centred", "membership"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

FALSE_RATE = 0.01
_TARGET = "recent item"
# With thousands of rows and some 30 features the penalty decides nothing.
_PENALTIES = (0.3,)
_TRAIN_ROWS = 50_000


class CloudScores(NamedTuple):
    """What two clouds say of pairs: one that has never received an uplink, and the run's.

    Attributes:
      before: `[p] float64`, `z_c`.
      before_place: `[p] float64`, logarithm of the item's place in the user's list, from 1.
      after: `[p] float64`, `z_c` with uplinks fused in.
      after_place: `[p] float64`.
    """

    before: Array
    before_place: Array
    after: Array
    after_place: Array


def membership(
    answers: Answers,
    members: Mask,
    scores: CloudScores,
    popularity: Array,
    *,
    seeds: Sequence[int],
) -> list[Finding]:
    """AUC and share found at 1 % false alarms, by several attackers.

    Args:
      answers: `p` pairs, of which each either is a member or was never touched.
      members: `[p]`, whether the item is among the newest on the device.
      scores: of these pairs.
      popularity: `[items + 1] float64`, older interactions with each item.
      seeds: of the folds, whose predictions are meaned.
    """
    users, labels = answers.users, members.astype(np.int64)
    known = _known(answers, scores, popularity)
    probed = crossed_scores(
        known,
        _received(answers, scores),
        labels,
        users,
        seeds=seeds,
        penalties=_PENALTIES,
        train_rows=_TRAIN_ROWS,
    )
    odds = [each[:, 1] - each[:, 0] for each in probed]
    attacks: list[tuple[str, Array, Array | None, Array | None]] = [
        ("the cloud's own score", scores.before, None, scores.after),
        ("logistic regression", odds[0], odds[1], odds[2]),
    ]
    ratios = _ratios(answers, members, scores, seed=seeds[0])
    attacks += [
        ("likelihood ratio", odds[0], ratios.online, odds[0] + ratios.online),
        ("likelihood ratio, offline", odds[0], ratios.offline, None),
    ]
    draws, findings = Draws(users), list[Finding]()
    for method, before, alone, both in attacks:
        curves = [
            None if each is None else Curve(each, members, draws) for each in (before, alone, both)
        ]
        for measure, prior in (("AUC", 0.5), ("TPR at 1 % FPR", FALSE_RATE)):
            figures = [
                None if each is None else each.area if measure == "AUC" else each.rate(FALSE_RATE)
                for each in curves
            ]
            findings.append(
                found(
                    "membership",
                    _TARGET,
                    method=method,
                    measure=measure,
                    prior=prior,
                    known=figures[0],
                    received=figures[1],
                    both=figures[2],
                    num_users=draws.num_users,
                    base_rate=float(members.mean()),
                )
            )
    return sorted(findings, key=lambda each: each.measure != "AUC")


def centred(values: Array, users: npt.NDArray[np.int64], rows: Mask) -> Array:
    """Values less their mean over the user's `rows`; 0 elsewhere.

    >>> rows = np.array([True, True, False])
    >>> centred(np.array([1.0, 3.0, 9.0]), np.array([2, 2, 2]), rows).tolist()
    [-1.0, 1.0, 0.0]
    """
    _, place = np.unique(users, return_inverse=True)
    counts = np.bincount(place, weights=rows)
    means = np.bincount(place, weights=np.where(rows, values, 0.0)) / np.maximum(counts, 1)
    return np.where(rows, values - means[place], 0.0)


def _ratios(answers: Answers, members: Mask, scores: CloudScores, *, seed: int) -> Ratios:
    """By `h_e` where it is kept, and by `z_e` where it was sent."""
    found = Ratios(np.zeros(len(members)), np.zeros(len(members)))
    level = answers.logit - centred(answers.logit, answers.users, answers.with_logit)
    central = np.stack([scores.before, scores.before_place, level], axis=1)
    numbers = np.hstack([answers.logit[:, None], answers.embedding])
    for logit in (True, False):
        for embedding in (True, False):
            rows = (answers.with_logit == logit) & (answers.with_embedding == embedding)
            columns = [logit, *[embedding] * answers.embedding.shape[1]]
            inside = len(np.unique(answers.users[rows & members]))
            if min(inside, len(np.unique(answers.users[rows & ~members]))) < 2 * FOLDS:
                # Too few to fit anything: their ratio says nothing.
                continue
            part = likelihood_ratios(
                numbers[rows][:, columns],
                items=answers.items[rows],
                users=answers.users[rows],
                members=members[rows],
                central=central[rows],
                seed=seed,
            )
            found.online[rows], found.offline[rows] = part
    return found


def _known(answers: Answers, scores: CloudScores, popularity: Array) -> Array:
    curved = [scores.before, scores.before_place, np.log1p(popularity[answers.items])]
    return np.hstack([_bent(curved), answers.times[:, None]])


def _received(answers: Answers, scores: CloudScores) -> Array:
    curved = [scores.after, scores.after_place, answers.logit]
    numbers = [
        answers.newest_logit,
        centred(answers.logit, answers.users, answers.with_logit),
        answers.with_logit,
        answers.with_embedding,
        np.linalg.norm(answers.embedding, axis=1),
    ]
    straight = np.stack(numbers, axis=1).astype(np.float64)
    return np.hstack([_bent(curved), straight, answers.embedding])


def _bent(columns: Sequence[Array]) -> Array:
    values = np.stack(columns, axis=1)
    return Bends(values)(values)
