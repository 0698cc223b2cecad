"""What tells two stored configurations apart, in a line for a message."""

from typing import Any

from ecct_tf.config.yaml_text import parse_yaml, setting_text

__all__ = ["differences"]

_TOLD = 3


def differences(begun: str, now: str) -> str:
    r"""The first settings that differ, with both values.

    Args:
      begun: YAML text of the configuration that something was begun with.
      now: of the one that is given now.

    Returns:
      Such as `seed was 0, now 1, and 2 more`; empty where none differs.

    Raises:
      ConfigError: a text is no YAML.

    >>> differences("seed: 0\nedge: {start: cloud}", "seed: 1\nedge: {start: cloud}")
    'seed was 0, now 1'
    >>> differences("devices: null", "devices: 200")
    'devices was null, now 200'
    """
    before, after = (_flat(parse_yaml(text, where="config.yaml")) for text in (begun, now))
    names = [name for name in {**before, **after} if _told(before, name) != _told(after, name)]
    told = [f"{name} was {_told(before, name)}, now {_told(after, name)}" for name in names[:_TOLD]]
    more = len(names) - len(told)
    return ", ".join([*told, f"and {more} more"] if more else told)


def _told(values: dict[str, Any], name: str) -> str:
    """A setting that only the other text has is absent, which is not null."""
    return setting_text(values[name]) if name in values else "absent"


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {
        name: value
        for key, below in values.items()
        for name, value in _flat(below, f"{prefix}.{key}" if prefix else str(key)).items()
    }
