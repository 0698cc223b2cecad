"""What was read, what was left out, and who takes part in a split: counted, never silent."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ecct_tf.data.candidates import evaluated_positions
from ecct_tf.data.dataset import Dataset
from ecct_tf.data.filters import FilterCount
from ecct_tf.data.split import PARTS, Part, Split

__all__ = [
    "ColumnReport",
    "DataReport",
    "FileReport",
    "SplitReport",
    "column_reports",
    "split_report",
]

_EXAMPLES = 5


@dataclass(frozen=True)
class FileReport:
    """One file that was read.

    Attributes:
      section: its place in the schema: `interactions`, `users` or `items`.
      path: the file.
      rows: its data rows.
    """

    section: str
    path: str
    rows: int


@dataclass(frozen=True)
class ColumnReport:
    """One feature column.

    Attributes:
      name: its name.
      table: `user`, `item` or `interaction`.
      side: `federated` or `centralized`.
      kind: how it is encoded.
      vocabulary: number of known values; 0 for numeric columns and vectors.
      missing: users or items without a value, those without a row in the table among them.
      rule: how a private number is scaled; None for other columns.
    """

    name: str
    table: str
    side: str
    kind: str
    vocabulary: int
    missing: int
    rule: str | None = None


@dataclass(frozen=True)
class DataReport:
    """What became of somebody's files.

    Attributes:
      name: the data set's name.
      schema: the schema file.
      files: the files that were read.
      filters: what each rule removed.
      users: users of the data set.
      items: items of the catalogue.
      interactions: interactions of the data set.
      idle_users: users of the user table without an interaction.
      idle_items: items of the item table without an interaction; they stay candidates.
      absent_users: users with interactions that have no row in the user table.
      absent_items: items with interactions that have no row in the item table.
      removed_table_rows: rows of the tables whose id a minimum of `filters` removed.
      first_second: time of the earliest interaction, seconds since 1970.
      last_second: time of the latest.
      columns: the feature columns.
      notes: what was read otherwise than it was written, or may surprise, a line each.
    """

    name: str
    schema: str
    files: tuple[FileReport, ...]
    filters: tuple[FilterCount, ...]
    users: int
    items: int
    interactions: int
    idle_users: int
    idle_items: int
    absent_users: int
    absent_items: int
    removed_table_rows: int
    first_second: int
    last_second: int
    columns: tuple[ColumnReport, ...]
    notes: tuple[str, ...] = ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """One line for each rule that removed something."""
        return tuple(count.told for count in self.filters if count.rows)

    def shortened(self, dataset: Dataset, count: FilterCount | None) -> DataReport:
        """The report of the data set that `shortened` made of this one's, with its count."""
        if count is None:
            return self
        return dataclasses.replace(
            self,
            filters=(*self.filters, count),
            interactions=dataset.num_interactions,
            idle_items=self.idle_items + count.items,
            first_second=int(dataset.timestamps.min()),
            last_second=int(dataset.timestamps.max()),
        )

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class SplitReport:
    """Who takes part in a split, and with what.

    Attributes:
      split: `leave_one_out` or `temporal`.
      cuts: the temporal split's last training and last validation second.
      devices: users that can train.
      excluded_users: users that cannot, for want of interactions.
      excluded_interactions: their interactions, which nobody trains on or is tested with.
      excluded_examples: id and number of interactions of the first few of them.
      heavy_users: users that are left out because they touched more than
        `data.max_item_share` of the catalogue.
      heavy_interactions: their interactions.
      heavy_examples: id and number of interactions of the first few of them.
      needed: what a user needs to take part, in words.
      older: training interactions that the cloud may know.
      recent: training interactions that stay on the devices.
      held_out: interactions in each part.
      evaluated: those of them that are evaluated.
      repeated: those with an item that the user had touched before.
      unseen: those with an item that is in nobody's training part.
      tested_users: users with an evaluated interaction in the part.
    """

    split: Literal["leave_one_out", "temporal"]
    cuts: tuple[int, int] | None
    devices: int
    excluded_users: int
    excluded_interactions: int
    excluded_examples: tuple[tuple[str, int], ...]
    heavy_users: int
    heavy_interactions: int
    heavy_examples: tuple[tuple[str, int], ...]
    needed: str
    older: int
    recent: int
    held_out: dict[Part, int]
    evaluated: dict[Part, int]
    repeated: dict[Part, int]
    unseen: dict[Part, int]
    tested_users: dict[Part, int]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return dataclasses.asdict(self)


def column_reports(dataset: Dataset) -> tuple[ColumnReport, ...]:
    """The feature columns of `dataset`, users' first."""
    return tuple(
        ColumnReport(
            name=encoded.column.name,
            table=encoded.column.table,
            side=encoded.column.side.value,
            kind=encoded.column.kind.value,
            vocabulary=len(encoded.vocabulary),
            missing=encoded.missing,
            rule=encoded.column.private_scaling.told if encoded.column.is_private_number else None,
        )
        for encoded in (*dataset.user_columns, *dataset.item_columns, *dataset.interaction_columns)
    )


def split_report(dataset: Dataset, split: Split) -> SplitReport:
    """Counts what `split` makes of `dataset`."""
    heavy = split.heavy_users.tolist()
    taking_part_or_heavy = np.union1d(split.users, split.heavy_users)
    excluded = np.setdiff1d(np.arange(split.num_users), taking_part_or_heavy).tolist()
    sizes = np.diff(split.offsets)
    trained = np.zeros(split.num_items + 1, np.bool_)
    for user in split.users.tolist():
        trained[split.train(user)] = True
    counts: dict[str, dict[Part, int]] = {
        name: dict.fromkeys(PARTS, 0)
        for name in ("held_out", "evaluated", "repeated", "unseen", "tested_users")
    }
    for part in PARTS:
        for user in split.users.tolist():
            items = split.touched(user).tolist()
            positions = split.positions(user, part)
            evaluated = len(evaluated_positions(split, user, part))
            counts["held_out"][part] += len(positions)
            counts["evaluated"][part] += evaluated
            counts["repeated"][part] += sum(items[p] in items[:p] for p in positions)
            counts["unseen"][part] += sum(not trained[items[p]] for p in positions)
            counts["tested_users"][part] += evaluated > 0
    temporal = split.cuts is not None

    def examples(users: list[int]) -> tuple[tuple[str, int], ...]:
        return tuple((dataset.user_tokens[user], int(sizes[user])) for user in users[:_EXAMPLES])

    return SplitReport(
        split="temporal" if temporal else "leave_one_out",
        cuts=split.cuts,
        devices=len(split.users),
        excluded_users=len(excluded),
        excluded_interactions=int(sizes[excluded].sum()),
        excluded_examples=examples(excluded),
        heavy_users=len(heavy),
        heavy_interactions=int(sizes[heavy].sum()),
        heavy_examples=examples(heavy),
        needed="2 interactions before the first cut" if temporal else "4 interactions",
        older=int(split.older_counts.sum()),
        recent=int(split.recent_counts.sum()),
        held_out=counts["held_out"],
        evaluated=counts["evaluated"],
        repeated=counts["repeated"],
        unseen=counts["unseen"],
        tested_users=counts["tested_users"],
    )
