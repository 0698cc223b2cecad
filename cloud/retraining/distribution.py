"""Which engine a job runs on."""

import json
import os

import tensorflow as tf

from cloud.retraining.cluster import Cluster, Patience, unguarded
from cloud.retraining.config import Distribution
from cloud.retraining.engines import Engine, ReplicaEngine
from cloud.retraining.parameter_servers import ParameterServerEngine, serve
from ecct_tf.errors import ConfigError

__all__ = ["build_engine"]

_VARIABLE = "TF_CONFIG"
_SERVED = ("chief", "worker", "ps")


def build_engine(distribution: Distribution, *, wait_seconds: float = 600.0) -> Engine:
    """The engine for `distribution`; the clusters are those of the variable `TF_CONFIG`.

    With parameter servers only the task `chief` gets one; the others serve until they are
    ended from outside.

    Args:
      distribution: how the job is spread.
      wait_seconds: how long the other processes of a cluster are waited for.

    Raises:
      ConfigError: `TF_CONFIG` is missing or does not describe such a cluster.
      WorkerError: a process of the cluster did not come.
    """
    if distribution == "mirrored":
        return ReplicaEngine(tf.distribute.MirroredStrategy())
    if distribution == "multi_worker_mirrored":
        cluster = _cluster(distribution, jobs=("chief", "worker"))
        has_chief = bool(cluster.addresses.get("chief"))
        is_chief = cluster.job == "chief" or (not has_chief and cluster.index == 0)
        cluster.without_proxies()
        cluster.gather(seconds=wait_seconds)
        with unguarded(seconds=wait_seconds):
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        patience = Patience(cluster, seconds=wait_seconds)
        # All workers must write, since a strategy may have to gather; only one copy counts.
        folder = "checkpoints" if is_chief else f"checkpoints-{cluster.job}-{cluster.index}"
        return ReplicaEngine(
            strategy, is_chief=is_chief, checkpoint_folder=folder, patience=patience
        )
    if distribution == "parameter_server":
        cluster = _cluster(distribution, jobs=_SERVED)
        cluster.without_proxies()
        if cluster.job != "chief":
            serve()
        cluster.gather(seconds=wait_seconds)
        with unguarded(seconds=wait_seconds):
            return ParameterServerEngine(Patience(cluster, seconds=wait_seconds))
    return ReplicaEngine(tf.distribute.get_strategy())


def _cluster(distribution: str, *, jobs: tuple[str, ...]) -> Cluster:
    """The cluster that the environment describes."""
    text = os.environ.get(_VARIABLE)
    example = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", '
    example += '"index": 0}}'
    try:
        values = json.loads(text or "")
        addresses, task = values["cluster"], values["task"]
        unknown = sorted(set(addresses) - {*jobs, "evaluator"})
        cluster = Cluster(
            {str(job): tuple(map(str, each)) for job, each in addresses.items()},
            job=str(task["type"]),
            index=int(task["index"]),
        )
        if unknown or task["type"] not in jobs:
            raise ValueError(f"jobs {sorted(addresses)} with a task of {task['type']!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"distribution={distribution}: expected {_VARIABLE} in the environment, like "
            f"{example}, with jobs out of {', '.join(jobs)}, got {text!r} ({error})"
        ) from error
    return cluster
