"""What devices told the cloud before the first round, together."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import RunConfig
from ecct_tf.data import CloudView
from ecct_tf.errors import CheckpointError
from ecct_tf.federated.device_sums import Summing
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.increments import ItemIncrements, collect_increments, increment_spec
from ecct_tf.simulation.recent_popularity import NewestSum, collect_popularity, popularity_spec

__all__ = ["INCREMENTS", "POPULARITY", "DeviceSums", "collect_sums", "restored_sums"]

_log = logging.getLogger(__name__)

INCREMENTS = "item_increments"
"""Of a checkpoint: the devices' sum of pairs of items."""

POPULARITY = "recent_popularity"
"""Of a checkpoint: the devices' sum of which items they met lately."""


@dataclasses.dataclass(frozen=True)
class DeviceSums:
    """The sums of a run, each None where devices sent none.

    Attributes:
      pairs: of items that go together.
      newest: of single items that were met lately.
    """

    pairs: ItemIncrements | None = None
    newest: NewestSum | None = None

    @property
    def uplink_bytes(self) -> int:
        """What all devices sent for them."""
        return sum(each.uplink_bytes for each in (self.pairs, self.newest) if each is not None)

    def recent(self, view: CloudView) -> npt.NDArray[np.float32] | None:
        """`[items + 1] float32`, popularity of late; None where devices told nothing of it."""
        return None if self.newest is None else self.newest.attribute(view)

    @property
    def told_of(self) -> str:
        """What they are for, in words."""
        named = {"pairs of items": self.pairs, "items met lately": self.newest}
        return "for " + " and ".join(name for name, each in named.items() if each is not None)

    def to_arrays(self) -> dict[str, npt.NDArray[np.int64]]:
        """The sums, for a checkpoint."""
        named = {INCREMENTS: self.pairs, POPULARITY: self.newest}
        return {name: each.total for name, each in named.items() if each is not None}


def collect_sums(experiment: Experiment, *, summed: Summing | None = None) -> DeviceSums:
    """Asks all devices once that answer before the first round.

    Args:
      experiment: the data.
      summed: how a sum is computed; by default in this process.
    """
    for name in ("item_increments", "recent_popularity"):
        own = getattr(experiment.config.exchange, name)
        if experiment.config.exchange.up and own.noise_multiplier and own.positions is None:
            _log.warning(
                "exchange.%s.noise_multiplier=%g: where a run asks for noise, devices tell "
                "of items only if a number of positions is set; set exchange.%s.positions, such "
                "as 4",
                name, own.noise_multiplier, name,
            )  # fmt: skip
    pairs = collect_increments(experiment, summed=summed)
    newest = collect_popularity(experiment, summed=summed, tells_pairs=pairs is not None)
    return DeviceSums(pairs, newest)


def restored_sums(
    config: RunConfig,
    arrays: Mapping[str, npt.NDArray[Any]],
    *,
    num_items: int,
    older_counts: npt.NDArray[np.int64],
    num_devices: int,
) -> DeviceSums:
    """The sums of a checkpoint, without their bytes.

    Args:
      config: of the run.
      arrays: of the checkpoint.
      num_items: the largest item id.
      older_counts: `[users]`, interactions of each user that the cloud knows.
      num_devices: of the run.

    Raises:
      CheckpointError: it holds a sum that the settings do not ask for.
    """
    pairs = increment_spec(config, num_items, older_counts=older_counts, num_devices=num_devices)
    newest = popularity_spec(
        config, num_items, num_devices=num_devices, tells_pairs=pairs is not None
    )
    for name, spec in ((INCREMENTS, pairs), (POPULARITY, newest)):
        if name in arrays and spec is None:
            raise CheckpointError(
                f"checkpoint: it holds a sum of the devices ({name}) that this run's settings do "
                "not ask for; restore the run's config.yaml"
            )
    return DeviceSums(
        ItemIncrements(pairs, arrays[INCREMENTS]) if pairs and INCREMENTS in arrays else None,
        NewestSum(newest, arrays[POPULARITY]) if newest and POPULARITY in arrays else None,
    )
