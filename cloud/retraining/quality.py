"""How good a recommender is on what the job held out."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from cloud.recommender import CloudRecommender
from cloud.retraining.history import HeldOut
from ecct_tf.errors import DataError
from ecct_tf.evaluation.ranking import discounted_gains, hits, ranks, reciprocal_ranks
from ecct_tf.knowledge import KnowledgeStore

__all__ = ["Quality", "by_row", "by_user", "measure"]

# Rows whose candidates' vectors are in memory at once.
_ROWS = 2048
# Pairs of a user and an item that are scored at once.
_PAIRS = 1 << 16


@dataclasses.dataclass(frozen=True)
class Quality:
    """What is measured after each epoch, so that none of it may take long.

    Attributes:
      hr: HR@k, the share of users whose held-out item is among the first k.
      ndcg: NDCG@k.
      mrr: mean reciprocal rank over all candidates.
      log_loss: mean binary cross-entropy of the logits, in nats.
    """

    hr: float
    ndcg: float
    mrr: float
    log_loss: float


def by_row(scores: npt.NDArray[np.float32], *, k: int) -> dict[str, npt.NDArray[np.float64]]:
    """The fields of `Quality` of each row of scores: `[rows] float64` by name.

    Args:
      scores: `[rows, 1 + negatives]`; column 0 is the held-out item.
      k: list length.

    Raises:
      DataError: a score is not finite.
    """
    places = ranks(scores)
    logits = scores.astype(np.float64)
    # The cross-entropy of a label y: log(1 + e^z) - y z.
    losses = np.logaddexp(0.0, logits).mean(axis=1) - logits[:, 0] / logits.shape[1]
    if not np.isfinite(losses).all():
        raise DataError(
            "scores: expected finite logits, received others; look for a diverged model"
        )
    return {
        "hr": hits(places, k),
        "ndcg": discounted_gains(places, k),
        "mrr": reciprocal_ranks(places),
        "log_loss": losses,
    }


def by_user(
    cloud: CloudRecommender,
    held: HeldOut,
    *,
    knowledge: KnowledgeStore | None,
    round_number: int,
    k: int,
) -> dict[str, npt.NDArray[np.float64]]:
    """The fields of `Quality` of each user: means over its rows, `[users] float64` by name.

    Args:
      cloud: built on the view that lacks what is held out.
      held: its rows.
      knowledge: the uplinks; None for the cloud's own view.
      round_number: the present round.
      k: list length.
    """
    found = _rows(cloud, held, knowledge=knowledge, round_number=round_number, k=k)
    _, rows = np.unique(held.users, return_inverse=True)
    counts = np.bincount(rows)
    return {name: np.bincount(rows, weights=each) / counts for name, each in found.items()}


def measure(
    cloud: CloudRecommender,
    validation: HeldOut,
    *,
    knowledge: KnowledgeStore,
    round_number: int,
    k: int,
) -> Mapping[str, Quality]:
    """Quality with the uplinks fused in, `cloud`, and by the cloud's own view, `alone`.

    Args:
      cloud: built on the view that lacks what is held out.
      validation: what is held out.
      knowledge: the uplinks.
      round_number: the present round.
      k: list length.
    """
    found = {}
    for name, known in (("cloud", knowledge), ("alone", None)):
        rows = _rows(cloud, validation, knowledge=known, round_number=round_number, k=k)
        found[name] = Quality(**{each: float(values.mean()) for each, values in rows.items()})
    return found


def _rows(
    cloud: CloudRecommender,
    held: HeldOut,
    *,
    knowledge: KnowledgeStore | None,
    round_number: int,
    k: int,
) -> dict[str, npt.NDArray[np.float64]]:
    """`by_row` of all rows, of which some are scored at once."""
    parts = [
        by_row(scores, k=k)
        for scores in _scores(cloud, held, knowledge=knowledge, round_number=round_number)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _scores(
    cloud: CloudRecommender,
    held: HeldOut,
    *,
    knowledge: KnowledgeStore | None,
    round_number: int,
) -> Iterator[npt.NDArray[np.float32]]:
    """Logits `[rows, 1 + negatives]`, some rows at a time."""
    model = cloud.model
    if model.sends_rows:
        yield from _pair_scores(cloud, held, knowledge=knowledge, round_number=round_number)
        return
    # Each item once: the candidates of all users are many times the catalog.
    everything = np.arange(cloud.space.num_items + 1)
    vectors, biases = model.item_vectors(everything).numpy(), model.item_logits(everything).numpy()
    once, rows = np.unique(held.users, return_inverse=True)
    users = cloud.user_embeddings(once, knowledge=knowledge, round_number=round_number)
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        items = held.items[part]
        yield np.einsum("nd,ncd->nc", users[rows[part]], vectors[items]) + biases[items]


def _pair_scores(
    cloud: CloudRecommender,
    held: HeldOut,
    *,
    knowledge: KnowledgeStore | None,
    round_number: int,
) -> Iterator[npt.NDArray[np.float32]]:
    """The same of a cloud whose score is no product: pair by pair."""
    step = max(_PAIRS // held.items.shape[1], 1)
    for start in range(0, len(held.users), step):
        rows = slice(start, start + step)
        users = held.users[rows].astype(np.int32)
        yield cloud.scores(users, held.items[rows], knowledge=knowledge, round_number=round_number)
