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
)


def study_names() -> dict[str, str]:
    """The names that need no module, each with the `module:name` that it stands for.

    Raises:
      ConfigError: two packages register one name, or one that the library has.
    """
    return _NAMES.known()


def study_target(name: str) -> str:
    """The `module:name` that a name stands for.

    Raises:
      ConfigError: nothing has the name; it lists what there is.
    """
    _NAMES.check_form(name, setting="NAME")
    return _NAMES.target_of(name, setting="NAME")
