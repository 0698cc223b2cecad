"""What a device transmits."""

import dataclasses
import operator
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecct_tf.reporting.run import Run
from ecct_tf.reporting.spread import Spread

__all__ = ["PARTS", "Traffic", "traffic_of"]

PARTS = ("downlink", "uplink", "weights")


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Bytes of one device as encoded, over the seeds.

    Attributes:
      parts: mean over the rounds in which it takes part: `downlink` and `uplink` of knowledge,
        shared `weights` both ways. Of runs of earlier releases, sums that it sends once are part
        of `uplink`.
      per_round: their sum.
      sums: what it tells of items before the first round; a mean over all devices.
      weights_up: of `parts["weights"]`, what a device sends; None where an earlier run lacks it.
      item_table: the item table, and starting weights where the cloud made some, once; a mean
        over all devices, whether they fetched it or not.
      total: all rounds and what crosses once; a mean over all devices.
      rounds: rounds of a run.
    """

    parts: dict[str, float]
    per_round: Spread
    item_table: float
    total: Spread
    rounds: int
    sums: float = 0.0
    weights_up: float | None = None

    @property
    def knowledge(self) -> float:
        """Bytes of embeddings, logits and queries in a round, both ways."""
        return self.parts["downlink"] + self.parts["uplink"]

    @property
    def once(self) -> float:
        """Bytes that cross once: item table, starting weights and sums."""
        return self.item_table + self.sums


def traffic_of(runs: Sequence[Run]) -> Traffic | None:
    """The traffic of one model's runs; None when they have no rounds."""
    tables = [run.metrics for run in runs if run.metrics is not None]
    if len(tables) < len(runs):
        return None
    taking_part = [float(table["devices"].sum()) for table in tables]
    if not all(taking_part):
        return None
    per_run = [
        {part: float(table[f"{part}_bytes"].sum()) / devices for part in PARTS}
        for table, devices in zip(tables, taking_part, strict=True)
    ]
    once = [
        float(table["item_table_bytes"].sum()) / run.population
        for run, table in zip(runs, tables, strict=True)
    ]
    # NaN in runs of earlier releases, which counted them in the uplink of the first round.
    told = [
        float(table["sums_bytes"].sum()) / run.population
        for run, table in zip(runs, tables, strict=True)
    ]
    totals = [
        sum(float(table[f"{part}_bytes"].sum()) for part in PARTS) / run.population + first
        for run, table, first in zip(runs, tables, map(operator.add, once, told), strict=True)
    ]
    return Traffic(
        parts={part: sum(run[part] for run in per_run) / len(runs) for part in PARTS},
        per_round=Spread(tuple(sum(run.values()) for run in per_run)),
        item_table=sum(once) / len(once),
        total=Spread(tuple(totals)),
        rounds=max(len(table) for table in tables),
        sums=sum(told) / len(told),
        weights_up=_weights_up(tables, taking_part),
    )


def _weights_up(tables: Sequence[pd.DataFrame], taking_part: Sequence[float]) -> float | None:
    # Runs of earlier releases have no such column, which is read as NaN.
    sent = [float(table["weights_up_bytes"].sum(skipna=False)) for table in tables]
    if not np.isfinite(sent).all():
        return None
    return sum(map(operator.truediv, sent, taking_part)) / len(tables)
