"""What a device keeps for its training: samples with frozen features, stacked into shards.

A device's samples never change while its item table stays the same, so their features are
computed when it first takes part, as on a phone. Shards stack devices of like size, padded to
the largest of their own: one client value then trains many devices in one computation.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import FeatureConfig, SampleConfig
from ecct_tf.data import DeviceView
from ecct_tf.data.guard import trained_counts, trained_positions
from ecct_tf.data.held_items import HeldItems
from ecct_tf.data.outcomes import of_interactions, sample_labels, target_labels
from ecct_tf.data.profile import ProfileShape, device_profile, device_profiles
from ecct_tf.data.samples import (
    LocalSamples,
    pad_history,
    sample_order,
)
from ecct_tf.data.tables import EncodedColumn
from ecct_tf.edge import ItemTensors, interaction_features, no_slots
from ecct_tf.federated.drawn import drawn_samples, readings_at, weights_of

__all__ = [
    "DeviceData",
    "Preparation",
    "padded_length",
    "stack_devices",
]

_CHUNK = 2048

# Histories, candidates and readings of the clock to features and slots.
_Features = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class DeviceData(NamedTuple):
    """One device (no leading axis) or a shard of C devices (leading axis C).

    N samples, U users (one, unless the device is an edge node), L history slots.

    Attributes:
      users: `[U] int32`, -1 for padding.
      profile: `[U, columns] int32`.
      history: `[U, L] int32`, the users' newest training interactions.
      samples: `[] int32`, real samples; the others are padding.
      owner: `[N] uint8`, index of the sample's user on the device.
      candidates: `[N] int32`.
      labels: `[N] uint8`, or `float32` where there are grades.
      features: `[N, F] float16`, standardised interaction features.
      slots: `[N, L, blocks] float16`; `[N, 0, blocks]` for tiers that do not read them.
      slot_counts: `[N] uint8`, history slots in use.
      histories: `[N, L] int32`, the history behind each sample; `[N, 0]` for tiers that do not
        read item vectors.
      weights: `[N, 1] float32`, how much each sample weighs; `[N, 0]` where all weigh alike.
      targets: `[N, T] float32`, labels of the further targets, below 0 where there is none.
    """

    users: npt.NDArray[np.int32]
    profile: npt.NDArray[np.int32]
    history: npt.NDArray[np.int32]
    samples: npt.NDArray[np.int32]
    owner: npt.NDArray[np.uint8]
    candidates: npt.NDArray[np.int32]
    labels: npt.NDArray[Any]
    features: npt.NDArray[np.float16]
    slots: npt.NDArray[np.float16]
    slot_counts: npt.NDArray[np.uint8]
    histories: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]


_BY_USER = ("users", "profile", "history")


class Preparation:
    """Draws devices' samples and computes their features, the same however devices are grouped."""

    def __init__(
        self,
        *,
        items: ItemTensors,
        block_sizes: tuple[int, ...],
        features: FeatureConfig,
        samples: SampleConfig,
        with_slots: bool,
        with_items: bool = False,
        profile: ProfileShape | None = None,
        group_size: int = 1,
        held: HeldItems | None = None,
        counts_newest: bool = False,
        seed: int,
    ) -> None:
        """Takes what devices of one tier have in common.

        Args:
          items: the item table as devices received it.
          block_sizes: widths of its blocks.
          features: how histories are pooled.
          samples: which samples to draw.
          with_slots: whether the tier reads dot products by slot.
          with_items: whether it reads item vectors, for which samples keep their histories.
          profile: the shape of the profiles that it reads; None for all that there is.
          group_size: samples that stay together, `DeviceTask.group_size`.
          held: the items whose rows devices hold, from which they draw negatives; None for all.
          counts_newest: whether the last attribute of items counts the interactions that are
            trained on, `DeviceTask.counts_newest`.
          seed: of the run; a user's samples depend on it and on the user alone.
        """
        self._items = items
        self._features = features
        self._samples = samples
        self._with_items = with_items
        self._profile = profile
        self._group_size = group_size
        self._held = held
        self._seed = seed
        self._compute = _compiled(
            items, block_sizes, features, with_slots=with_slots, counts_newest=counts_newest
        )

    def profile(self, view: DeviceView) -> npt.NDArray[np.int32]:
        """`[columns] int32`: the private columns of the user that the tier reads, coded."""
        return device_profile(view, shape=self._profile)

    def profiles(
        self, columns: Sequence[EncodedColumn], users: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.int32]:
        """`[n, columns] int32`: the same of `users` `[n]`, who are rows of `columns`."""
        return device_profiles(columns, users.astype(np.int64), shape=self._profile)

    def sample_counts(
        self, lengths: npt.NDArray[np.int64], *, num_older: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """`[n] int64`: how many samples users with histories of these `lengths` `[n]` have."""
        positions = trained_counts(lengths, num_older=num_older, samples=self._samples)
        return positions * (1 + self._samples.negatives)

    def num_samples(self, group: Sequence[DeviceView]) -> int:
        """How many samples a device of these users has."""
        positions = sum(
            len(
                trained_positions(
                    len(view.history), num_older=view.num_older, samples=self._samples
                )
            )
            for view in group
        )
        return positions * (1 + self._samples.negatives)

    def of(self, groups: Sequence[Sequence[DeviceView]]) -> list[DeviceData]:
        """The devices of `groups`, which are the users of each."""
        seed, samples, features = self._seed, self._samples, self._features
        drawn = [
            [
                drawn_samples(view, self._items, features, samples, seed, held=self._held)
                for view in group
            ]
            for group in groups
        ]
        histories = np.concatenate([user.histories for group in drawn for user in group])
        candidates = np.concatenate([user.candidates for group in drawn for user in group])
        clocks = np.concatenate(
            [
                readings_at(view, part.positions, features)
                for group, parts in zip(groups, drawn, strict=True)
                for view, part in zip(group, parts, strict=True)
            ]
        )
        labels = [
            [
                sample_labels(view.context[part.positions], samples)
                for view, part in zip(group, parts, strict=True)
            ]
            for group, parts in zip(groups, drawn, strict=True)
        ]
        own = of_interactions(np.concatenate([part for parts in labels for part in parts]), samples)
        computed, slots = _in_chunks(self._compute, histories, candidates, clocks, own)
        devices = []
        start = 0
        for group, parts, labelled in zip(groups, drawn, labels, strict=True):
            positions = sum(len(part.histories) for part in parts)
            rows = slice(start, start + positions)
            device = _assemble(
                group,
                parts,
                computed[rows],
                slots[rows],
                histories[rows],
                np.concatenate(labelled),
                features,
                samples=samples,
                profile=np.stack([self.profile(view) for view in group]),
                order=sample_order(
                    positions * (1 + samples.negatives),
                    seed=seed,
                    user=group[0].user,
                    group_size=self._group_size,
                ),
            )
            # Without item vectors nothing of the histories stays.
            nothing = np.zeros((len(device.labels), 0), np.int32)
            devices.append(device if self._with_items else device._replace(histories=nothing))
            start += positions
        return devices


def stack_devices(devices: Sequence[DeviceData], *, batch_size: int) -> DeviceData:
    """Stacks devices into a shard, padded to whole batches of its largest device.

    A batch that no device fills is as large as the largest device: what is padded follows
    the data, however large `batch_size` is.
    """
    columns = DeviceData(*zip(*devices, strict=True))
    samples = padded_length([int(count) for count in columns.samples], batch_size=batch_size)
    users = max(map(len, columns.users))
    stacked: dict[str, npt.NDArray[Any]] = {}
    for name, parts in columns._asdict().items():
        if name == "samples":
            stacked[name] = np.array(parts)
        elif name in _BY_USER:
            stacked[name] = _stack_rows(parts, users, fill=-1 if name == "users" else 0)
        else:
            stacked[name] = _stack_rows(parts, samples)
    return DeviceData(**stacked)


def padded_length(counts: Sequence[int], *, batch_size: int) -> int:
    """Length that fits all `counts` in whole batches, of `batch_size` or of the largest count.

    >>> padded_length([3, 7], batch_size=4), padded_length([3, 7], batch_size=100)
    (8, 7)
    """
    largest = max(1, *counts)
    batch = min(batch_size, largest)
    return -(-largest // batch) * batch


def _compiled(
    items: ItemTensors,
    block_sizes: tuple[int, ...],
    config: FeatureConfig,
    *,
    with_slots: bool,
    counts_newest: bool,
) -> _Features:
    tensors = ItemTensors(*map(tf.convert_to_tensor, items))

    # Traced once, though the last chunk is shorter.
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, config.history_length], tf.int32),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, config.clock_width], tf.float32),
            tf.TensorSpec([None, None], tf.bool),
        ],
        autograph=False,
    )
    def compute(
        history: tf.Tensor, candidate: tf.Tensor, clock: tf.Tensor, own: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        found = interaction_features(
            tensors,
            block_sizes=block_sizes,
            config=config,
            history=history,
            candidates=candidate,
            clock=clock,
            own=tf.cast(own, tf.float32) if counts_newest else None,
        )
        slots = found.slots if with_slots else no_slots(found)
        return tf.cast(found.features, tf.float16), tf.cast(slots, tf.float16)

    found: _Features = compute
    return found


def _in_chunks(
    compute: _Features,
    histories: npt.NDArray[np.int32],
    candidates: npt.NDArray[np.int32],
    clocks: npt.NDArray[np.float32],
    own: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    features, slots = [], []
    for start in range(0, max(len(histories), 1), _CHUNK):
        part = compute(
            tf.constant(histories[start : start + _CHUNK]),
            tf.constant(candidates[start : start + _CHUNK]),
            tf.constant(clocks[start : start + _CHUNK]),
            tf.constant(own[start : start + _CHUNK]),
        )
        features.append(part[0].numpy())
        slots.append(part[1].numpy())
    return np.concatenate(features), np.concatenate(slots)


def _assemble(
    group: Sequence[DeviceView],
    parts: Sequence[LocalSamples],
    features: npt.NDArray[np.float16],
    slots: npt.NDArray[np.float16],
    histories: npt.NDArray[np.int32],
    labels: npt.NDArray[np.float32],
    config: FeatureConfig,
    *,
    samples: SampleConfig,
    profile: npt.NDArray[np.int32],
    order: npt.NDArray[np.int64],
) -> DeviceData:
    candidates = np.concatenate([part.candidates for part in parts])
    positions, width = candidates.shape
    owners = np.repeat(np.arange(len(group)), [len(part.candidates) for part in parts])
    codes = [view.context[part.positions] for view, part in zip(group, parts, strict=True)]
    targets = np.concatenate([target_labels(part, samples) for part in codes])
    weighs = samples.half_life or samples.weight.column is not None

    def rows(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array.reshape(positions * width, *array.shape[2:])[order]

    def each(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.repeat(array, width, axis=0)[order]

    return DeviceData(
        users=np.array([view.user for view in group], np.int32),
        profile=profile,
        history=np.stack([pad_history(view.history, config.history_length) for view in group]),
        samples=np.array(positions * width, np.int32),
        owner=each(owners.astype(np.uint8)),
        candidates=rows(candidates),
        labels=rows(labels),
        features=rows(features),
        slots=rows(slots),
        slot_counts=each((histories > 0).sum(axis=1).astype(np.uint8)),
        histories=np.repeat(histories, width, axis=0)[order],
        weights=each(np.concatenate(weights_of(group, parts, samples))[:, None])
        if weighs
        else np.zeros((len(order), 0), "f4"),
        targets=rows(targets),
    )


def _stack_rows(
    parts: Sequence[npt.NDArray[Any]], extent: int, *, fill: int = 0
) -> npt.NDArray[Any]:
    """`[parts, extent, ...]`: the rows of each part, and then rows of `fill`."""
    first = parts[0]
    shape = (len(parts), extent, *first.shape[1:])
    # Fresh zeros cost nothing until they are written to. Padding each part first would copy it
    # twice, and take thirty times as long.
    stacked = np.full(shape, fill, first.dtype) if fill else np.zeros(shape, first.dtype)
    if stacked.size:
        for rows, part in zip(stacked, parts, strict=True):
            rows[: len(part)] = part
    return stacked
