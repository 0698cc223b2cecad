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
)


def method_names() -> dict[str, str]:
    """The names that need no module, each with the `module:name` that it stands for.

    Raises:
      ConfigError: two packages register one name, or one that the library has.
    """
    return _NAMES.known()


def is_own_method(name: str) -> bool:
    """Whether the library itself brings the method."""
    return name in METHODS


def check_method_name(name: str, *, setting: str = "method") -> None:
    """Refuses what names no method; nothing is imported.

    Raises:
      ConfigError: nothing has the name, which lists what there is, or it is no `module:name`.
    """
    _NAMES.check(name, setting=setting)


def method_target(name: str, *, setting: str = "method") -> str:
    """The `module:name` that a name stands for.

    Raises:
      ConfigError: nothing has the name; it lists what there is.
    """
    return _NAMES.target_of(name, setting=setting)
