"""From the knowledge store to what the cloud model takes in of it."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.exchange_model import EdgeAnswers, EdgeKnowledge
from ecct_tf.knowledge import KnowledgeStore

__all__ = ["edge_knowledge"]


def edge_knowledge(
    store: KnowledgeStore,
    users: npt.NDArray[np.int32],
    *,
    round_number: int,
    half_life: float,
) -> EdgeKnowledge:
    """The newest uplink of each of `users` `[n]`, and the answers that are kept.

    Args:
      store: the uplinks.
      users: whose.
      round_number: the present round, from which staleness counts.
      half_life: rounds after which an uplink counts half.
    """
    trust = store.trust_in(users, round_number=round_number, half_life=half_life)
    answers = store.answers(users, round_number=round_number, half_life=half_life)
    return EdgeKnowledge(
        items=tf.constant(store.items[users]),
        embeddings=tf.constant(store.embeddings[users]),
        trust=tf.constant(trust),
        answers=EdgeAnswers(*(tf.constant(array) for array in answers)),
    )
