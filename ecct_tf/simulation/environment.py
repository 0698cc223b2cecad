"""What a run was made with, as `environment.json` keeps it, and what of it changed since.

The library's own parts are known by its version; of those that a user brings the source counts.
"""

import datetime
import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecct_tf.config import RunConfig, data_title

__all__ = ["changed_parts", "installed_packages", "now", "own_trace_digest", "run_environment"]

_PACKAGES = (
    "ecct-tf", "tensorflow", "tensorflow-federated", "tensorflow-recommenders", "numpy", "jax",
)  # fmt: skip


def run_environment(config: RunConfig) -> dict[str, Any]:
    """What `environment.json` says of a run that begins now.

    Raises:
      ConfigError: a custom part cannot be imported.
    """
    # What reads a run's figures alone imports no TensorFlow.
    from cloud.origin import cloud_origins
    from ecct_tf.data import dataset_origins
    from ecct_tf.edge import edge_origins, loss_origins
    from ecct_tf.federated.aggregators import aggregator_origins
    from ecct_tf.federated.engine import chosen_engine
    from ecct_tf.federated.named_stages import stage_origins
    from ecct_tf.knowledge.codec_origin import codec_origins
    from ecct_tf.knowledge.table_origin import item_form_origins
    from ecct_tf.simulation.own_methods import method_origins

    return {
        "seed": config.seed,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "started": now(),
        "resumed": [],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "engine": chosen_engine(config.runtime.engine),
        "packages": installed_packages(),
        "edge_models": edge_origins(tier for tier, share in config.edge.tiers.items() if share > 0),
        "clouds": cloud_origins(config.cloud.model),
        "aggregators": aggregator_origins(config),
        "stages": stage_origins(config),
        "losses": loss_origins(
            config.training,
            config.samples,
            start=config.start,
            others=config.baseline_losses,
        ),
        "data": data_title(config.data),
        "datasets": dataset_origins(config.data.dataset),
        "methods": method_origins(config.method),
        "codecs": codec_origins(config.exchange),
        "item_tables": item_form_origins(config.exchange.item_table),
        "availability_trace": own_trace_digest(config),
    }


def changed_parts(config: RunConfig, environment: Mapping[str, Any]) -> list[str]:
    """What changed in each custom part whose source is not what was recorded, in words.

    Args:
      config: of the run.
      environment: what `run_environment` said when it began; parts that an earlier release did not
        record are not compared.

    Raises:
      ConfigError: a custom part cannot be imported.
    """
    from cloud.origin import changed_clouds
    from ecct_tf.data import changed_datasets
    from ecct_tf.edge import changed_losses, changed_sources
    from ecct_tf.federated.aggregators import changed_aggregators
    from ecct_tf.federated.named_stages import changed_stages
    from ecct_tf.knowledge.codec_origin import changed_codecs
    from ecct_tf.knowledge.table_origin import changed_item_forms
    from ecct_tf.simulation.own_methods import changed_methods

    def recorded(parts: str) -> dict[str, Any]:
        found: dict[str, Any] = environment.get(parts, {})
        return found

    return (
        changed_sources(recorded("edge_models"))
        + changed_clouds(recorded("clouds"))
        + changed_aggregators(config, recorded("aggregators"))
        + changed_stages(config, recorded("stages"))
        + changed_losses(
            config.training,
            recorded("losses"),
            samples=config.samples,
            start=config.start,
            others=config.baseline_losses,
        )
        + changed_codecs(config.exchange, recorded("codecs"))
        + changed_item_forms(config.exchange.item_table, recorded("item_tables"))
        + changed_datasets(config.data.dataset, recorded("datasets"))
        + changed_methods(config.method, recorded("methods"))
    )


def now() -> str:
    """The time as run folders keep it: ISO 8601 to the second, with the zone."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def installed_packages() -> dict[str, str | None]:
    """The versions of the packages that figures depend on; None for one that is not installed."""
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def own_trace_digest(config: RunConfig) -> str | None:
    """SHA-256 of the trace of availability, if the run has one."""
    from ecct_tf.federated.availability_trace import trace_digest

    trace = config.participation.availability.trace
    return None if trace is None else trace_digest(Path(trace))
