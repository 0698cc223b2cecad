"""Names of cloud models: what there is, and what a name stands for; nothing is imported."""

from ecct_tf.config.part_names import PartNames

__all__ = [
    "BUILT_IN_CLOUD",
    "CLOUD_ENTRY_POINTS",
    "check_cloud_form",
    "cloud_names",
    "cloud_target",
]

BUILT_IN_CLOUD = "ecct"
"""The library's own cloud model."""

CLOUD_ENTRY_POINTS = "ecct_tf.clouds"
"""The group of entry points under which packages register cloud models."""

_NAMES = PartNames(
    "a cloud model",
    CLOUD_ENTRY_POINTS,
    {BUILT_IN_CLOUD: "cloud.recommender:CloudRecommender"},
    "a name such as ecct, or module:name such as my_pkg.cloud:build",
)


def check_cloud_form(name: str, *, setting: str = "cloud.model") -> None:
    """Refuses what cannot name a cloud model; nothing is looked up or imported.

    Raises:
      ConfigError: it is neither a name nor `module:name`.
    """
    _NAMES.check_form(name, setting=setting)


def cloud_names() -> dict[str, str]:
    """The names that need no module, each with the `module:name` that it stands for.

    Raises:
      ConfigError: two packages register one name, or the library's.
    """
    return _NAMES.known()


def cloud_target(name: str, *, setting: str = "cloud.model") -> str:
    """The `module:name` that a name stands for.

    Raises:
      ConfigError: nothing has the name; it lists what there is.
    """
    check_cloud_form(name, setting=setting)
    return _NAMES.target_of(name, setting=setting)
