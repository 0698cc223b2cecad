"""Names of aggregators: what there is, and what a name stands for; nothing is imported."""

from ecct_tf.config.part_names import PartNames
from ecct_tf.errors import ConfigError

__all__ = [
    "AGGREGATOR_ENTRY_POINTS",
    "MEAN",
    "aggregator_target",
    "check_aggregator_form",
    "check_share_every",
    "check_single_devices",
    "late_refusal",
]

MEAN = "mean"
"""The library's own mean of the devices' changes, which both engines compute."""

AGGREGATOR_ENTRY_POINTS = "ecct_tf.aggregators"
"""The group of entry points under which packages register aggregators."""

_NAMES = PartNames(
    "an aggregator",
    AGGREGATOR_ENTRY_POINTS,
    {MEAN: "ecct_tf.federated.server:server_step"},
    "a name such as mean, or module:name such as my_pkg.privacy:clipped",
    setting="server.aggregator",
)

check_aggregator_form = _NAMES.check_form
"""`(name, *, setting)`: refuses what cannot name an aggregator; nothing is looked up."""

aggregator_target = _NAMES.target_of
"""`(name, *, setting) -> str`: its `module:name`, or a `ConfigError` that lists what there is."""


def check_single_devices(name: str, *, setting: str, shard_size: int) -> None:
    """Refuses an aggregator other than the mean over sums of several devices.

    Raises:
      ConfigError: a client value would be more than one device.
    """
    if name != MEAN and shard_size > 1:
        raise ConfigError(
            f"{setting}: {name!r} joins the changes of single devices, so that clipping and "
            f"noise are per device; expected runtime.shard_size=0, got {shard_size}, which adds "
            "up so many devices first. Set it to 0"
        )


def check_share_every(
    share_every: int, *, section: str, aggregator: str, stages: str | None
) -> None:
    """Refuses what takes a change in every round where changes wait for some of them.

    Args:
      share_every: rounds between two means of the shared weights.
      section: of the settings, such as `server`.
      aggregator: by its name.
      stages: custom ones, by their name; None for none.

    Raises:
      ConfigError: so it is.
    """
    for name, found, expected in (
        ("aggregator", None if aggregator == MEAN else aggregator, MEAN),
        ("stages", stages, "null"),
    ):
        if share_every > 1 and found is not None:
            raise ConfigError(
                f"{section}.{name}: got {found!r}, which takes a change in every round, with "
                f"edge.share_every={share_every}; expected {expected}, or edge.share_every=1"
            )


def late_refusal(setting: str, name: str) -> ConfigError:
    """The error for an aggregator that would have to join changes of several rounds."""
    return ConfigError(
        f"{setting}: {name!r} joins the changes of one round, but with participation.delay or a "
        "buffer they arrive in others; expected mean, or participation.delay.max_rounds=0 and "
        f"{setting.removesuffix('aggregator')}buffer=0"
    )
