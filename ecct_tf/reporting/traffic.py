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
        shared `weights` both ways. Sums that it sends once, before the first round, are part of
        `uplink`: `metrics.csv` counts them in the first round.
      per_round: their sum.
      weights_up: of `parts["weights"]`, what a device sends; None where an earlier run lacks it.
      item_table: the item table, and starting weights where the cloud made some, once; a mean
        over all devices, whether they fetched it or not.
      total: all rounds and the item table; a mean over all devices.
      rounds: rounds of a run.
    """

    parts: dict[str, float]
    per_round: Spread
    item_table: float
    total: Spread
    rounds: int
    weights_up: float | None = None

    @property
    def knowledge(self) -> float:
        """Bytes of embeddings, logits and queries in a round, both ways."""
        return self.parts["downlink"] + self.parts["uplink"]


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
    totals = [
        sum(float(table[f"{part}_bytes"].sum()) for part in PARTS) / run.population + item_table
        for run, table, item_table in zip(runs, tables, once, strict=True)
    ]
    return Traffic(
        parts={part: sum(run[part] for run in per_run) / len(runs) for part in PARTS},
        per_round=Spread(tuple(sum(run.values()) for run in per_run)),
        item_table=sum(once) / len(once),
        total=Spread(tuple(totals)),
        rounds=max(len(table) for table in tables),
        weights_up=_weights_up(tables, taking_part),
    )


def _weights_up(tables: Sequence[pd.DataFrame], taking_part: Sequence[float]) -> float | None:
    # Runs of earlier releases have no such column, which is read as NaN.
    sent = [float(table["weights_up_bytes"].sum(skipna=False)) for table in tables]
    if not np.isfinite(sent).all():
        return None
    return sum(map(operator.truediv, sent, taking_part)) / len(tables)
