"""Evaluation on the devices: every user's candidates, scored by the user's own model."""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import FeatureConfig
from ecct_tf.data import Candidates, Split
from ecct_tf.data.clock import request_readings
from ecct_tf.edge import ItemTensors, item_tensors, pad_history, pair_inputs
from ecct_tf.federated import DownlinkSource, EcctProcess, EcctState
from ecct_tf.knowledge import ItemTable

__all__ = ["EdgeEvaluator"]

_CHUNK = 256


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
        rows_of = _rows_by_user(candidates)
        result = np.zeros(candidates.items.shape, np.float32)
        for index, cohort in enumerate(self._process.cohorts):
            users, owners, profiles = [], [], []
            for number, device in enumerate(cohort.devices.devices):
                users.append(device.users)
                owners.append(np.full(len(device.users), number))
                profiles.append(device.profile)
            who, owner = np.concatenate(users), np.concatenate(owners)
            profile = np.concatenate(profiles)
            per_user = [rows_of.get(int(user), []) for user in who]
            rows = np.array([row for mine in per_user for row in mine], np.int64)
            if not len(rows):
                continue
            place = np.repeat(np.arange(len(who)), [len(mine) for mine in per_user])
            histories = (
                self._split.before(int(candidates.users[row]), int(candidates.positions[row]))
                for row in rows
            )
            length = self._features.history_length
            clock = request_readings(
                self._split,
                candidates.users[rows],
                candidates.positions[rows],
                config=self._features,
            )
            history = np.stack([pad_history(items, length) for items in histories])
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
                    tf.constant(state.cohorts[index].weights(owner[place[chunk]])),
                    tf.constant(history[chunk]),
                    tf.constant(candidates.items[rows[chunk]]),
                    tf.constant(profile[place[chunk]]),
                    tf.nest.map_structure(partial(tf.gather, indices=place[chunk]), received),
                    tf.constant(clock[chunk]),
                ).numpy()
        return result

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


def _rows_by_user(candidates: Candidates) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = {}
    for row, user in enumerate(candidates.users.tolist()):
        rows.setdefault(user, []).append(row)
    return rows
