"""Names of studies: what there is, and what a name stands for; nothing is imported."""

from ecct_tf.config.part_names import PartNames

__all__ = ["STUDY_ENTRY_POINTS", "study_names", "study_target"]

STUDY_ENTRY_POINTS = "ecct_tf.studies"
"""The group of entry points under which packages register studies."""

_OWN = {
    "heterogeneity": "heterogeneity:heterogeneity",
    "quantity_skew": "heterogeneity:quantity_skew",
    "missing_profiles": "heterogeneity:missing_profiles",
    "models": "models:models",
    "communication": "communication:communication",
    "personalization": "personalization:personalization",
    "ablation": "ablation:ablation",
    "asynchrony": "asynchrony:asynchrony",
    "privacy": "privacy:privacy",
    "robustness": "robustness:robustness",
    "stability": "stability:stability",
}
_NAMES = PartNames(
    "a study",
    STUDY_ENTRY_POINTS,
    {name: f"ecct_tf.studies.{target}" for name, target in _OWN.items()},
    "a name such as ablation, or module:name such as my_pkg.studies:batch_sizes",
    setting="NAME",
)

study_names = _NAMES.known
"""`() -> dict`: the names that need no module, each with the `module:name` it stands for."""

study_target = _NAMES.target_of
"""`(name, *, setting) -> str`: its `module:name`, or a `ConfigError` that lists what there is."""
