"""Which engine a job runs on."""

import tensorflow as tf

from cloud.retraining.config import Distribution
from cloud.retraining.engines import Engine, ReplicaEngine

__all__ = ["build_engine"]


def build_engine(distribution: Distribution) -> Engine:
    """The engine for `distribution`."""
    if distribution == "mirrored":
        return ReplicaEngine(tf.distribute.MirroredStrategy())
    return ReplicaEngine(tf.distribute.get_strategy())
