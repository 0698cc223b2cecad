"""Scores on the devices, with each device's own copy of the weights."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.baselines.local_data import (
    LocalData,
    LocalDevice,
    LocalShard,
    NegativeSampler,
    cut_shards,
)
from ecct_tf.baselines.local_models import LocalModel
from ecct_tf.baselines.local_training import LocalTraining, local_logits
from ecct_tf.data import Candidates, Split
from ecct_tf.data.clock import request_readings
from ecct_tf.edge import pad_history
from ecct_tf.errors import DataError

__all__ = ["LocalScorer"]

# What negatives are drawn for; rounds have 1.
_BEFORE_SCORING = 2

# Bounds what one call scores; a temporal split may test a user many times.
_LOGITS_AT_ONCE = 32_768


class LocalScorer:
    """Scores candidates, if asked to after training each device's own copy.

    The copy is made anew for each scoring and thrown away: it is a function of the state,
    and the state does not change.
    """

    def __init__(
        self,
        model: LocalModel,
        devices: tuple[LocalDevice, ...],
        *,
        split: Split,
        personal: LocalTraining | None,
        sampler: NegativeSampler,
        shard_size: int,
        join: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    ) -> None:
        """Prepares scoring.

        Args:
          model: the model.
          devices: all devices.
          split: for the histories before tested interactions.
          personal: what a device trains before it scores; None for nothing.
          sampler: of the negatives of that training.
          shard_size: devices that are computed together.
          join: the models of a shard, from what is shared and what its devices keep.
        """
        self._join = join
        self._model = model
        self._devices = devices
        self._split = split
        self._personal = personal
        self._sampler = sampler
        self._place = {
            user: (number, index)
            for number, device in enumerate(devices)
            for index, user in enumerate(device.users)
        }
        self._shards = cut_shards(
            devices,
            range(len(devices)),
            shard_size=shard_size,
            batch_size=1 if personal is None else personal.batch_size,
        )
        self._train = tf.function(self._train_once, reduce_retracing=True, autograph=False)
        self._logits = tf.function(self._logits_of, reduce_retracing=True, autograph=False)

    def scores(
        self,
        shared: npt.NDArray[np.float32],
        private: npt.NDArray[np.float32],
        candidates: Candidates,
        *,
        round_number: int,
    ) -> npt.NDArray[np.float32]:
        """Logits `[rows, 1 + negatives]`.

        Args:
          shared: `[P_shared] float32`.
          private: `[devices, P_private] float32`.
          candidates: what to score; a user may have several rows.
          round_number: rounds done; the negatives of the personal training depend on it.

        Raises:
          DataError: when a candidate's user is on no device.
        """
        rows_of = self._rows_by_device(candidates)
        result = np.zeros(candidates.items.shape, np.float32)
        for shard in self._shards:
            rows = [rows_of[number] for number in shard.members.tolist()]
            if not any(rows):
                continue
            weights = self._join(tf.constant(shared), tf.constant(private[shard.members]))
            weights = self._personalised(weights, shard, round_number)
            choices = candidates.items.shape[1]
            step = max(1, _LOGITS_AT_ONCE // (len(rows) * choices))
            for start in range(0, max(map(len, rows)), step):
                part = [own[start : start + step] for own in rows]
                logits = self._score_part(weights, part, candidates)
                for own, values in zip(part, logits, strict=True):
                    result[own] = values[: len(own)]
        return result

    def _rows_by_device(self, candidates: Candidates) -> list[list[int]]:
        rows: list[list[int]] = [[] for _ in self._devices]
        for row, user in enumerate(candidates.users.tolist()):
            if user not in self._place:
                raise DataError(
                    f"candidates: user {user} of row {row} is on none of the "
                    f"{len(self._devices)} devices; score candidates of the split that the "
                    "devices were built from"
                )
            rows[self._place[user][0]].append(row)
        return rows

    def _personalised(self, weights: Any, shard: LocalShard, round_number: int) -> Any:
        if self._personal is None:
            return weights
        for epoch in range(self._personal.epochs):
            negatives = self._sampler.stacked(
                shard,
                purpose=_BEFORE_SCORING + epoch,
                round_number=round_number,
                batch_size=self._personal.batch_size,
            )
            weights = self._train(weights, shard.data, negatives)
        return weights

    def _train_once(self, weights: Any, data: LocalData, negatives: Any) -> Any:
        if self._personal is None:
            return weights
        once = dataclasses.replace(self._personal, epochs=1)
        return once(weights, LocalData(*data), negatives)[0]

    def _score_part(
        self, weights: Any, rows: list[list[int]], candidates: Candidates
    ) -> npt.NDArray[np.float32]:
        """Logits `[C, B, K]` of B rows of each device; devices with fewer are padded."""
        extent = max(map(len, rows))
        length = self._model.history_length
        columns = len(self._devices[0].profiles[0])
        histories = np.zeros((len(rows), extent, length), np.int32)
        items = np.ones((len(rows), extent, candidates.items.shape[1]), np.int32)
        profile = np.zeros((len(rows), extent, columns), np.int32)
        features = self._model.features
        clock = np.zeros((len(rows), extent, features.clock_width), np.float32)
        for device, own in enumerate(rows):
            clock[device, : len(own)] = request_readings(
                self._split, candidates.users[own], candidates.positions[own], config=features
            )
            for place, row in enumerate(own):
                user = int(candidates.users[row])
                number, index = self._place[user]
                before = self._split.before(user, int(candidates.positions[row]))
                if length:
                    histories[device, place] = pad_history(before, length)
                items[device, place] = candidates.items[row]
                profile[device, place] = self._devices[number].profiles[index]
        logits: npt.NDArray[np.float32] = self._logits(
            weights, histories, items, profile, clock
        ).numpy()
        return logits

    def _logits_of(self, weights: Any, histories: Any, items: Any, profile: Any, clock: Any) -> Any:
        return local_logits(
            self._model,
            weights,
            histories=histories,
            candidates=items,
            profile=profile,
            clock=clock,
        )
