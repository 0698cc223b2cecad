"""Configuration of the edge models that a job trains starting weights for."""

import dataclasses
import re
from typing import ClassVar

from ecct_tf.config import (
    SHARINGS,
    STARTS,
    Sharing,
    StartConfig,
    StartName,
    Tier,
    check_tier_form,
)
from ecct_tf.config.checks import at_least, numbers, one_of
from ecct_tf.errors import ConfigError

__all__ = ["EdgeModelsConfig", "EdgeStartConfig"]


@dataclasses.dataclass(frozen=True)
class EdgeModelsConfig:
    """The edge models in devices' files, whose starting weights a version holds.

    Attributes:
      start: `cloud` trains starting weights of each tier on the job's history and keeps them in
        the version; `random` leaves devices to begin at random.
      tiers: the architectures that devices have.
      profile_sizes: values of each private categorical column, the unknown one not counted, in
        the order of the schema; null counts them in `data`. The cloud needs how many there are,
        never whose.
      profile_numbers: how many private numeric columns there are; null counts them in `data`.
      profile_sets: values of each private column of several values; null counts them in `data`.
      hidden_dim: width of the hidden layer of `mlp` and `attention`.
      profile_dim: width of the embedding of one private column.
      heads: attention heads of `attention`.
      targets: names of the further targets that devices' models have heads for (`samples.targets`
        of the devices). The cloud needs to know that there are heads; labels stay on devices.
      shared: weights that are a federated mean over the devices of a tier, as the version's files
        are told: `none`, `backbone` or `all`.
      outcomes: names of the private columns of interactions by which devices train
        (`samples.grade`, `samples.weight`, `samples.targets` of the devices). Their values stay
        out of the version, so that its export must be given them.
    """

    start: StartName = "random"
    tiers: tuple[Tier, ...] = ("mlp",)
    profile_sizes: tuple[int, ...] | None = None
    profile_numbers: int | None = None
    profile_sets: tuple[int, ...] | None = None
    hidden_dim: int = 32
    profile_dim: int = 2
    heads: int = 2
    targets: tuple[str, ...] = ()
    shared: Sharing = "backbone"
    outcomes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        numbers(self, "edge")
        one_of(self, "edge", "start", STARTS)
        one_of(self, "edge", "shared", SHARINGS)
        at_least(self, "edge", 1, "hidden_dim", "profile_dim", "heads")
        if self.profile_numbers is not None:
            at_least(self, "edge", 0, "profile_numbers")
        for tier in self.tiers:
            check_tier_form(tier, setting="edge.tiers")
        if not self.tiers or len(set(self.tiers)) < len(self.tiers):
            raise ConfigError(
                f"edge.tiers: expected one or more tiers, each once, got {list(self.tiers)}"
            )
        if len(set(self.targets)) < len(self.targets) or not all(
            re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in self.targets
        ):
            raise ConfigError(
                "edge.targets: expected different names of lower-case letters, digits and "
                f"underscores, got {list(self.targets)}"
            )
        if len(set(self.outcomes)) < len(self.outcomes) or not all(self.outcomes):
            raise ConfigError(
                f"edge.outcomes: expected different names of columns, got {list(self.outcomes)}"
            )
        for name in ("profile_sizes", "profile_sets"):
            sizes = getattr(self, name) or ()
            if any(size < 1 for size in sizes):
                raise ConfigError(
                    f"edge.{name}: expected at least 1 value of each column, got {list(sizes)}"
                )


@dataclasses.dataclass(frozen=True)
class EdgeStartConfig(StartConfig):  # noqa: D101 - it is documented as what it extends
    __doc__ = StartConfig.__doc__

    section: ClassVar[str] = "edge_start"
