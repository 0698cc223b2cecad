"""What a device trains on in plain federated learning: item ids and its own profile.

The cloud sends no item table, so there are no features to compute: a sample is a position
of the training history, the items before it and the item that came. Negatives are drawn
anew in each round, from (seed, purpose, round, user) alone.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.config import FeatureConfig
from ecct_tf.config.baselines import Positions
from ecct_tf.data import DeviceView, sample_negatives
from ecct_tf.data.clock import clock_readings
from ecct_tf.data.profile import device_profile
from ecct_tf.edge import pad_history
from ecct_tf.errors import DataError
from ecct_tf.federated.devices import padded_length

__all__ = [
    "LocalData",
    "LocalDevice",
    "LocalShard",
    "NegativeSampler",
    "cut_shards",
    "prepare_local_devices",
]

Ids = npt.NDArray[np.int32]


class LocalData(NamedTuple):
    """One device (no leading axis) or a shard of C devices (leading axis C).

    N positions, L history slots.

    Attributes:
      samples: `[] int32`, real positions; the others are padding.
      histories: `[N, L] int32`, the items before the position, newest last, 0 for padding.
      positives: `[N] int32`, the item at the position.
      profile: `[N, columns] int32`, the private categorical columns of its user.
      clock: `[N, W] float32`, the reading of the clock at the position; W is 0 without a clock.
    """

    samples: Any
    histories: Any
    positives: Any
    profile: Any
    clock: Any


@dataclasses.dataclass(frozen=True)
class LocalDevice:
    """A device's samples, and what drawing their negatives takes.

    Attributes:
      users: its users.
      training_items: `[t] int32` for each user, the whole training history.
      counts: positions of each user.
      order: `[N] int64`, the shuffled order of the positions in `data`.
      profiles: `[columns] int32` for each user.
      data: the samples.
    """

    users: tuple[int, ...]
    training_items: tuple[Ids, ...]
    counts: tuple[int, ...]
    order: npt.NDArray[np.int64]
    profiles: tuple[Ids, ...]
    data: LocalData


def prepare_local_devices(
    groups: Sequence[Sequence[DeviceView]],
    *,
    history_length: int,
    positions: Positions,
    max_positions: int,
    seed: int,
    features: FeatureConfig,
) -> tuple[LocalDevice, ...]:
    """Cuts each device's training history into positions.

    Args:
      groups: the users of each device.
      history_length: L; 0 for models that read no history.
      positions: `all` of the training history, or those that are `recent`.
      max_positions: the newest of them that are used.
      seed: of the run; a device's order of positions depends on it and on its first user.
      features: how the clock is read.

    Raises:
      DataError: when a device has no user.
    """
    devices = []
    for index, group in enumerate(groups):
        if not group:
            raise DataError(f"device {index}: expected at least one user, got none")
        devices.append(_device(group, history_length, positions, max_positions, seed, features))
    return tuple(devices)


@dataclasses.dataclass(frozen=True)
class LocalShard:
    """Devices that are computed together.

    Attributes:
      members: `[C] int64`, their numbers among all devices.
      devices: they themselves.
      data: their data, with a leading device axis, padded to whole batches of the largest.
    """

    members: npt.NDArray[np.int64]
    devices: tuple[LocalDevice, ...]
    data: LocalData


def cut_shards(
    devices: Sequence[LocalDevice],
    members: Sequence[int],
    *,
    shard_size: int,
    batch_size: int,
) -> tuple[LocalShard, ...]:
    """Puts devices of like size together, so that little is padded.

    Args:
      devices: all devices.
      members: numbers of those to cut into shards.
      shard_size: devices in a shard, at least 1.
      batch_size: positions in a batch of the local training.
    """
    order = sorted(members, key=lambda number: (-int(devices[number].data.samples), number))
    shards = []
    for start in range(0, len(order), shard_size):
        numbers = order[start : start + shard_size]
        own = tuple(devices[number] for number in numbers)
        stacked = (
            _stack([device.data[index] for device in own], batch_size)
            for index in range(len(LocalData._fields))
        )
        shards.append(LocalShard(np.array(numbers, np.int64), own, LocalData(*stacked)))
    return tuple(shards)


@dataclasses.dataclass(frozen=True)
class NegativeSampler:
    """Draws negatives, uniform outside each user's *training* items.

    What is held out of a user may be drawn, and must be (see `sample_negatives`).

    Attributes:
      negatives: k, for each position.
      num_items: number of items, without padding.
      seed: of the run.
    """

    negatives: int
    num_items: int
    seed: int

    def draw(self, device: LocalDevice, *, purpose: int, round_number: int) -> Ids:
        """Negatives of each position of a device, `[N, k] int32`.

        Args:
          device: for which.
          purpose: tells training in rounds and training before scoring apart.
          round_number: the present round.
        """
        drawn = [
            sample_negatives(
                np.random.default_rng([self.seed, 0xBA5E, purpose, round_number, user]),
                positives=items,
                num_items=self.num_items,
                size=self.negatives,
                rows=count,
            )
            for user, items, count in zip(
                device.users, device.training_items, device.counts, strict=True
            )
        ]
        return np.concatenate(drawn)[device.order]

    def stacked(
        self, shard: LocalShard, *, purpose: int, round_number: int, batch_size: int
    ) -> Ids:
        """Negatives that fit the data of a shard, `[C, N, k] int32`."""
        drawn = [
            self.draw(device, purpose=purpose, round_number=round_number)
            for device in shard.devices
        ]
        return _stack(drawn, batch_size)


def _device(
    group: Sequence[DeviceView],
    history_length: int,
    positions: Positions,
    max_positions: int,
    seed: int,
    features: FeatureConfig,
) -> LocalDevice:
    histories, positives, profiles, counts, clocks = [], [], [], [], []
    # A model of histories has nothing to learn at the first position, which has none.
    earliest = 1 if history_length else 0
    for view in group:
        first = view.num_older if positions == "recent" else 0
        first = max(first, len(view.history) - max_positions, earliest)
        own = np.zeros((max(len(view.history) - first, 0), history_length), np.int32)
        if history_length:
            for row in range(len(own)):
                own[row] = pad_history(view.history[: first + row], history_length)
        histories.append(own)
        positives.append(view.history[first:])
        profiles.append(device_profile(view))
        counts.append(len(own))
        clocks.append(
            clock_readings(
                view.times,
                np.arange(first, first + len(own)),
                config=features,
                context=view.context if features.context else None,
            )
        )
    total = sum(counts)
    order = np.random.default_rng([seed, 0x10CA, group[0].user]).permutation(total)
    return LocalDevice(
        users=tuple(view.user for view in group),
        training_items=tuple(view.history for view in group),
        counts=tuple(counts),
        order=order,
        profiles=tuple(profiles),
        data=LocalData(
            samples=np.array(total, np.int32),
            histories=np.concatenate(histories)[order],
            positives=np.concatenate(positives).astype(np.int32)[order],
            profile=np.repeat(np.stack(profiles), counts, axis=0)[order],
            clock=np.concatenate(clocks)[order],
        ),
    )


def _stack(arrays: Sequence[npt.NDArray[Any]], batch_size: int) -> npt.NDArray[Any]:
    """Stacks arrays by device, padded at their ends to whole batches of the longest.

    A batch that none of them fills is as long as the longest.
    """
    if arrays[0].ndim == 0:
        return np.stack(arrays)
    extent = padded_length([len(array) for array in arrays], batch_size=batch_size)
    return np.stack(
        [
            np.pad(array, [(0, extent - len(array))] + [(0, 0)] * (array.ndim - 1))
            for array in arrays
        ]
    )
