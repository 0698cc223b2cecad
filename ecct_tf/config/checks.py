"""Range checks that configuration classes share."""

from typing import Any

from ecct_tf.errors import ConfigError

__all__ = ["at_least", "one_of", "positive", "within"]


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
        raise ConfigError(f"{section}.{name}: expected one of {', '.join(choices)}, got {value!r}")
