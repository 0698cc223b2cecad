"""Scores for users without a device in the run, as an app serves somebody who comes now."""

import functools

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.segments import EVERYBODY, mean_of_everybody
from ecct_tf.data import Candidates
from ecct_tf.data.clock import request_readings
from ecct_tf.data.profile import device_profiles
from ecct_tf.edge import pad_history, table_tensors
from ecct_tf.errors import ConfigError
from ecct_tf.federated import Cohort
from ecct_tf.knowledge import CloudRows
from ecct_tf.runs.models import RunModels
from ecct_tf.simulation.edge_scorer import EdgeScorer
from ecct_tf.simulation.holding import holds_candidates
from ecct_tf.simulation.requests import Asked

__all__ = ["Newcomers"]

Array = npt.NDArray[np.float32]

_MEAN_USER = f"the downlink of the mean user (segment {EVERYBODY!r})"


class Newcomers:
    """What a run has for users who have too few interactions to be on one of its devices.

    The edge model is that of a device that has not trained, of the tier with the most devices. Of
    the cloud it reads what a publication has for a user unknown to it: the segment of all users.
    History and profile are the user's own, and stay on the device.
    """

    def __init__(self, models: RunModels) -> None:
        """Takes the models of the run, at its newest checkpoint."""
        self._models = models
        self._cohort: Cohort = max(models.process.cohorts, key=len)

    def scores(self, side: str, candidates: Candidates) -> Array:
        """Logits of `candidates`, `[rows, columns] float32`, by the model of `side`.

        Raises:
          ConfigError: when a newcomer cannot be served by that side of the run.
        """
        return self._of_edge(candidates) if side == "edge" else self._of_cloud(candidates)

    def served_by(self, side: str) -> str:
        """A sentence on what serves a newcomer instead of a device of the run."""
        if side != "edge":
            return f"The cloud serves with {_MEAN_USER}."
        tier = self._cohort.work.model.tier
        which = "starting" if tier in self._models.starts else "mean"
        told = "nothing of the cloud" if self._sent is None else _MEAN_USER
        return f"A new device of tier {tier} serves with {which} weights, {told} and their history."

    def _of_edge(self, candidates: Candidates) -> Array:
        models, work = self._models, self._cohort.work
        config, tier = models.experiment.config, work.model.tier
        if holds_candidates(config):
            raise ConfigError(
                "side: expected 'cloud' for a user without a device in a run of "
                "exchange.items=candidates, received 'edge'; devices rank the rows that the cloud "
                "chose for their user, and it chose none for this one"
            )
        rows = len(candidates.users)
        sent = work.exchange.nothing_known([rows])
        if self._sent is not None:
            sent = np.tile(self._sent, (rows, 1))
        weights = models.weights(tier, new_device=tier in models.starts)
        return self._scorer.logits(
            self._asked(candidates),
            candidates.items,
            known=work.exchange.as_received(tf.nest.map_structure(tf.constant, sent)),
            weights=lambda chosen: np.tile(weights, (len(candidates.users[chosen]), 1)),
            use_logit=work.receives and models.task(tier).uses_logits,
        )

    def _of_cloud(self, candidates: Candidates) -> Array:
        if self._sent is None:
            raise ConfigError(
                "side: expected 'edge' for a user without a device in this run, received 'cloud'; "
                "its cloud scores single users, and has no vector of a segment for an unknown one"
            )
        table = self._models.table
        logits: Array = table.cloud[candidates.items] @ self._sent + table.bias[candidates.items]
        return logits

    def _asked(self, candidates: Candidates) -> Asked:
        experiment, users = self._models.experiment, candidates.users
        split, features = experiment.split, experiment.config.features
        before = map(split.before, users.tolist(), candidates.positions.tolist())
        rows = np.arange(len(users))
        return Asked(
            rows=rows,
            users=users,
            place=rows,
            owners=np.zeros(len(users), np.int64),
            profiles=device_profiles(
                experiment.dataset.user_columns,
                users.astype(np.int64),
                shape=self._cohort.work.model.profile,
            ),
            histories=np.stack([pad_history(each, features.history_length) for each in before]),
            clocks=request_readings(split, users, candidates.positions, config=features),
        )

    @functools.cached_property
    def _sent(self) -> Array | None:
        """`[d_c] float32`, the downlink of the segment of all; None where the cloud has none."""
        models = self._models
        if not self._cohort.work.receives or isinstance(models.known, CloudRows):
            return None
        return mean_of_everybody(models.known, models.experiment.split.older_counts)

    @functools.cached_property
    def _scorer(self) -> EdgeScorer:
        models = self._models
        return EdgeScorer(
            self._cohort.work,
            items=table_tensors(models.table),
            features=models.experiment.config.features,
        )
