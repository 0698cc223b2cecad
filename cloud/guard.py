"""A cloud whose learning must stand up to positions of its own that it never trains on.

Uplinks come from models that the cloud cannot look into: devices may be ignorant, since their
weights are new, or wrong. So one labelled position of some users stays out of all training. Where
what devices say makes the cloud clearly worse there, it does without them; and an update after
which it is clearly worse there than it has been is taken back. Clearly: by more than noise, and
by more than a share that may be lost, since those positions are older than what devices tell of;
updates that make the cloud better at the newest cost it a few hundredths there. Inferred: the
paper trusts every device.
"""

import logging
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from cloud.edge_knowledge import edge_knowledge
from cloud.held_out import HeldOut
from cloud.recommender import CloudRecommender
from ecct_tf.evaluation import discounted_gains, ranks
from ecct_tf.knowledge import CloudRows, ItemTable, KnowledgeStore

__all__ = ["BEST", "GuardedCloud", "is_below"]

Array = npt.NDArray[np.float32]
Gains = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int32]

_K = 10
# Of the normal distribution, for a 95 % interval.
_QUANTILE = 1.96
_HEEDS = "guard/heeds"
BEST = "guard/best"
"""Of a snapshot: `[users]`, of each held-out position at the cloud's best; NaN elsewhere."""

_log = logging.getLogger(__name__)


def is_below(ours: Gains, theirs: Gains, *, room: float = 0.0) -> bool:
    """Whether `ours` are below `theirs` by more than a share of them, beyond noise.

    That is, whether the 95 % interval of the mean of `ours - (1 - room) * theirs`, paired, lies
    below zero, by the normal approximation; fewer than two rows say nothing.

    >>> ours, theirs = np.array([0.0, 0.1, 0.2]), np.array([0.5, 0.5, 0.6])
    >>> is_below(ours, theirs), is_below(ours, theirs, room=0.9)
    (True, False)
    >>> is_below(np.array([0.0, 0.9, 0.2]), theirs)
    False
    """
    if len(ours) < 2:
        return False
    difference = ours - (1.0 - room) * theirs
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return bool(difference.mean() + _QUANTILE * error < 0)


