"""How devices of a version train, as its manifest keeps it, and what may be said in its place."""

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from cloud.registry import Version
from cloud.retraining.edge_config import EdgeModelsConfig
from cloud.version_files import StoredCloud
from ecct_tf.config import RunConfig, SampleConfig, TrainingConfig, load_over
from ecct_tf.config.flat import flat_config
from ecct_tf.config.parsing import build
from ecct_tf.config.stored import complete_settings
from ecct_tf.config.yaml_text import setting_text
from ecct_tf.data.outcomes import outcome_columns
from ecct_tf.errors import ConfigError, RegistryError

__all__ = ["changed_settings", "check_settings", "version_settings"]

_TRAINING = ("samples", "training")

_log = logging.getLogger(__name__)


def version_settings(version: Version, stored: StoredCloud) -> RunConfig:
    """A run's settings with what the version says of its devices, the defaults for all else.

    Versions of an earlier release do not say how devices train; it is logged.

    Raises:
      RegistryError: what the manifest says is damaged.
    """
    default, kept = RunConfig(), version.manifest.config
    samples, training, shared = default.samples, default.training, default.edge.shared
    if all(name in kept for name in _TRAINING):
        samples, training = _training(kept, where=f"version {version.number}")
        shared = _edge(kept, where=f"version {version.number}").shared
    else:
        _log.warning(
            "version %d does not say how devices train: an earlier release made it; its files get "
            "the defaults of a run, or what --config and --set say",
            version.number,
        )
    edge = dataclasses.replace(
        default.edge, embedding_dim=stored.edge_dim, shared=shared, share_every=1
    )
    exchange = dataclasses.replace(default.exchange, queries=stored.num_queries)
    return dataclasses.replace(
        default,
        features=stored.features,
        edge=edge,
        exchange=exchange,
        samples=samples,
        training=training,
    )


def changed_settings(own: RunConfig, overrides: Iterable[str]) -> RunConfig:
    """The settings of a version with some of how devices train in the place of its own.

    Args:
      own: those of the version.
      overrides: `key=value`.

    Raises:
      ConfigError: one cannot be, or is not of how devices train: it would change nothing.
    """
    told = load_over(own, None, overrides=overrides)
    before, after = (flat_config(dataclasses.asdict(each)) for each in (own, told))
    other = [
        key
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
        and key.split(".")[0] not in _TRAINING
        and key != "edge.shared"
    ]
    if other:
        raise ConfigError(
            f"{', '.join(other)}: expected settings of how devices train (samples, training, "
            "edge.shared); all else of the files is the version's, so make a version with "
            "them (`ecct cloud retrain`)"
        )
    return told


def check_settings(settings: RunConfig, own: RunConfig, *, version: Version) -> None:
    """Refuses settings with which devices would not fit the version.

    Args:
      settings: how devices are to train.
      own: those of the version.
      version: which.

    Raises:
      ConfigError: they pool histories or answer in another way, or train by other private
        columns.
    """
    given, theirs = (flat_config(dataclasses.asdict(each)) for each in (settings, own))
    for name in theirs:
        fixed = name in ("edge.embedding_dim", "exchange.queries") or name.startswith("features.")
        if fixed and given[name] != theirs[name]:
            raise ConfigError(
                f"{name}: expected {setting_text(theirs[name])}, as the version was made with, got "
                f"{setting_text(given[name])}; give the settings of the devices that the version "
                "is for"
            )
    kept = version.manifest.config.get("edge", {}).get("outcomes")
    columns = sorted(outcome_columns(settings.samples))
    # Versions of an earlier release do not say by which columns devices train.
    if kept is not None and columns != sorted(kept):
        raise ConfigError(
            f"samples: expected devices that train by the private columns {sorted(kept)}, as the "
            f"version says (edge.outcomes), got {columns}; a version does not hold what their "
            "values are worth: give samples.grade, samples.weight and samples.targets (--config)"
        )


def _training(kept: Mapping[str, Any], *, where: str) -> tuple[SampleConfig, TrainingConfig]:
    try:
        known = complete_settings(
            {name: kept[name] for name in _TRAINING}, where=where, sections=_TRAINING
        )
        return build(SampleConfig, known["samples"]), build(TrainingConfig, known["training"])
    except (ConfigError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(where, error) from error


def _edge(kept: Mapping[str, Any], *, where: str) -> EdgeModelsConfig:
    try:
        return build(EdgeModelsConfig, kept["edge"])
    except (ConfigError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(where, error) from error


def _damaged(where: str, error: Exception) -> RegistryError:
    return RegistryError(
        f"{where}: expected how devices train, in the sections samples, training and edge of its "
        f"manifest: {error!r}; restore the version from a copy, or say it by --config"
    )
