"""Which users live on which device or edge node."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data.split import Split
from ecct_tf.errors import ConfigError, DataError

__all__ = ["dirichlet_devices", "user_devices"]


def user_devices(split: Split) -> tuple[npt.NDArray[np.int32], ...]:
    """Returns one device per user of the split: `k` arrays of `[1] int32`."""
    return tuple(np.array([user], np.int32) for user in split.users)


def dirichlet_devices(
    labels: npt.NDArray[Any],
    users: npt.NDArray[np.int32],
    *,
    nodes: int,
    alpha: float,
    seed: int,
) -> tuple[npt.NDArray[np.int32], ...]:
    """Puts users on edge nodes, with label proportions drawn from a Dirichlet.

    For each label, the share of its users on each node is drawn from
    Dirichlet(alpha): small `alpha` makes nodes differ much, large `alpha`
    makes them alike. A node that stays empty is given one user, drawn at
    random, from the node that is largest at that moment (the lowest index of
    equals), so every node has a user and every user exactly one node.

    Args:
      labels: `[k]`, one label per user (a profile code, say).
      users: `[k] int32`, distinct users.
      nodes: number of edge nodes, 1..k.
      alpha: concentration, above 0.
      seed: the seed, not negative.

    Returns:
      `nodes` arrays of `[users on the node] int32`, ascending.
    """
    labels, users = np.asarray(labels), np.asarray(users)
    if labels.shape != users.shape or users.ndim != 1:
        raise DataError(
            f"labels and users must be [k] alike, received shapes {list(labels.shape)} and "
            f"{list(users.shape)}."
        )
    if len(np.unique(users)) != len(users):
        raise DataError("users must be distinct, received repetitions.")
    if not 1 <= nodes <= len(users):
        raise ConfigError(f"nodes must be in 1..{len(users)} (the users), received {nodes}.")
    if not (alpha > 0 and np.isfinite(alpha)) or seed < 0:
        raise ConfigError(
            f"alpha must be a finite number above 0 and seed at least 0, received {alpha} and "
            f"{seed}."
        )
    rng = np.random.default_rng(seed)
    members: list[list[int]] = [[] for _ in range(nodes)]
    for label in np.unique(labels):
        group = rng.permutation(users[labels == label])
        shares = rng.dirichlet(np.full(nodes, float(alpha)))
        borders = np.floor(np.cumsum(shares)[:-1] * len(group) + 0.5).astype(np.int64)
        for node, part in enumerate(np.split(group, borders)):
            members[node].extend(part.tolist())
    for empty in range(nodes):
        if not members[empty]:
            largest = max(range(nodes), key=lambda node: len(members[node]))
            giver = members[largest]
            members[empty].append(giver.pop(int(rng.integers(len(giver)))))
    return tuple(np.array(sorted(node), np.int32) for node in members)
