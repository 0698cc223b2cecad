"""The global temporal split: one clock for all users."""

from __future__ import annotations

import numpy as np

from ecct_tf.data.dataset import Dataset
from ecct_tf.data.split import MIN_TRAINING, Split, recent_counts, time_order
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.plain_text import shown

__all__ = ["temporal_split"]


def temporal_split(
    dataset: Dataset,
    *,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    recent_fraction: float = 0.2,
) -> Split:
    """Splits at two moments that hold for all users alike.

    What lies after the second cut is test, what lies between the cuts is
    validation, what lies before is training. The cuts are set so that at most
    the asked share of all interactions lies after each; interactions at the
    very second of a cut go to the earlier part, all of them, so that no
    training interaction is as late as a held-out one. Unlike leave-one-out,
    no model can learn from one user what another did later.

    A user with fewer than 2 interactions before the first cut is excluded,
    with all held-out interactions: there is no device to train. A user with
    nothing after the cuts trains and is not tested.

    Args:
      dataset: the interactions; ties in time keep their file order.
      validation_fraction: share of all interactions between the cuts, above 0.
      test_fraction: share of all interactions after the second cut, above 0;
        both together below 1.
      recent_fraction: as in `leave_one_out`, of each user's training part.

    Raises:
      ConfigError: a fraction is out of range.
      DataError: no user can train, or no validation or test interaction
        belongs to one who can.

    Example:
      >>> from ecct_tf.data import SyntheticConfig, synthetic_dataset
      >>> split = temporal_split(synthetic_dataset(SyntheticConfig(users=8)))
      >>> split.cuts[0] < split.cuts[1]
      True
    """
    held_out = validation_fraction + test_fraction
    if not (validation_fraction > 0 and test_fraction > 0 and held_out < 1):
        raise ConfigError(
            "validation_fraction and test_fraction must be above 0 and together below 1, received "
            f"{shown(validation_fraction)} and {shown(test_fraction)}."
        )
    moments = np.sort(dataset.timestamps)
    # The small term undoes binary rounding: 0.1 + 0.2 is a hair above 0.3.
    after = [int(share * len(moments) + 1e-9) for share in (held_out, test_fraction)]
    cuts = (int(moments[-1 - after[0]]), int(moments[-1 - after[1]]))

    order = time_order(dataset)
    timestamps, users = dataset.timestamps[order], dataset.users[order]
    train, until_test, counts = (
        np.bincount(users[timestamps <= end], minlength=dataset.num_users)
        for end in (*cuts, moments[-1])
    )
    included = train >= MIN_TRAINING
    validation, test = until_test - train, counts - until_test
    for part, sizes in (("validation", validation), ("test", test)):
        if not sizes[included].any():
            raise DataError(
                f"dataset {dataset.name!r}: the temporal split leaves no {part} interaction of a "
                f"user who can train: {len(moments)} interactions, training up to second "
                f"{cuts[0]}, validation up to {cuts[1]}, the last at {moments[-1]}, "
                f"{int(included.sum())} of {dataset.num_users} users with {MIN_TRAINING} or more "
                f"for training. Change {part}_fraction, or use leave_one_out."
            )
    return Split(
        items=dataset.items[order],
        timestamps=timestamps,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        recent_counts=recent_counts(train, recent_fraction),
        validation_counts=np.where(included, validation, 0).astype(np.int32),
        test_counts=np.where(included, test, 0).astype(np.int32),
        num_items=dataset.num_items,
        users=np.flatnonzero(included).astype(np.int32),
        cuts=cuts,
    )
