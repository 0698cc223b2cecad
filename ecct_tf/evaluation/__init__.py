"""How good a recommender is, in numbers that others can check.

Everything rests on one table of scores: a row per device, the held-out item in
one column, items that the device never touched in the others. `ranking` turns a
row into the place of the held-out item (ties count against it) and places into
HR@K, NDCG@K and MRR. `classification` reads the same logits as click
predictions: AUC, AUC grouped by device (GAUC) and log loss. `protocol` takes
the whole table to one `Metrics`; `catalog` ranks among all items instead of a
sample. The means come with their per-device vectors, because an average hides
which devices a model fails: `groups` puts users together by activity, `starts`
compares each with what it began with. `intervals` says how sure a mean over
users is, and a difference of two models on the same users.

NumPy only: a phone's logits, a cloud's and a baseline's are
measured by the same code, with or without TensorFlow.
"""

from ecct_tf.evaluation.catalog import (
    CatalogMetrics,
    CatalogRanker,
    CatalogRanking,
    catalog_metrics,
)
from ecct_tf.evaluation.classification import GroupedAuc, auc, grouped_auc, log_loss
from ecct_tf.evaluation.groups import UserGroup, activity_groups, activity_places, cold_group
from ecct_tf.evaluation.intervals import Interval, interval_over_users, paired_interval
from ecct_tf.evaluation.protocol import Metrics, evaluate_scores
from ecct_tf.evaluation.ranking import (
    discounted_gains,
    hit_rate,
    hits,
    mrr,
    ndcg,
    ranks,
    reciprocal_ranks,
)
from ecct_tf.evaluation.starts import StartComparison, against_start
from ecct_tf.evaluation.targets import TargetQuality, target_quality

__all__ = [
    "CatalogMetrics",
    "CatalogRanker",
    "CatalogRanking",
    "GroupedAuc",
    "Interval",
    "Metrics",
    "StartComparison",
    "TargetQuality",
    "UserGroup",
    "activity_groups",
    "activity_places",
    "against_start",
    "auc",
    "catalog_metrics",
    "cold_group",
    "discounted_gains",
    "evaluate_scores",
    "grouped_auc",
    "hit_rate",
    "hits",
    "interval_over_users",
    "log_loss",
    "mrr",
    "ndcg",
    "paired_interval",
    "ranks",
    "reciprocal_ranks",
    "target_quality",
]
