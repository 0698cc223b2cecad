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
    setting="cloud.model",
)

cloud_names = _NAMES.known
"""`() -> dict`: the names that need no module, each with the `module:name` it stands for."""

check_cloud_form = _NAMES.check_form
"""`(name, *, setting)`: refuses what cannot name a cloud model; nothing is looked up."""

cloud_target = _NAMES.target_of
"""`(name, *, setting) -> str`: its `module:name`, or a `ConfigError` that lists what there is."""
