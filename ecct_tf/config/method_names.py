"""Names of methods of a run: what there is, and what a name stands for; nothing is imported."""

from ecct_tf.config.part_names import PartNames

__all__ = [
    "EDGE_METHODS",
    "METHODS",
    "METHOD_ENTRY_POINTS",
    "check_method_name",
    "is_own_method",
    "method_names",
    "method_target",
]

METHOD_ENTRY_POINTS = "ecct_tf.methods"
"""The group of entry points under which packages register methods."""

METHODS = (
    "ecct",
    "fedavg",
    "fedprox",
    "fine-tuning",
    "pfedrec",
    "fedrecon",
    "fedmd",
    "centralized",
    "cloud-only",
    "edge-only",
    "dccl",
    "popularity",
    "ease",
    "ease-recency",
)
"""The library's own methods."""

EDGE_METHODS = ("ecct", "edge-only", "dccl")
"""Those whose devices have ECCT's edge models, tier by tier."""

_NAMES = PartNames(
    "a method",
    METHOD_ENTRY_POINTS,
    dict.fromkeys(METHODS, "ecct_tf.simulation.methods:build_algorithm"),
    "a name such as ecct, or module:name such as my_pkg.methods:trending",
    setting="method",
    any_form=True,
)

method_names = _NAMES.known
"""`() -> dict`: the names that need no module, each with the `module:name` it stands for."""

is_own_method = _NAMES.is_own
"""`(name) -> bool`: whether the library itself brings the method."""

check_method_name = _NAMES.check
"""`(name, *, setting)`: refuses what names no method; a `ConfigError` lists what there is."""

method_target = _NAMES.target_of
"""`(name, *, setting) -> str`: its `module:name`, or a `ConfigError` that lists what there is."""
