"""The devices' sum of which items they met lately, collected before the first round."""

import dataclasses

import numpy as np
import numpy.typing as npt

from ecct_tf.config import RunConfig
from ecct_tf.config.table_names import LARGE_CATALOG
from ecct_tf.data import CloudView
from ecct_tf.federated.device_sums import Summing
from ecct_tf.knowledge.recent_popularity import PopularitySpec
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.told_sums import ToldSum, sum_of_answering, sums_unasked

__all__ = ["NewestSum", "collect_popularity", "popularity_spec"]

# Of the seed of its noise, which must not be that of the sum of pairs.
_STREAM = 0x7E4D


class NewestSum(ToldSum[PopularitySpec]):
    """The sum of which items devices met lately."""

    def attribute(self, view: CloudView) -> npt.NDArray[np.float32]:
        """`[items + 1] float32`: what the item table says of it."""
        return self.spec.attribute(self.total, view.item_counts)


def popularity_spec(
    config: RunConfig, num_items: int, *, num_devices: int, tells_pairs: bool = False
) -> PopularitySpec | None:
    """The form of the devices' sum; None where devices send none.

    They send none without `exchange.up` or with `exchange.recent_popularity.positions=0`. Where
    `positions` is null, they send none either where they tell of pairs, which count single items
    too; where the run asks for noise or a bound; where sums hide nobody or have nothing to be
    compared with; and of a large catalog, a bit of each of whose items would be more than all else
    that a device sends.

    Args:
      config: of the run.
      num_items: the largest item id.
      num_devices: of the run.
      tells_pairs: whether devices send a sum of pairs of items.
    """
    own = config.exchange.recent_popularity
    if not config.exchange.up or own.positions == 0:
        return None
    if own.positions is None:
        if tells_pairs or num_items > LARGE_CATALOG:
            return None
        if not sums_unasked(config, num_devices=num_devices):
            return None
        # Whatever a device trains on is told of, so that it may take its own bit out of all of it.
        own = dataclasses.replace(own, positions=config.samples.max_positions)
    return PopularitySpec(num_items, own)


def collect_popularity(
    experiment: Experiment, *, summed: Summing | None = None, tells_pairs: bool = False
) -> NewestSum | None:
    """Asks all devices once that answer before the first round.

    Args:
      experiment: the data.
      summed: how the sum is computed; by default in this process.
      tells_pairs: whether devices send a sum of pairs of items.
    """
    config, num_devices = experiment.config, len(experiment.groups)
    spec = popularity_spec(
        config, experiment.dataset.num_items, num_devices=num_devices, tells_pairs=tells_pairs
    )
    if spec is None:
        return None
    found = sum_of_answering(
        spec, experiment, summed=summed, stream=_STREAM, told="which items were met lately"
    )
    return NewestSum(spec, *found)
