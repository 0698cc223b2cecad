"""Sums over devices before the first round: who answers, and what reaches the cloud."""

import dataclasses
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar, overload

import numpy as np
import numpy.typing as npt

from ecct_tf.config import RunConfig
from ecct_tf.data import DeviceView
from ecct_tf.federated import draw_participants
from ecct_tf.federated.attack import Attack
from ecct_tf.federated.device_sums import Summing, sum_here
from ecct_tf.knowledge.device_sums import SumSpec
from ecct_tf.knowledge.noise import noise_stream
from ecct_tf.phases import phase
from ecct_tf.simulation.attack import attack_of
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.participation import device_order, schedule_of

__all__ = ["Summed", "ToldSum", "sum_of_answering", "sums_unasked"]

Array = npt.NDArray[np.int64]
SpecT = TypeVar("SpecT", bound=SumSpec)

# Devices answer as in any round; no round has this number.
_BEFORE_ROUNDS = 2**31
_FEWEST_DEVICES = 100


@dataclasses.dataclass(frozen=True)
class ToldSum(Generic[SpecT]):
    """What reached the cloud.

    Attributes:
      spec: the form of the sum.
      total: `[size] int64`.
      uplink_bytes: what all devices sent for it.
    """

    spec: SpecT
    total: Array = dataclasses.field(repr=False)
    uplink_bytes: int = 0


class Summed(NamedTuple):
    """A sum `[size] int64`, and the bytes that all devices sent for it."""

    total: Array
    uplink_bytes: int


def sum_of_answering(
    spec: SumSpec, experiment: Experiment, *, summed: Summing | None, stream: int, told: str
) -> Summed:
    """Asks all devices once that answer before the first round.

    Those that come later are not there yet, and those that drop out as in a round
    (`participation.dropout`) do not answer.

    Args:
      spec: the form of the sum.
      experiment: the data.
      summed: how the sum is computed; None for in this process.
      stream: tells the noise of this sum from that of others.
      told: what is summed, in words.
    """
    groups = _answering(experiment)
    users = sum(map(len, groups))
    seed = np.array(noise_stream(experiment.config.seed), np.int64) ^ stream
    with phase(f"summing {told} of {len(groups):,} devices"):
        total = (summed or sum_here)(spec, groups, seed)
    return Summed(total, len(groups) * spec.encoded_bytes(users))


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


def _answering(experiment: Experiment) -> Sequence[Sequence[DeviceView]]:
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
    groups = experiment.groups.subset(answering.tolist())
    attack = attack_of(experiment)
    return groups if attack is None else _Pretended(groups, attack)


class _Pretended(Sequence[Sequence[DeviceView]]):
    """Users of devices, of which poisoned ones count what they make up; made when asked for."""

    def __init__(self, groups: Sequence[Sequence[DeviceView]], attack: Attack) -> None:
        self._groups, self._attack = groups, attack

    def __len__(self) -> int:
        return len(self._groups)

    @overload
    def __getitem__(self, index: int) -> Sequence[DeviceView]: ...

    @overload
    def __getitem__(self, index: slice) -> "_Pretended": ...

    def __getitem__(self, index: int | slice) -> "Sequence[DeviceView] | _Pretended":
        if isinstance(index, slice):
            return _Pretended(self._groups[index], self._attack)
        return [self._attack.pretended(view) for view in self._groups[index]]
