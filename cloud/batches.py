"""The batches that the cloud learns from: its own labelled positions, and uplinks."""

import dataclasses
import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.features import CloudPositions
from cloud.user_states import UserStates
from ecct_tf.config import CloudConfig
from ecct_tf.data import BulkNegatives, CloudView
from ecct_tf.knowledge import KnowledgeStore

__all__ = ["CloudBatches"]

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class CloudBatches:
    """Makes the batches that `CloudModel.compute_loss` takes.

    Attributes:
      view: the cloud's view.
      config: sizes of the batches.
      positions: labelled positions of the view.
      states: `[users, s]`, the user tower's input after the whole older history.
      edge_dim: d_e.
    """

    view: CloudView
    config: CloudConfig
    positions: CloudPositions
    states: npt.NDArray[Any] | UserStates
    edge_dim: int

    def labelled(self, rng: np.random.Generator) -> tf.data.Dataset:
        """Batches of one pass over the labelled positions, each with fresh negatives."""
        rows = self.labelled_rows(rng)
        return tf.data.Dataset.from_tensor_slices(rows).batch(self.config.batch_size)

    def labelled_rows(self, rng: np.random.Generator) -> dict[str, Array]:
        """The rows of `labelled` in their order, `[n, ...]` each."""
        order = rng.permutation(len(self.positions.users))
        parts = self._rows(rng, order)
        # Nobody has told anything yet: the fusion takes part with zero trust.
        parts.update(
            edge_items=np.zeros((len(order), 1), np.int32),
            edge_embeddings=np.zeros((len(order), 1, self.edge_dim), np.float32),
            trust=np.zeros(len(order), np.float32),
        )
        return parts

    @functools.cached_property
    def _negatives(self) -> BulkNegatives:
        view = self.view
        return BulkNegatives(view.older.histories, num_items=view.num_items)

    def _rows(self, rng: np.random.Generator, order: npt.NDArray[np.int64]) -> dict[str, Array]:
        users, items = self.positions.users[order], self.positions.items[order]
        negatives = self._negatives.draw(rng, users=users, size=self.config.negatives)
        labels = np.zeros((len(order), 1 + self.config.negatives), np.float32)
        labels[:, 0] = 1.0
        return {
            "states": self.positions.states_before(order),
            "items": np.concatenate([items[:, None], negatives], axis=1),
            "labels": labels,
        }

    def update(
        self,
        rng: np.random.Generator,
        knowledge: KnowledgeStore,
        *,
        round_number: int,
        labelled: bool,
        taught: bool,
        answer_weights: Array | None = None,
    ) -> tf.data.Dataset:
        """Batches of one pass over the uplinks; the arguments are those of `update_rows`."""
        rows = self.update_rows(
            rng,
            knowledge,
            round_number=round_number,
            labelled=labelled,
            taught=taught,
            answer_weights=answer_weights,
        )
        return tf.data.Dataset.from_tensor_slices(rows).batch(self.config.update_batch_size)

    def update_rows(
        self,
        rng: np.random.Generator,
        knowledge: KnowledgeStore,
        *,
        round_number: int,
        labelled: bool,
        taught: bool,
        answer_weights: Array | None = None,
    ) -> dict[str, Array]:
        """One pass over the uplinks, `[n, ...]` each, with as many labelled positions beside.

        Of more than `cloud.update_users` users who sent one, so many, drawn at random.

        Args:
          rng: draws order, positions and negatives.
          knowledge: the store of uplinks.
          round_number: the present round, from which staleness counts.
          labelled: whether to add labelled positions. Half of them are seen without the
            user's uplink, so that the model serves users with and without one.
          taught: whether to add the edge's logits.
          answer_weights: `[users, Q] float32`, of each answer that teaches; None for 1.
        """
        trust = functools.partial(
            knowledge.trust_in,
            round_number=round_number,
            half_life=self.config.staleness_half_life,
        )
        parts: dict[str, Array] = {}
        most = self.config.update_users
        count = min(int((knowledge.rounds >= 0).sum()), most)
        if taught:
            users = rng.permutation(np.flatnonzero(knowledge.logit_rounds >= 0))[:most]
            count = len(users)
            parts.update(
                teacher_states=self.states[users],
                teacher_items=knowledge.items[users],
                teacher=knowledge.logits[users],
                teacher_trust=trust(users),
                teacher_edge_items=knowledge.items[users],
                teacher_edge_embeddings=knowledge.embeddings[users],
            )
            if answer_weights is not None:
                parts["teacher_weights"] = answer_weights[users]
        if labelled:
            order = rng.choice(len(self.positions.users), count, replace=True)
            users = self.positions.users[order]
            keep = (rng.random(len(users)) < 0.5).astype(np.float32)
            parts.update(
                self._rows(rng, order),
                edge_items=knowledge.items[users],
                edge_embeddings=knowledge.embeddings[users],
                trust=trust(users) * keep,
            )
        return parts
