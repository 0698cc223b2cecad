"""How far a cloud can name a device's newest interactions out of its catalog."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.audit.bends import Bends
from ecct_tf.audit.findings import Finding, found
from ecct_tf.audit.measures import Draws, Measured, mean
from ecct_tf.audit.membership import centred
from ecct_tf.audit.probes import FOLDS, fit_probe, folds_of
from ecct_tf.audit.received import Answers

__all__ = ["Catalog", "newest_ranks", "reconstruction"]

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

_PENALTIES = (0.3,)
# Items that a device never touched, of each user that an attacker learns from.
_OTHERS = 100
_TRAIN_ROWS = 50_000


@dataclasses.dataclass(frozen=True, eq=False)
class Catalog:
    """What is known of every pair of the audited users and the items.

    Attributes:
      users: `[n] int64`, ascending.
      older: each user's items that the cloud knows.
      newest: each user's items that only the device knows, without those in `older`.
      before: `[n, items + 1] float32`, `z_c` of a cloud that never received an uplink.
      after: `[n, items + 1] float32`, of the run's cloud, uplinks fused in.
      popularity: `[items + 1] float64`, older interactions.
    """

    users: Ids
    older: Sequence[Ids]
    newest: Sequence[Ids]
    before: Floats
    after: Floats
    popularity: Array

    @functools.cached_property
    def before_places(self) -> Floats:
        """`[n, items + 1] float32`: logarithm of an item's place in the user's list, from 1."""
        return _log_places(self.before, self.older)

    @functools.cached_property
    def after_places(self) -> Floats:
        """`[n, items + 1] float32`: the same of the run's cloud."""
        return _log_places(self.after, self.older)


def reconstruction(
    catalog: Catalog, answers: Answers, *, k: int, seeds: Sequence[int]
) -> list[Finding]:
    """HR@k of each newest item, and how many other items stand below it.

    The attacker ranks all items that the cloud does not know the user met; one of the newest
    is ranked without the others of them.

    Args:
      catalog: the users that have a newest item.
      answers: of these users.
      k: length of the attacker's list.
      seeds: of the folds, whose predictions are meaned.
    """
    known, both = _attacked(catalog, answers, seeds)
    draws = Draws(np.repeat(catalog.users, [len(items) for items in catalog.newest]))
    attacks: tuple[tuple[str, npt.NDArray[Any], npt.NDArray[Any]], ...] = (
        ("the cloud's own score", catalog.before, catalog.after),
        ("logistic regression", known, both),
    )
    sizes = _others(catalog)
    findings = []
    for method, first, second in attacks:
        ranks = [newest_ranks(scores, catalog) for scores in (first, second)]
        hits = [mean((each <= k).astype(np.float64), draws) for each in ranks]
        below = [mean(1.0 - (each - 1) / sizes, draws) for each in ranks]
        measures: tuple[tuple[str, float, list[Measured]], ...] = (
            (f"HR@{k}", float(np.minimum(k / (sizes + 1), 1.0).mean()), hits),
            ("items below", 0.5, below),
        )
        findings += [
            found(
                "reconstruction",
                "newest items",
                method=method,
                measure=measure,
                prior=prior,
                known=figures[0],
                received=None,
                both=figures[1],
                num_users=draws.num_users,
                base_rate=None,
            )
            for measure, prior, figures in measures
        ]
    return sorted(findings, key=lambda each: each.measure == "items below")


def newest_ranks(scores: npt.NDArray[np.floating[Any]], catalog: Catalog) -> Array:
    """The place of each newest item, user by user, from 1; ties count against it.

    Args:
      scores: `[n, items + 1]`, higher for what an attacker takes for newest.
      catalog: whose items.
    """
    ranks = []
    for row, newest in enumerate(catalog.newest):
        others = _open_items(catalog, row)
        others[newest] = False
        rivals = np.sort(scores[row, others])
        ranks.append(1 + len(rivals) - np.searchsorted(rivals, scores[row, newest], side="left"))
    return np.concatenate(ranks).astype(np.float64)


