"""Evaluation on the devices: every user's candidates, scored by the user's own model."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import FeatureConfig
from ecct_tf.data import Candidates, Split
from ecct_tf.edge import table_tensors
from ecct_tf.federated import DownlinkSource, EcctProcess, EcctState
from ecct_tf.federated.cohort import Cohort, CohortState
from ecct_tf.knowledge import ItemTable
from ecct_tf.simulation.device_guard import held_back, kept_training
from ecct_tf.simulation.edge_scorer import EdgeScorer
from ecct_tf.simulation.holding import Holding
from ecct_tf.simulation.requests import Asked, asked_of, rows_by_user

__all__ = ["EdgeEvaluator"]

Array = npt.NDArray[np.float32]

# Validation and test.
_KEPT = 2


class _Requests(NamedTuple):
    """What is asked of a cohort, and by what its devices judge their training then.

    Attributes:
      asked: the tested interactions.
      held: the held-back positions; None without a guard.
      held_items: `[g, 1 + 99] int32`, their candidates.
      requests: `[g] int64`, which of the tested interactions each belongs to.
    """

    asked: Asked
    held: Asked | None
    held_items: npt.NDArray[np.int32]
    requests: npt.NDArray[np.int64]


class _Verdict(NamedTuple):
    """Which requests are served with trained weights, and what that was judged by.

    Attributes:
      state: of the cohort.
      known: digest of what devices received of the cloud.
      before: `[g, 1 + 99] float32`, logits at the held-back positions with starting weights.
      kept: `[r] bool`.
    """

    state: CohortState
    known: bytes
    before: Array
    kept: npt.NDArray[np.bool_]


class EdgeEvaluator:
    """Scores candidates with the edge models of a process.

    A device's history then holds all that came before the tested interaction, its cloud
    knowledge has crossed the codec, and the cloud has not seen the validation item. A device that
    ranks its held-back positions lower than at its start serves with the weights of its start.
    """

    def __init__(
        self,
        process: EcctProcess,
        split: Split,
        *,
        table: ItemTable,
        features: FeatureConfig,
        holding: Holding | None = None,
    ) -> None:
        """Takes what devices hold.

        Args:
          process: their models.
          split: of their data.
          table: the item table as devices received it.
          features: how histories are pooled.
          holding: of which items devices hold rows; None for all.
        """
        self._holding = holding
        self._process = process
        self._split = split
        self._features = features
        items = table_tensors(table)
        self._scorers = tuple(
            EdgeScorer(cohort.work, items=items, features=features) for cohort in process.cohorts
        )
        self._asked: dict[tuple[bytes, bytes], tuple[_Requests, ...]] = {}
        # Of the newest state that each cohort's requests, by their key above, were judged in.
        self._verdicts: dict[tuple[int, bytes, bytes], _Verdict] = {}

    def scores(
        self,
        state: EcctState,
        cloud: DownlinkSource,
        candidates: Candidates,
        *,
        target: int | None = None,
    ) -> npt.NDArray[np.float32]:
        """Edge logits of `candidates`: `[rows, 1 + negatives] float32`.

        Args:
          state: weights and round.
          cloud: makes the downlinks of the evaluation.
          candidates: one row for each tested interaction; a user may have several or none.
          target: of which further target, by its place; None for the logit that ranks. Further
            targets are of the trained weights alone: at its start their heads are untrained.
        """
        candidates = self._placed(candidates)
        result = np.zeros(candidates.items.shape, np.float32)
        for index, (asked, *_) in enumerate(self._asked_of(candidates)):
            if not len(asked.rows):
                continue
            weights, cohort = state.cohorts[index].weights, self._process.cohorts[index]
            known = self._known(index, state, cloud, asked.users)
            kept = np.ones(len(asked.rows), np.bool_)
            if target is None:
                kept = self._kept(index, state, known, candidates)

            def served(
                rows: slice,
                *,
                kept: npt.NDArray[np.bool_] = kept,
                weights: Callable[..., Array] = weights,
                start: Array | None = cohort.start,
                owners: npt.NDArray[np.int64] = asked.owners,
            ) -> Array:
                trained = weights(owners[rows])
                if start is None:
                    return trained
                chosen: Array = np.where(kept[rows, None], trained, start)
                return chosen

            items = candidates.items[asked.rows]
            result[asked.rows] = self._logits(
                index, state, asked, items, known=known, weights=served, target=target
            )
        return result

    def at_start(
        self, state: EcctState, cloud: DownlinkSource, candidates: Candidates
    ) -> float | None:
        """Share of the tested interactions that are served with starting weights.

        Without a guard, or without a tested interaction, there is none: None.
        """
        candidates = self._placed(candidates)
        verdicts = []
        for index, (asked, held, *_) in enumerate(self._asked_of(candidates)):
            if held is not None and len(asked.rows):
                known = self._known(index, state, cloud, asked.users)
                verdicts.append(self._kept(index, state, known, candidates))
        return float(1.0 - np.concatenate(verdicts).mean()) if verdicts else None

    def _placed(self, candidates: Candidates) -> Candidates:
        return candidates if self._holding is None else self._holding.placed(candidates)

    def _known(
        self, index: int, state: EcctState, cloud: DownlinkSource, users: npt.NDArray[np.int32]
    ) -> Any:
        """What a cohort's devices received of the cloud."""
        work = self._process.cohorts[index].work
        sent = work.exchange.nothing_known([len(users)])
        if work.receives:
            sent = cloud.downlinks(users, round_number=state.round_number)
            work.exchange.check_known(sent, users=len(users))
        return work.exchange.as_received(tf.nest.map_structure(tf.constant, sent))

    def _kept(
        self, index: int, state: EcctState, known: Any, candidates: Candidates
    ) -> npt.NDArray[np.bool_]:
        """Which of a cohort's requests are served with trained weights: `[r] bool`."""
        asked, held, items, requests = self._asked_of(candidates)[index]
        start, cohort = self._process.cohorts[index].start, state.cohorts[index]
        if held is None or start is None:
            return np.ones(len(asked.rows), np.bool_)
        digest = hashlib.sha256(bytes([self._reads_logits(index, state)]))
        for part in tf.nest.flatten(known):
            digest.update(part.numpy().tobytes())
        key = index, *_key(candidates)
        found = self._verdicts.get(key)
        if found is None or found.state is not cohort or found.known != digest.digest():

            def begun(rows: slice) -> Array:
                return np.broadcast_to(start, (len(held.rows[rows]), len(start)))

            def trained(rows: slice) -> Array:
                return cohort.weights(held.owners[rows])

            def logits(weights: Callable[[slice], Array]) -> Array:
                return self._logits(index, state, held, items, known=known, weights=weights)

            # Starting weights say the same until the cloud says something else.
            same = found is not None and found.known == digest.digest()
            before = found.before if found is not None and same else logits(begun)
            kept = kept_training(
                before,
                logits(trained),
                requests=requests,
                count=len(asked.rows),
                wanted=self._process.cohorts[index].work.task.samples.guard_positions,
            )
            found = self._verdicts[key] = _Verdict(cohort, digest.digest(), before, kept)
        return found.kept

    def _logits(
        self,
        index: int,
        state: EcctState,
        asked: Asked,
        items: npt.NDArray[np.int32],
        *,
        known: Any,
        weights: Callable[[slice], Array],
        target: int | None = None,
    ) -> Array:
        """Logits of `items`, `[r, c]`, at what is asked, with the `weights` of some of its rows."""
        return self._scorers[index].logits(
            asked,
            items,
            known=known,
            weights=weights,
            use_logit=self._reads_logits(index, state),
            target=target,
        )

    def _reads_logits(self, index: int, state: EcctState) -> bool:
        stage = self._process.stage_of(max(state.round_number - 1, 0))
        return stage == 2 and self._process.cohorts[index].work.receives

    def _asked_of(self, candidates: Candidates) -> tuple[_Requests, ...]:
        """What is asked of each cohort; the newest are kept, since items alone often differ."""
        key = _key(candidates)
        found = self._asked.pop(key, None)
        if found is None:
            rows_of = rows_by_user(candidates)
            found = tuple(
                self._requests(cohort, rows_of, candidates) for cohort in self._process.cohorts
            )
        self._asked[key] = found
        while len(self._asked) > _KEPT:
            dropped = next(iter(self._asked))
            del self._asked[dropped]
            for index in range(len(self._process.cohorts)):
                self._verdicts.pop((index, *dropped), None)
        return found

    def _requests(
        self, cohort: Cohort, rows_of: Mapping[int, Sequence[int]], candidates: Candidates
    ) -> _Requests:
        split, rows = self._split, None
        if self._holding is not None:
            split, rows = self._holding.split, self._holding.items
        asked_by = partial(asked_of, cohort, split=split, features=self._features)
        asked = asked_by(rows_of, candidates)
        samples = cohort.work.task.samples
        if cohort.start is None or not samples.guard_positions:
            nothing = np.zeros((0, 1), np.int32)
            return _Requests(asked, None, nothing, np.zeros(0, np.int64))
        held, requests = held_back(candidates, asked.rows, split=split, samples=samples, held=rows)
        judged = asked_by(rows_by_user(held), held)
        return _Requests(asked, judged, held.items[judged.rows], requests[judged.rows])


def _key(candidates: Candidates) -> tuple[bytes, bytes]:
    return candidates.users.tobytes(), candidates.positions.tobytes()
