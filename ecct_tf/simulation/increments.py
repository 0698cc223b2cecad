"""The devices' sum of pairs of items, collected before the first round of a simulation."""

import dataclasses
import logging

import numpy as np
import numpy.typing as npt

from ecct_tf.config import RunConfig
from ecct_tf.federated.device_sums import Summing
from ecct_tf.knowledge.increments import IncrementSpec
from ecct_tf.knowledge.pair_counts import PairCounts, pair_counts
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.told_sums import ToldSum, sum_of_answering, sums_unasked

__all__ = [
    "ItemIncrements",
    "collect_increments",
    "increment_spec",
    "short_histories",
]

Array = npt.NDArray[np.int64]

# Where the setting is null.
_POSITIONS = 4

_log = logging.getLogger(__name__)


class ItemIncrements(ToldSum[IncrementSpec]):
    """The sum of pairs of items."""

    @property
    def counts(self) -> PairCounts:
        """The sum, read."""
        return pair_counts(self.spec, self.total)


def increment_spec(
    config: RunConfig, num_items: int, *, older_counts: Array, num_devices: int
) -> IncrementSpec | None:
    """The form of the devices' sum; None where devices send none.

    They send none without `exchange.up` or with `exchange.item_increments.positions=0`, and none
    of a catalog whose items by items the cloud does not write out: it could not refit them. Where
    `positions` is null, `short_histories` decides.

    Args:
      config: of the run.
      num_items: the largest item id.
      older_counts: `[users] int64`, interactions of each user that the cloud knows.
      num_devices: of the run.
    """
    own = config.exchange.item_increments
    if not config.exchange.up or own.positions == 0:
        return None
    dense = config.cloud.similarity.is_dense(num_items)
    if own.positions is None:
        own = dataclasses.replace(own, positions=_POSITIONS)
        spec = IncrementSpec(num_items, own, config.cloud.sequence_decay)
        short = short_histories(spec, config, older_counts=older_counts, num_devices=num_devices)
        return spec if dense and short else None
    if not dense:
        _log.warning(
            "devices send no increments of pairs of items: the cloud has %d items in the form "
            "cloud.similarity.form=factored, which it cannot refit",
            num_items,
        )
        return None
    return IncrementSpec(num_items, own, config.cloud.sequence_decay)


def short_histories(
    spec: IncrementSpec, config: RunConfig, *, older_counts: Array, num_devices: int
) -> bool:
    """Whether the sum is worth its bytes, by what the cloud knows before it asks.

    Histories are short when half of the users or more are expected to have no more new interactions
    than the sum counts; the sum can be read when the pairs that are expected fill no more than half
    of a row. Sums over a few devices hide nobody. Where a run asks for noise or for a bound on what
    is given away, nothing is sent that it does not name.
    """
    share = config.data.recent_fraction
    if not sums_unasked(config, num_devices=num_devices):
        return False
    expected = np.ceil(older_counts * (share / (1.0 - share)))
    pairs = np.minimum(expected, spec.positions).sum() * len(spec.weights)
    return bool(np.median(expected) <= spec.positions and 2 * pairs <= spec.config.width)


def collect_increments(
    experiment: Experiment, *, summed: Summing | None = None
) -> ItemIncrements | None:
    """Asks all devices once that answer before the first round.

    Args:
      experiment: the data.
      summed: how the sum is computed; by default in this process.
    """
    config = experiment.config
    spec = increment_spec(
        config,
        experiment.dataset.num_items,
        older_counts=experiment.split.older_counts,
        num_devices=len(experiment.groups),
    )
    if spec is None:
        return None
    found = sum_of_answering(spec, experiment, summed=summed, stream=0, told="pairs of items")
    return ItemIncrements(spec, *found)
