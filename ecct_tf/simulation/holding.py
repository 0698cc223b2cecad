"""What devices of a run hold of the items, where that is not the whole table."""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cloud import CloudRecommender
from cloud.guard import GuardedCloud
from cloud.held_rows import AskingHeld, choose_held_items
from ecct_tf.config import RunConfig
from ecct_tf.data import Candidates, DeviceGroups, Split, cloud_view
from ecct_tf.data.held_items import HeldItems, held_dataset, placed_candidates
from ecct_tf.knowledge import ItemTable
from ecct_tf.knowledge.table_files import row_bytes, table_bytes
from ecct_tf.phases import phase
from ecct_tf.simulation.experiment import Experiment

__all__ = ["Holding", "asking", "holding_of", "holds_candidates"]

# Beside each row: the item whose it is.
_ID_BYTES = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Holding:
    """Rows of an item table on the devices of a run.

    Attributes:
      items: of which items each device has rows.
      groups: the users of each device, without interactions of items that it has no row of.
      split: of them.
      whole: the split with all interactions.
      row_bytes: of a row on the wire, with the number of its item.
      table_bytes: of what all devices fetch: the shared rows, and what all rows need.
      own_bytes: `[users] int64`, of the rows that the device of each user fetches beside them.
    """

    items: HeldItems
    groups: DeviceGroups
    split: Split
    whole: Split
    row_bytes: int
    table_bytes: int
    own_bytes: npt.NDArray[np.int64]

    def placed(self, candidates: Candidates) -> Candidates:
        """Candidates of the whole split, with their positions among what devices can use."""
        return placed_candidates(candidates, self.whole, self.split)

    def request_bytes(self, candidates: Candidates) -> npt.NDArray[np.int64]:
        """`[k] int64`: of the rows that the cloud sends with each request's candidates."""
        return self.items.missing(candidates) * self.row_bytes

    def told(self, test: Candidates) -> str:
        """What the devices hold, in a sentence for the end of a run; `test` are its requests."""
        users = self.whole.users
        rows = len(self.items.shared) + float(self.items.own_counts[users].mean())
        recent, known = (int(each.recent_counts.sum()) for each in (self.whole, self.split))
        return (
            f"Of {self.whole.num_items:,} items a device holds rows of {rows:,.0f}, on the mean, "
            f"in {self.table_bytes + self.own_bytes[users].mean():,.0f} B, at most "
            f"{self.largest_bytes:,} B; {recent - known:,} of {recent:,} recent interactions are "
            "of items that it has no row of. The candidates of a tested request bring "
            f"{self.request_bytes(test).mean():,.0f} B of rows."
        )

    @property
    def largest_bytes(self) -> int:
        """Of all rows on the device that holds most, one user on each."""
        return int(self.table_bytes + self.own_bytes.max(initial=0))


def holds_candidates(config: RunConfig) -> bool:
    """Whether devices of a run hold rows of some items of a table that the cloud published."""
    return config.exchange.items == "candidates" and config.method == "ecct"


def holding_of(
    experiment: Experiment,
    table: ItemTable,
    *,
    downlinks: Callable[[npt.NDArray[np.int32]], npt.NDArray[np.float32]],
) -> Holding:
    """What the devices of a run hold whose items are candidates.

    Args:
      experiment: the data.
      table: the item table as devices receive it.
      downlinks: `(users [n]) -> u [n, d_c]`, as published.

    Raises:
      ConfigError: the cloud's score is no product.
    """
    config: RunConfig = experiment.config
    with phase("choosing the rows of devices"):
        items = choose_held_items(
            cloud_view(experiment.dataset, experiment.split),
            table,
            config.exchange.candidates,
            downlinks=downlinks,
            newest=config.features.history_length,
            seed=config.seed,
        )
        dataset, split = held_dataset(experiment.dataset, experiment.split, items)
        groups = DeviceGroups(
            dataset,
            split,
            [experiment.groups.users_of(index) for index in range(len(experiment.groups))],
        )
    row = row_bytes(table, config.exchange.codec)
    common = table_bytes(table, config.exchange.codec) - row * table.num_items
    return Holding(
        items=items,
        groups=groups,
        split=split,
        whole=experiment.split,
        row_bytes=row + _ID_BYTES,
        table_bytes=common + len(items.shared) * (row + _ID_BYTES),
        own_bytes=items.own_counts * (row + _ID_BYTES),
    )


def asking(
    experiment: Experiment, cloud: CloudRecommender | GuardedCloud, holding: Holding
) -> AskingHeld:
    """`cloud`, asking devices about items that it sent them rows of."""
    config = experiment.config
    return AskingHeld(
        cloud,
        holding.items,
        cloud_view(experiment.dataset, experiment.split),
        num_queries=config.exchange.queries,
        top_share=config.cloud.query_top_share,
        seed=config.seed,
    )
