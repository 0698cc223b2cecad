"""Names of losses of devices: what there is, and what a name stands for; nothing is imported."""

from ecct_tf.config.part_names import PartNames

__all__ = [
    "BCE",
    "DEFAULT_LOSS",
    "LOSS_ENTRY_POINTS",
    "ORDER_LOSSES",
    "TEMPERED",
    "check_distillation_form",
    "check_loss_form",
    "distillation_target",
    "is_own_distillation",
    "is_own_loss",
    "loss_target",
]

BCE = "bce"
"""The cross-entropy of each sample."""

DEFAULT_LOSS = "sampled_softmax"
"""What devices, and the cloud for their starting weights, learn by."""

ORDER_LOSSES = ("bpr", "sampled_softmax")
"""Those of the library that read which item of a position is its own, and no label."""

TEMPERED = "tempered"
"""The cross-entropy of each sample with the cloud's tempered prediction, the default."""

LOSS_ENTRY_POINTS = "ecct_tf.losses"
"""The group of entry points under which packages register losses."""

_NAMES = PartNames(
    "a loss",
    LOSS_ENTRY_POINTS,
    {name: f"ecct_tf.edge.losses:{name}" for name in (BCE, "bpr", "huber", "sampled_softmax")},
    f"a name such as {DEFAULT_LOSS}, or module:name such as my_pkg.losses:hinge",
)
_DISTILLATIONS = PartNames(
    "a distillation loss",
    "ecct_tf.distillation_losses",
    {
        TEMPERED: "ecct_tf.knowledge.distillation:distillation",
        "listwise": "ecct_tf.edge.losses:listwise",
    },
    f"a name such as {TEMPERED}, or module:name such as my_pkg.losses:hinge",
)


def check_loss_form(name: str, *, setting: str) -> None:
    """Refuses what cannot name a loss; nothing is looked up or imported.

    Raises:
      ConfigError: it is neither a name nor `module:name`.
    """
    _NAMES.check_form(name, setting=setting)


def check_distillation_form(name: str, *, setting: str) -> None:
    """Refuses what cannot name a distillation loss; nothing is looked up or imported.

    Raises:
      ConfigError: it is neither a name nor `module:name`.
    """
    _DISTILLATIONS.check_form(name, setting=setting)


def is_own_loss(name: str) -> bool:
    """Whether the library itself brings the loss."""
    return name in _NAMES.own


def loss_target(name: str, *, setting: str = "training.loss") -> str:
    """The `module:name` that a name stands for.

    Raises:
      ConfigError: nothing has the name; it lists what there is.
    """
    check_loss_form(name, setting=setting)
    return _NAMES.target_of(name, setting=setting)


def is_own_distillation(name: str) -> bool:
    """Whether the library itself brings the distillation loss."""
    return name in _DISTILLATIONS.own


def distillation_target(name: str, *, setting: str = "training.distillation_loss") -> str:
    """The `module:name` that a name stands for.

    Raises:
      ConfigError: nothing has the name; it lists what there is.
    """
    check_distillation_form(name, setting=setting)
    return _DISTILLATIONS.target_of(name, setting=setting)
