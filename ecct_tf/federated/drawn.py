"""What a device draws of its users: positions, readings, weights; in the order of its samples."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import FeatureConfig, SampleConfig
from ecct_tf.data import DeviceView
from ecct_tf.data.clock import clock_readings
from ecct_tf.data.held_items import HeldItems
from ecct_tf.data.outcomes import outcome_weights
from ecct_tf.data.samples import LocalSamples, draw_samples, position_weights, sample_order
from ecct_tf.edge import ItemTensors

__all__ = [
    "drawn_samples",
    "readings_at",
    "sample_clocks",
    "sample_histories",
    "sample_weights",
    "weights_of",
]


def sample_histories(
    group: Sequence[DeviceView],
    *,
    items: ItemTensors,
    features: FeatureConfig,
    samples: SampleConfig,
    group_size: int = 1,
    seed: int,
) -> npt.NDArray[np.int32]:
    """The history behind each sample of a device, `[N, L] int32`, as `Preparation` orders them.

    Devices of the simulation keep features instead; a phone begins with the histories.
    """
    histories = [drawn_samples(view, items, features, samples, seed).histories for view in group]
    return _by_sample(histories, group, samples=samples, group_size=group_size, seed=seed)


def sample_weights(
    group: Sequence[DeviceView],
    *,
    items: ItemTensors,
    features: FeatureConfig,
    samples: SampleConfig,
    group_size: int = 1,
    seed: int,
) -> npt.NDArray[np.float32]:
    """How much each sample weighs, `[N] float32`, as `sample_histories`."""
    drawn = [drawn_samples(view, items, features, samples, seed) for view in group]
    weights = weights_of(group, drawn, samples)
    return _by_sample(weights, group, samples=samples, group_size=group_size, seed=seed)


def sample_clocks(
    group: Sequence[DeviceView],
    *,
    items: ItemTensors,
    features: FeatureConfig,
    samples: SampleConfig,
    group_size: int = 1,
    seed: int,
) -> npt.NDArray[np.float32]:
    """The reading of the clock behind each sample, `[N, W] float32`, as `sample_histories`."""
    drawn = [drawn_samples(view, items, features, samples, seed) for view in group]
    clocks = [
        readings_at(view, part.positions, features) for view, part in zip(group, drawn, strict=True)
    ]
    return _by_sample(clocks, group, samples=samples, group_size=group_size, seed=seed)


def readings_at(
    view: DeviceView, positions: npt.NDArray[np.int64], features: FeatureConfig
) -> npt.NDArray[np.float32]:
    """Readings of the moments of some positions, `[p, W] float32`."""
    context = view.context if features.context else None
    return clock_readings(view.times, positions, config=features, context=context)


def _by_sample(
    parts: Sequence[npt.NDArray[Any]],
    group: Sequence[DeviceView],
    *,
    samples: SampleConfig,
    group_size: int,
    seed: int,
) -> npt.NDArray[Any]:
    """What belongs to the positions of a device's users, `[p, …]` each, in the order of samples."""
    repeated = np.repeat(np.concatenate(parts), 1 + samples.negatives, axis=0)
    user = group[0].user
    return repeated[sample_order(len(repeated), seed=seed, user=user, group_size=group_size)]


def drawn_samples(
    view: DeviceView,
    items: ItemTensors,
    features: FeatureConfig,
    samples: SampleConfig,
    seed: int,
    *,
    held: HeldItems | None = None,
) -> LocalSamples:
    """The positions of one user, with their negatives; as `draw_samples` draws them."""
    return draw_samples(
        view.history,
        num_older=view.num_older,
        num_items=len(items.bias) - 1,
        history_length=features.history_length,
        samples=samples,
        seed=seed,
        user=view.user,
        pool=None if held is None else held.of(view.user),
    )


def weights_of(
    group: Sequence[DeviceView], parts: Sequence[LocalSamples], samples: SampleConfig
) -> list[npt.NDArray[np.float32]]:
    """`[p] float32` of the positions of each of a device's users."""
    return [
        position_weights(part.positions, half_life=samples.half_life)
        * outcome_weights(view.context[part.positions], samples)
        for view, part in zip(group, parts, strict=True)
    ]
