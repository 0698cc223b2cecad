"""Evaluation on the devices: every user's candidates, scored by the user's own model."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import FeatureConfig
from ecct_tf.data import Candidates, Split
from ecct_tf.data.clock import request_readings
from ecct_tf.edge import ItemTensors, item_tensors, pad_history, pair_inputs
from ecct_tf.federated import DownlinkSource, EcctProcess, EcctState
from ecct_tf.federated.cohort import Cohort
from ecct_tf.knowledge import ItemTable

__all__ = ["EdgeEvaluator"]

_CHUNK = 256
# Validation and test.
_KEPT = 2


class _Asked(NamedTuple):
    """The tested interactions of a cohort's users, without the items to be scored.

    Attributes:
      rows: `[r] int64`, their rows among all.
      users: `[u] int32`, users of the cohort with such a row.
      place: `[r] int64`, whose of them each row is.
      owners: `[r] int64`, number of the device.
      profiles: `[r, columns] int32`.
      histories: `[r, L] int32`, what came before.
      clocks: `[r, W] float32`.
    """

    rows: npt.NDArray[np.int64]
    users: npt.NDArray[np.int32]
    place: npt.NDArray[np.int64]
    owners: npt.NDArray[np.int64]
    profiles: npt.NDArray[np.int32]
    histories: npt.NDArray[np.int32]
    clocks: npt.NDArray[np.float32]


class EdgeEvaluator:
    """Scores candidates with the edge models of a process.

    A device's history then holds all that came before the tested interaction, its cloud
    knowledge has crossed the codec, and the cloud has not seen the validation item.
    """

    def __init__(
        self, process: EcctProcess, split: Split, *, table: ItemTable, features: FeatureConfig
    ) -> None:
        self._process = process
        self._split = split
        self._features = features
        self._items = ItemTensors(*(tf.constant(array) for array in item_tensors(table)))
        self._block_sizes = tuple(block.source.shape[1] for block in table.blocks)
        self._asked: dict[tuple[bytes, bytes], tuple[_Asked, ...]] = {}
        self._scorers: dict[tuple[int, bool], tf.types.experimental.GenericFunction] = {}

    def scores(
        self, state: EcctState, cloud: DownlinkSource, candidates: Candidates
    ) -> npt.NDArray[np.float32]:
        """Edge logits of `candidates`: `[rows, 1 + negatives] float32`.

        Args:
          state: weights and round.
          cloud: makes the downlinks of the evaluation.
          candidates: one row for each tested interaction; a user may have several or none.
        """
        stage = self._process.stage_of(max(state.round_number - 1, 0))
        result = np.zeros(candidates.items.shape, np.float32)
        for index, asked in enumerate(self._asked_of(candidates)):
            rows, who, place = asked.rows, asked.users, asked.place
            if not len(rows):
                continue
            cohort = self._process.cohorts[index]
            exchange = cohort.work.exchange
            sent = exchange.nothing_known([len(who)])
            if cohort.work.receives:
                sent = cloud.downlinks(who, round_number=state.round_number)
                exchange.check_known(sent, users=len(who))
            received = exchange.as_received(tf.nest.map_structure(tf.constant, sent))
            scorer = self._scorer(index, stage == 2 and cohort.work.receives)
            for start in range(0, len(rows), _CHUNK):
                chunk = slice(start, start + _CHUNK)
                result[rows[chunk]] = scorer(
                    tf.constant(state.cohorts[index].weights(asked.owners[chunk])),
                    tf.constant(asked.histories[chunk]),
                    tf.constant(candidates.items[rows[chunk]]),
                    tf.constant(asked.profiles[chunk]),
                    tf.nest.map_structure(partial(tf.gather, indices=place[chunk]), received),
                    tf.constant(asked.clocks[chunk]),
                ).numpy()
        return result

    def _asked_of(self, candidates: Candidates) -> tuple[_Asked, ...]:
        """What is asked of each cohort; the newest are kept, since items alone often differ."""
        key = (candidates.users.tobytes(), candidates.positions.tobytes())
        found = self._asked.pop(key, None)
        if found is None:
            rows_of = _rows_by_user(candidates)
            found = tuple(
                _asked(cohort, rows_of, candidates, split=self._split, features=self._features)
                for cohort in self._process.cohorts
            )
        self._asked[key] = found
        while len(self._asked) > _KEPT:
            del self._asked[next(iter(self._asked))]
        return found

    def _scorer(self, index: int, use_logit: bool) -> tf.types.experimental.GenericFunction:
        key = (index, use_logit)
        if key not in self._scorers:
            work = self._process.cohorts[index].work

            @tf.function(reduce_retracing=True, autograph=False)
            def score(
                weights: tf.Tensor,
                history: tf.Tensor,
                candidates: tf.Tensor,
                profile: tf.Tensor,
                user_embeddings: Any,
                clock: tf.Tensor,
            ) -> tf.Tensor:
                inputs = pair_inputs(
                    self._items,
                    block_sizes=self._block_sizes,
                    config=self._features,
                    history=history,
                    candidates=candidates,
                    profile=profile,
                    user_embeddings=user_embeddings,
                    use_logit=use_logit,
                    clock=clock,
                    reads_items=work.model.reads_items,
                )
                return work.model.forward(weights, inputs).logit

            self._scorers[key] = score
        return self._scorers[key]


def _asked(
    cohort: Cohort,
    rows_of: Mapping[int, Sequence[int]],
    candidates: Candidates,
    *,
    split: Split,
    features: FeatureConfig,
) -> _Asked:
    known = cohort.devices.outlines
    tested = np.isin(known.users, candidates.users)
    who, owner, profile = known.users[tested], known.owners[tested], known.profiles[tested]
    per_user = [rows_of[int(user)] for user in who]
    rows = np.array([row for mine in per_user for row in mine], np.int64)
    place = np.repeat(np.arange(len(who)), [len(mine) for mine in per_user])
    users, positions = candidates.users[rows], candidates.positions[rows]
    histories = np.zeros((len(rows), features.history_length), np.int32)
    for row, (user, position) in enumerate(zip(users.tolist(), positions.tolist(), strict=True)):
        histories[row] = pad_history(split.before(user, position), features.history_length)
    clocks = request_readings(split, users, positions, config=features)
    return _Asked(rows, who, place, owner[place], profile[place], histories, clocks)


def _rows_by_user(candidates: Candidates) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = {}
    for row, user in enumerate(candidates.users.tolist()):
        rows.setdefault(user, []).append(row)
    return rows
