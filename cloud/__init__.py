"""The cloud side: a TFRS recommender over centralized features that learns from uplinks.

`CloudRecommender` is built from a `CloudView` and nothing else: it computes item-to-item
embeddings, fits two towers, publishes the item table, makes downlinks, asks devices about
items and learns from their answers by fusion and distillation. `cloud.registry` keeps
versions of it, `cloud.uplink_log` what devices sent; neither needs TensorFlow.
"""

from typing import TYPE_CHECKING, Any

from cloud.keras_version import choose_keras_2

if TYPE_CHECKING:
    from cloud.recommender import CloudRecommender

choose_keras_2()

__all__ = ["CloudRecommender"]


def __getattr__(name: str) -> Any:
    """Imports TensorFlow with the recommender only: the registry's commands stay instant."""
    if name == "CloudRecommender":
        from cloud.recommender import CloudRecommender

        return CloudRecommender
    raise AttributeError(f"module 'cloud' has no attribute {name!r}")