class GuardedCloud:
    """Implements `ecct_tf.federated.TrainableCloud` over a recommender that holds positions out.

    `heeds_devices` says whether it serves with what devices told it. It is judged anew in each
    round, so that devices that have learned meanwhile are heard again.
    """

    def __init__(self, cloud: CloudRecommender) -> None:
        self._cloud = cloud
        self.heeds_devices = True
        self._kept_last = True
        # Of each user's held-out position, while the cloud was at its best; NaN before.
        self._best: Gains = np.full(len(cloud.states), np.nan)

    def update(
        self, knowledge: KnowledgeStore, *, round_number: int, use_logits: bool
    ) -> dict[str, float]:
        """As `CloudRecommender.update`, with what does harm left out or taken back.

        Returns:
          Beside `cloud_loss`: `cloud_heeds_devices` and `cloud_update_kept`, each 1 or 0; neither
          where no position could be held out.

        Raises:
          DivergenceError: weights or loss are not finite afterwards.
        """
        if not len(self._held.users):
            return self._cloud.update(knowledge, round_number=round_number, use_logits=use_logits)
        room = self._cloud.config.guard_room
        alone = self._gains(None, round_number)
        answered = self._gains(knowledge, round_number)
        self._remember(alone)
        self._heed(
            not is_below(answered, alone, room=room), answered.mean() - alone.mean(), round_number
        )
        before = self._cloud.snapshot()
        measured = self._cloud.update(
            knowledge, round_number=round_number, use_logits=use_logits and self.heeds_devices
        )
        if not measured:
            return {}
        after = self._gains(knowledge if self.heeds_devices else None, round_number)
        kept = not is_below(after, self._best[self._held.users], room=room)
        if kept:
            self._remember(after)
        else:
            self._cloud.restore(before)
            # Once is enough to read; `metrics.csv` has the others.
            _log.log(
                logging.WARNING if self._kept_last else logging.INFO,
                "the cloud's update of round %d is taken back: NDCG@10 of positions that it does "
                "not train on fell to %.4f, from %.4f at its best",
                round_number + 1,
                after.mean(),
                self._best[self._held.users].mean(),
            )
        self._kept_last = kept
        return measured | {
            "cloud_heeds_devices": float(self.heeds_devices),
            "cloud_update_kept": float(kept),
        }

    @property
    def _held(self) -> HeldOut:
        return self._cloud.held_out

    def _gains(self, knowledge: KnowledgeStore | None, round_number: int) -> Gains:
        """NDCG@10 of each held-out position, `[n]`."""
        held, fused = self._held, None
        if knowledge is not None:
            half_life = self._cloud.config.staleness_half_life
            fused = edge_knowledge(
                knowledge, held.users, round_number=round_number, half_life=half_life
            )
        vectors = self._cloud.model.user_vectors(held.states, fused)
        return discounted_gains(ranks(self._cloud.model.served(vectors, held.items).numpy()), _K)

    def _remember(self, gains: Gains) -> None:
        best = self._best[self._held.users]
        if np.isnan(best).any() or gains.mean() > best.mean():
            # In the precision of snapshots, so that a resumed run judges alike.
            self._best[self._held.users] = gains.astype(np.float32)

    def _heed(self, heeds: bool, gain: float, round_number: int) -> None:
        if heeds != self.heeds_devices:
            _log.warning(
                "from round %d on the cloud %s: with it NDCG@10 changes by %+.4f on positions that "
                "the cloud does not train on%s",
                round_number + 1,
                f"{'uses' if heeds else 'does not use'} what devices told it",
                gain,
                ", which is not clearly worse" if heeds and gain < 0 else "",
            )
        self.heeds_devices = heeds

    def user_embeddings(
        self, users: Ids, *, knowledge: KnowledgeStore | None, round_number: int
    ) -> Array:
        """As `CloudRecommender.user_embeddings`; without knowledge that does harm."""
        heard = knowledge if self.heeds_devices else None
        return self._cloud.user_embeddings(users, knowledge=heard, round_number=round_number)

    def scores(
        self,
        users: Ids,
        candidates: Ids,
        *,
        knowledge: KnowledgeStore | None,
        round_number: int,
    ) -> Array:
        """As `CloudRecommender.scores`; without knowledge that does harm."""
        heard = knowledge if self.heeds_devices else None
        return self._cloud.scores(users, candidates, knowledge=heard, round_number=round_number)

    def publish(self) -> ItemTable:
        """As `CloudRecommender.publish`."""
        return self._cloud.publish()

    def downlinks(self, users: Ids, *, round_number: int) -> Array | CloudRows:
        """As `CloudRecommender.downlinks`."""
        return self._cloud.downlinks(users, round_number=round_number)

    def queries(self, users: Ids, *, round_number: int) -> Ids:
        """As `CloudRecommender.queries`."""
        return self._cloud.queries(users, round_number=round_number)

    def snapshot(self) -> dict[str, Array]:
        """The recommender's variables, and by what it is judged."""
        judged = {_HEEDS: self.heeds_devices, BEST: self._best}
        arrays = {name: np.asarray(value, np.float32) for name, value in judged.items()}
        return self._cloud.snapshot() | arrays

    def restore(self, snapshot: Mapping[str, Array]) -> None:
        """Goes back to a snapshot of this cloud, or to one of the recommender alone.

        Raises:
          CheckpointError: it has other variables or other shapes.
        """
        variables = {k: v for k, v in snapshot.items() if k not in (_HEEDS, BEST)}
        self._cloud.restore(variables)
        self.heeds_devices = bool(snapshot.get(_HEEDS, True))
        self._best = np.array(snapshot.get(BEST, np.full_like(self._best, np.nan)), np.float64)
