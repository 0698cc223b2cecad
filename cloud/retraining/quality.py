"""How good a recommender is on what the job held out."""

from collections.abc import Mapping

from cloud.recommender import CloudRecommender
from cloud.retraining.history import Validation
from ecct_tf.evaluation import Metrics, evaluate_scores
from ecct_tf.knowledge import KnowledgeStore

__all__ = ["measure"]


def measure(
    cloud: CloudRecommender,
    validation: Validation,
    *,
    knowledge: KnowledgeStore,
    round_number: int,
    k: int,
) -> Mapping[str, Metrics]:
    """Quality with the uplinks fused in, `cloud`, and by the cloud's own view, `alone`.

    Args:
      cloud: built on the view that lacks what is held out.
      validation: what is held out.
      knowledge: the uplinks.
      round_number: the present round.
      k: list length.
    """
    return {
        name: evaluate_scores(
            cloud.scores(
                validation.users, validation.items, knowledge=known, round_number=round_number
            ),
            k=k,
        )
        for name, known in (("cloud", knowledge), ("alone", None))
    }
