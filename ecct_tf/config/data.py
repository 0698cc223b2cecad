"""The configuration of the data: where they come from, how they are split, who holds what."""

import dataclasses
from typing import Literal, get_args

from ecct_tf.config.checks import at_least, numbers, one_of, positive, within
from ecct_tf.config.data_names import IN_MEMORY, check_dataset_name
from ecct_tf.config.skew import SkewConfig
from ecct_tf.config.yaml_text import setting_text
from ecct_tf.errors import ConfigError

__all__ = ["SPLITS", "DataConfig", "SplitName"]

SplitName = Literal["leave_one_out", "temporal"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The data and who holds it.

    Attributes:
      dataset: `movielens-100k`, `movielens-1m`, `movielens-latest-small`, `complete-journey`,
        `synthetic`, or `files` for your own; a name that a package registers, or `module:name` of
        a function that returns a `Dataset`. `in-memory` is what a run is filed as whose data a
        program handed over.
      folder: folder with the published data, instead of the cache or a download.
      schema: YAML file that describes your own files; for `files` only.
      keep_first: number of each user's earliest interactions to keep, after the filters and before
        the split, for studies of short histories; null keeps all. The items stay in the catalogue.
      keep_last: number of each user's latest interactions to keep, instead.
      split: `leave_one_out` holds out each user's last two interactions; `temporal` holds out
        everything after two moments common to all users.
      validation_fraction: share of all interactions between those two moments.
      test_fraction: share of all interactions after the second moment.
      recent_fraction: newest share of each user's training interactions that exists only on the
        device. With 1 the cloud knows no interaction, with 0 devices have nothing to train on.
      max_item_share: users who touched a larger share of all items are left out; 1 leaves nobody
        out.
      nodes: number of edge nodes to which a Dirichlet partition assigns the users; null gives each
        user a device.
      alpha: concentration of that partition; small values are uneven.
      skew: how unevenly the data lie on devices, for studies.
      synthetic_users: users of the synthetic dataset.
      synthetic_items: items of the synthetic dataset.
      name: the name of data in memory; written by the run.
      fingerprint: SHA-256 of data in memory, in hexadecimal; written by the run.
    """

    dataset: str = "movielens-100k"
    folder: str | None = None
    schema: str | None = None
    keep_first: int | None = None
    keep_last: int | None = None
    split: SplitName = "leave_one_out"
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    recent_fraction: float = 0.2
    max_item_share: float = 1.0
    nodes: int | None = None
    alpha: float = 0.5
    skew: SkewConfig = dataclasses.field(default_factory=SkewConfig)
    synthetic_users: int = 256
    synthetic_items: int = 400
    name: str | None = None
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        numbers(self, "data")
        check_dataset_name(self.dataset)
        if (self.dataset == "files") != (self.schema is not None):
            raise ConfigError(
                "data.schema: expected the path of a schema file with data.dataset=files, and "
                f"null otherwise, got {setting_text(self.schema)} with data.dataset={self.dataset}"
            )
        for key in ("name", "fingerprint"):
            if getattr(self, key) is not None and self.dataset != IN_MEMORY:
                raise ConfigError(
                    f"data.{key}: expected null but for data.dataset=in-memory, got "
                    f"{setting_text(getattr(self, key))} with data.dataset={self.dataset}"
                )
        one_of(self, "data", "split", SPLITS)
        self._check_kept()
        positive(self, "data", "validation_fraction", "test_fraction")
        if not self.validation_fraction + self.test_fraction < 1:
            raise ConfigError(
                "data.test_fraction: expected less than 1 together with data.validation_fraction, "
                f"got {self.test_fraction} and {self.validation_fraction}"
            )
        if not 0 <= self.recent_fraction <= 1:
            raise ConfigError(
                "data.recent_fraction: expected a number from 0, devices train on nothing that the "
                "cloud does not know, to 1, the cloud knows no interaction, got "
                f"{self.recent_fraction}"
            )
        positive(self, "data", "max_item_share")
        within(self, "data", 0.0, 1.0, "max_item_share")
        if self.nodes is not None:
            at_least(self, "data", 1, "nodes")
        positive(self, "data", "alpha")
        at_least(self, "data", 4, "synthetic_users")
        at_least(self, "data", 120, "synthetic_items")

    def _check_kept(self) -> None:
        if self.keep_first is not None and self.keep_last is not None:
            raise ConfigError(
                f"data.keep_last: expected null beside data.keep_first={self.keep_first}, got "
                f"{self.keep_last}. Set one of the two to null."
            )
        least = 4 if self.split == "leave_one_out" else 2
        for key in ("keep_first", "keep_last"):
            kept = getattr(self, key)
            if kept is not None and kept < least:
                raise ConfigError(
                    f"data.{key}: expected at least {least}, the interactions that a user needs "
                    f"with data.split={self.split}, got {kept}"
                )
