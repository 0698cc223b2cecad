"""The devices' sum of pairs of items, collected before the first round of a simulation."""

import dataclasses
import logging

import numpy as np
import numpy.typing as npt

from ecct_tf.config import RunConfig
from ecct_tf.data.device_groups import DeviceGroups
from ecct_tf.federated import draw_participants
from ecct_tf.federated.device_sums import Summing, sum_here
from ecct_tf.knowledge.increments import IncrementSpec
from ecct_tf.knowledge.noise import noise_stream
from ecct_tf.knowledge.pair_counts import PairCounts, pair_counts
from ecct_tf.phases import phase
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.participation import device_order, schedule_of

__all__ = [
    "ItemIncrements",
    "answering_groups",
    "collect_increments",
    "increment_spec",
    "short_histories",
    "sums_unasked",
]

Array = npt.NDArray[np.int64]

# Devices answer as in any round; no round has this number.
_BEFORE_ROUNDS = 2**31
# Where the setting is null.
_POSITIONS = 4
_FEWEST_DEVICES = 100

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ItemIncrements:
    """What reached the cloud.

    Attributes:
      spec: the form of the sum.
      total: `[size] int64`.
      uplink_bytes: what all devices sent for it.
    """

    spec: IncrementSpec
    total: Array = dataclasses.field(repr=False)
    uplink_bytes: int = 0

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
    groups = answering_groups(experiment)
    users = sum(map(len, groups))
    seed = np.array(noise_stream(config.seed), np.int64)
    with phase(f"summing what {len(groups):,} devices know of pairs of items"):
        total = (summed or sum_here)(spec, groups, seed)
    return ItemIncrements(spec, total, uplink_bytes=len(groups) * spec.encoded_bytes(users))


def sums_unasked(config: RunConfig, *, num_devices: int) -> bool:
    """Whether devices may be asked for a sum that no setting names.

    Sums over a few devices hide nobody. Where a run asks for noise or for a bound on what is given
    away, nothing is sent that it does not name. And the cloud must know something older to compare
    the newest interactions with.
    """
    exchange = config.exchange
    noise = (
        exchange.noise_multiplier,
        exchange.item_increments.noise_multiplier,
        exchange.recent_popularity.noise_multiplier,
    )
    if any(noise) or exchange.rows == "item" or config.privacy.max_epsilon is not None:
        return False
    return num_devices >= _FEWEST_DEVICES and 0.0 < config.data.recent_fraction < 1.0


def answering_groups(experiment: Experiment) -> DeviceGroups:
    """The devices that answer before the first round.

    Those that come later are not there yet, and those that drop out as in a round
    (`participation.dropout`) do not answer.
    """
    config = experiment.config
    order = device_order(config, len(experiment.groups))
    members = np.sort(order[schedule_of(experiment).presence.joins == 0])
    _, answering = draw_participants(
        dataclasses.replace(
            config.participation, devices_per_round=None, share=None, sampling="uniform"
        ),
        num_devices=len(experiment.groups),
        seed=config.seed,
        round_number=_BEFORE_ROUNDS,
        present=members,
    )
    return experiment.groups.subset(answering.tolist())
