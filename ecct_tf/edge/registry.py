"""The builder that the name of an edge model stands for.

A name is one of the library's tiers, one that an installed package registers under the entry
point group `ecct_tf.edge_models`, or `module:name`, which is imported. Nothing is imported
before a model is asked for.
"""

from collections.abc import Callable
from typing import Any

from ecct_tf.config import Tier
from ecct_tf.config.edge_names import target_of
from ecct_tf.edge.model import EdgeSpec
from ecct_tf.plugins import find_function

__all__ = ["find_builder"]


def find_builder(tier: Tier, *, setting: str = "edge.tiers") -> Callable[[EdgeSpec], Any]:
    """The builder that a name stands for; imports its module.

    Raises:
      ConfigError: when nothing has the name, when its module cannot be imported, with the place
        where that failed, or when the module has no such function.
    """
    return find_function(target_of(tier, setting=setting), what=f"{setting}: edge model {tier!r}")