def _attacked(catalog: Catalog, answers: Answers, seeds: Sequence[int]) -> tuple[Array, Array]:
    """What logistic regressions say of every pair: by the cloud's own view, and by both."""
    known, both = np.zeros(catalog.before.shape), np.zeros(catalog.before.shape)
    pairs = _Pairs(catalog, answers)
    for seed in seeds:
        rows, items, labels = _learned(catalog, seed)
        first, second = pairs.features(rows, items)
        rng = np.random.default_rng([seed, 3])
        for train, test in folds_of(labels, rows, count=FOLDS, seed=seed):
            if len(train) > _TRAIN_ROWS:
                train = np.sort(rng.choice(train, _TRAIN_ROWS, replace=False))
            probe = fit_probe(
                first[train],
                second[train],
                labels[train],
                rows[train],
                seed=seed,
                penalties=_PENALTIES,
            )
            for row in np.unique(rows[test]):
                every = np.flatnonzero(_open_items(catalog, row))
                told = probe.scores(*pairs.features(np.full(len(every), row), every))
                known[row, every] += told.known[:, 1] - told.known[:, 0]
                both[row, every] += told.both[:, 1] - told.both[:, 0]
    return known, both


class _Pairs:
    """Features of pairs of a user's row and an item."""

    def __init__(self, catalog: Catalog, answers: Answers) -> None:
        self._catalog = catalog
        self._answers = answers
        self._stride = catalog.before.shape[1]
        row = np.searchsorted(catalog.users, answers.users)
        # Ascending, since users and each user's items are.
        self._keys = row * self._stride + answers.items
        self._bends: tuple[Bends, ...] | None = None
        self._logits = centred(answers.logit, answers.users, answers.with_logit)

    def features(self, rows: Ids, items: Ids) -> tuple[Array, Array]:
        """What was known and what was received of pairs `[p]`; the first ones place the bends."""
        catalog, answers = self._catalog, self._answers
        wanted = rows * self._stride + items
        place = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        asked = (self._keys[place] == wanted).astype(np.float64)
        before, after = catalog.before[rows, items], catalog.after[rows, items]
        known = [before, catalog.before_places[rows, items], np.log1p(catalog.popularity[items])]
        received = [after, catalog.after_places[rows, items]]
        if self._bends is None:
            self._bends = tuple(Bends(np.stack(each, axis=1)) for each in (known, received))
        first, second = (
            bends(np.stack(each, axis=1).astype(np.float64))
            for bends, each in zip(self._bends, (known, received), strict=True)
        )
        answered = [
            asked * after,
            asked * self._logits[place],
            asked * answers.logit[place],
            asked * answers.newest_logit[place],
        ]
        told = asked[:, None] * answers.embedding[place]
        asked_for = np.stack([asked * answers.times[place], asked * before], axis=1)
        return (
            np.hstack([first, asked_for]),
            np.hstack([second, np.stack(answered, axis=1), told]).astype(np.float64),
        )


def _learned(catalog: Catalog, seed: int) -> tuple[Ids, Ids, Ids]:
    """Rows, items and labels that an attacker who knows the truth of other users learns from."""
    rows, items, labels = list[Ids](), list[Ids](), list[Ids]()
    for row, parts in enumerate(_drawn(catalog, seed)):
        for label, chosen in enumerate(parts):
            rows.append(np.full(len(chosen), row))
            items.append(chosen)
            labels.append(np.full(len(chosen), label))
    return np.concatenate(rows), np.concatenate(items), np.concatenate(labels)


def _drawn(catalog: Catalog, seed: int) -> Iterator[tuple[Ids, Ids]]:
    """Of each user, items that are none of the newest, and the newest."""
    for row, newest in enumerate(catalog.newest):
        rng = np.random.default_rng([seed, 4, row])
        others = _open_items(catalog, row)
        others[newest] = False
        left = np.flatnonzero(others)
        yield rng.choice(left, min(_OTHERS, len(left)), replace=False), newest


def _log_places(scores: Floats, older: Sequence[Ids]) -> Floats:
    found = np.empty(scores.shape, np.float32)
    for row, known in enumerate(older):
        hidden = scores[row].copy()
        hidden[0] = hidden[known] = -np.inf
        found[row, np.argsort(-hidden, kind="stable")] = np.log1p(np.arange(scores.shape[1]))
    return found


def _open_items(catalog: Catalog, row: int) -> npt.NDArray[np.bool_]:
    """`[items + 1] bool`: what the cloud does not know the user met."""
    found = np.ones(catalog.before.shape[1], np.bool_)
    found[0] = False
    found[catalog.older[row]] = False
    return found


def _others(catalog: Catalog) -> Array:
    """For each newest item, how many items it is ranked among."""
    items = catalog.before.shape[1] - 1
    sizes = [
        items - len(np.unique(older)) - len(newest)
        for older, newest in zip(catalog.older, catalog.newest, strict=True)
    ]
    counts = [len(newest) for newest in catalog.newest]
    return np.maximum(np.repeat(sizes, counts), 1).astype(np.float64)
