"""Range checks that configuration classes share."""

from typing import Any

from ecct_tf.config.number_checks import numbers
from ecct_tf.config.parsing import near_miss
from ecct_tf.config.yaml_text import setting_text
from ecct_tf.errors import ConfigError

__all__ = ["at_least", "numbers", "one_of", "positive", "shorter_than_candidates", "within"]


def at_least(config: Any, section: str, least: float, *names: str) -> None:
    """Refuses fields below `least`."""
    for name in names:
        value = getattr(config, name)
        if not value >= least:
            raise ConfigError(f"{section}.{name}: expected at least {least}, got {value}")


def positive(config: Any, section: str, *names: str) -> None:
    """Refuses fields that are not above zero."""
    for name in names:
        value = getattr(config, name)
        if not value > 0:
            raise ConfigError(f"{section}.{name}: expected a number above 0, got {value}")


def within(config: Any, section: str, low: float, high: float, *names: str) -> None:
    """Refuses fields outside `[low, high]`."""
    for name in names:
        value = getattr(config, name)
        if not low <= value <= high:
            raise ConfigError(
                f"{section}.{name}: expected a number in [{low}, {high}], got {value}"
            )


def one_of(config: Any, section: str, name: str, choices: tuple[str, ...]) -> None:
    """Refuses a field that is none of `choices`."""
    value = getattr(config, name)
    if value not in choices:
        raise ConfigError(
            f"{section}.{name}: expected one of {', '.join(choices)}, got {setting_text(value)}"
            f"{near_miss(str(value), choices)}"
        )


def shorter_than_candidates(config: Any, section: str) -> None:
    """Refuses a list of `k` that holds all candidates: `negatives` and the held-out item."""
    if config.k > config.negatives:
        raise ConfigError(
            f"{section}.k: expected less than the {config.negatives + 1} candidates "
            f"({section}.negatives and the held-out item), got {config.k}: every list would hold "
            f"them all, and the hit rate would be 1. Set {section}.k to {config.negatives} or "
            f"less, or raise {section}.negatives"
        )
