"""Where a cloud model comes from: checked before data are read, recorded, seen when it changed."""

from collections.abc import Mapping

from ecct_tf.config.cloud_names import BUILT_IN_CLOUD, cloud_target
from ecct_tf.plugins import Origin, change_of, find_function, origin_of

__all__ = ["changed_clouds", "check_cloud", "cloud_origins"]


def check_cloud(model: str) -> None:
    """Refuses a name that stands for nothing; imports the module of a custom cloud.

    Raises:
      ConfigError: nothing has the name, or its module cannot be imported or lacks the function.
    """
    target = cloud_target(model)
    if model != BUILT_IN_CLOUD:
        find_function(target, what=_what(model))


def cloud_origins(model: str) -> dict[str, Origin]:
    """What is to be recorded of a cloud model by its name; nothing of the library's own.

    Raises:
      ConfigError: it cannot be imported.
    """
    if model == BUILT_IN_CLOUD:
        return {}
    return {model: origin_of(cloud_target(model), what=_what(model))}


def changed_clouds(recorded: Mapping[str, Origin]) -> list[str]:
    """For each cloud model whose source is not what was recorded: what changed, in words.

    Raises:
      ConfigError: one cannot be imported.
    """
    changes = (
        change_of(before, origin_of(cloud_target(model), what=_what(model)), what=_what(model))
        for model, before in sorted(recorded.items())
    )
    return [change for change in changes if change is not None]


def _what(model: str) -> str:
    return f"cloud.model {model!r}"
