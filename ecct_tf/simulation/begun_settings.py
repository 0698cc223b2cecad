"""The settings that a checkpoint was computed with, so that no other run goes on from it."""

from pathlib import Path
from typing import Any

from ecct_tf.config import RunConfig
from ecct_tf.config.differences import differences
from ecct_tf.config.loading import plain_config
from ecct_tf.config.stored import complete_settings
from ecct_tf.config.yaml_text import dump_yaml, parse_yaml, resolved
from ecct_tf.errors import CheckpointError

__all__ = ["begun_settings", "check_settings"]

# How a run is computed, shown and stored, and where its files lie: that may change. Data and traces
# are known by their content.
_FREE = (
    "baselines",
    "runtime",
    "checkpoint",
    "data.folder",
    "data.schema",
    "exchange.uplink_log",
    "participation.availability.trace",
)


def begun_settings(config: RunConfig) -> str:
    """All settings as YAML, what may change in a run as its default.

    >>> import dataclasses
    >>> begun_settings(RunConfig(baselines=False)) == begun_settings(RunConfig())
    True
    >>> begun_settings(RunConfig(rounds=3)) == begun_settings(RunConfig())
    False
    """
    return dump_yaml(_freed(plain_config(config)))


def check_settings(begun: str, config: RunConfig, *, where: Path) -> None:
    """Refuses to go on with, or to read, a state that was computed with other settings.

    Args:
      begun: what `begun_settings` gave when it was written; empty in one of an earlier release.
      config: the settings of the run now.
      where: the run folder, for the message.

    Raises:
      CheckpointError: they are others.
    """
    if not begun:
        return
    stored = _freed(complete_settings(_read(begun), where=f"{where}/checkpoints"))
    now = begun_settings(config)
    if stored != _read(now):
        told = differences(dump_yaml(stored), now)
        raise CheckpointError(
            f"{where}: the newest checkpoint was computed with other settings than config.yaml "
            f"has: {told}. The file was changed, or a checkpoint of another run lies there: "
            "restore what it was, or begin a new run with the settings of today, "
            f"--config {where / 'config.yaml'}"
        )


def _freed(values: dict[str, Any]) -> dict[str, Any]:
    """The settings with what may change as its default of today."""
    defaults = plain_config(RunConfig())
    for key in _FREE:
        *sections, name = key.split(".")
        section, default = values, defaults
        for each in sections:
            section, default = section[each], default[each]
        section[name] = default[name]
    return values


def _read(text: str) -> dict[str, Any]:
    values: dict[str, Any] = resolved(parse_yaml(text, where="config.yaml"))
    return values
