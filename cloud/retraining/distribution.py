"""Which engine a job runs on."""

import json
import os
from typing import Any

import tensorflow as tf

from cloud.retraining.config import Distribution
from cloud.retraining.engines import Engine, ReplicaEngine
from cloud.retraining.parameter_servers import ParameterServerEngine, serve
from ecct_tf.errors import ConfigError

__all__ = ["build_engine"]

_CLUSTER = "TF_CONFIG"
_SERVED = ("chief", "worker", "ps")


def build_engine(distribution: Distribution) -> Engine:
    """The engine for `distribution`; the clusters are those of the variable `TF_CONFIG`.

    With parameter servers only the task `chief` gets one; the others serve until they are
    ended from outside.

    Raises:
      ConfigError: `TF_CONFIG` is missing or does not describe such a cluster.
    """
    if distribution == "mirrored":
        return ReplicaEngine(tf.distribute.MirroredStrategy())
    if distribution == "multi_worker_mirrored":
        task = _task(distribution, jobs=("chief", "worker"))
        index = int(task["index"])
        is_chief = task["type"] == "chief" or (not task["chief"] and index == 0)
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        # All workers must write, since a strategy may have to gather; only one copy counts.
        folder = "checkpoints" if is_chief else f"checkpoints-{task['type']}-{index}"
        return ReplicaEngine(strategy, is_chief=is_chief, checkpoint_folder=folder)
    if distribution == "parameter_server":
        if _task(distribution, jobs=_SERVED)["type"] != "chief":
            serve()
        return ParameterServerEngine()
    return ReplicaEngine(tf.distribute.get_strategy())


def _task(distribution: str, *, jobs: tuple[str, ...]) -> dict[str, Any]:
    """The task of this process, and whether its cluster has a `chief`."""
    text = os.environ.get(_CLUSTER)
    example = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", '
    example += '"index": 0}}'
    try:
        values = json.loads(text or "")
        cluster, task = values["cluster"], values["task"]
        unknown = sorted(set(cluster) - {*jobs, "evaluator"})
        found = {"type": str(task["type"]), "index": int(task["index"])}
        if unknown or task["type"] not in jobs:
            raise ValueError(f"jobs {sorted(cluster)} with a task of {task['type']!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"distribution={distribution}: expected {_CLUSTER} in the environment, like {example}, "
            f"with jobs out of {', '.join(jobs)}, got {text!r} ({error})"
        ) from error
    return {**found, "chief": bool(cluster.get("chief"))}
