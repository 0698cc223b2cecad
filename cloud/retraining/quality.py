"""How good a recommender is on what the job held out."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from cloud.recommender import CloudRecommender
from cloud.retraining.history import Validation
from ecct_tf.evaluation import hit_rate, log_loss, mrr, ndcg, ranks
from ecct_tf.knowledge import KnowledgeStore

__all__ = ["Quality", "measure"]


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

    @classmethod
    def of(cls, scores: npt.NDArray[np.float32], *, k: int) -> "Quality":
        """The quality of scores `[users, 1 + negatives]`; column 0 is the held-out item.

        Raises:
          DataError: a score is not finite.
        """
        places = ranks(scores)
        labels = np.zeros(scores.shape, np.bool_)
        labels[:, 0] = True
        flat = labels.ravel(), scores.ravel()
        return cls(hit_rate(places, k), ndcg(places, k), mrr(places), log_loss(*flat))


def measure(
    cloud: CloudRecommender,
    validation: Validation,
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
    model = cloud.model
    # Each item once: the candidates of all users are many times the catalog.
    everything = np.arange(cloud.space.num_items + 1)
    vectors, biases = model.item_vectors(everything).numpy(), model.item_logits(everything).numpy()
    found = {}
    for name, known in (("cloud", knowledge), ("alone", None)):
        users = cloud.user_embeddings(validation.users, knowledge=known, round_number=round_number)
        scores = np.einsum("nd,ncd->nc", users, vectors[validation.items])
        found[name] = Quality.of(scores + biases[validation.items], k=k)
    return found
