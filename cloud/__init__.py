"""The cloud side: a TFRS recommender over centralized features that learns from uplinks.

`CloudRecommender` is built from a `CloudView` and nothing else: it computes item-to-item
embeddings, fits two towers, publishes the item table, makes downlinks, asks devices about
items and learns from their answers by fusion and distillation.
"""

from cloud.recommender import CloudRecommender

__all__ = ["CloudRecommender"]
