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

_LOSSES = PartNames(
    "a loss",
    LOSS_ENTRY_POINTS,
    {name: f"ecct_tf.edge.losses:{name}" for name in (BCE, "bpr", "huber", "sampled_softmax")},
    f"a name such as {DEFAULT_LOSS}, or module:name such as my_pkg.losses:hinge",
    setting="training.loss",
)
_DISTILLATIONS = PartNames(
    "a distillation loss",
    "ecct_tf.distillation_losses",
    {
        TEMPERED: "ecct_tf.knowledge.distillation:distillation",
        "listwise": "ecct_tf.edge.losses:listwise",
    },
    f"a name such as {TEMPERED}, or module:name such as my_pkg.losses:hinge",
    setting="training.distillation_loss",
)

is_own_loss = _LOSSES.is_own
"""`(name) -> bool`: whether the library itself brings the loss."""

check_loss_form = _LOSSES.check_form
"""`(name, *, setting)`: refuses what cannot name a loss; nothing is looked up."""

loss_target = _LOSSES.target_of
"""`(name, *, setting) -> str`: its `module:name`, or a `ConfigError` that lists what there is."""

is_own_distillation = _DISTILLATIONS.is_own
"""`(name) -> bool`: whether the library itself brings the distillation loss."""

check_distillation_form = _DISTILLATIONS.check_form
"""`(name, *, setting)`: refuses what cannot name a distillation loss; nothing is looked up."""

distillation_target = _DISTILLATIONS.target_of
"""`(name, *, setting) -> str`: its `module:name`, or a `ConfigError` that lists what there is."""
