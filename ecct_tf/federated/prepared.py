"""Device data that several methods of one run share: what devices of one item table train on."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ecct_tf.data import DeviceGroups, DeviceView
from ecct_tf.edge import ItemTensors
from ecct_tf.federated.device_set import DeviceSet, DevicesOnDemand
from ecct_tf.federated.devices import Preparation

__all__ = ["PreparedDevices"]

# ECCT and its ablations share one; the edge alone, whose table is blank, has one beside it.
_KEPT = 2
_READ = ("source", "target", "attributes", "feature_mean", "feature_scale")


class PreparedDevices:
    """Has devices prepared once for what their data depends on, and keeps the newest sets.

    It stands for the devices' side: no cloud is handed it.

    >>> len(PreparedDevices())
    0
    """

    def __init__(self) -> None:
        """Begins with none."""
        self._kept: dict[Any, tuple[Sequence[Any], DeviceSet]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def of(
        self, groups: Sequence[Sequence[DeviceView]], *, items: ItemTensors, **options: Any
    ) -> DeviceSet:
        """The devices of `groups`, which are prepared when they are asked for."""
        kept: Sequence[Any] = groups
        if isinstance(groups, DeviceGroups):
            who = groups.identity
        else:
            kept = [view for group in groups for view in group]
            who = tuple(map(id, kept)), tuple(map(len, groups))
        # Whose they are is kept beside them, so that nothing can take over its identity.
        key = who, _digest(items), len(items.bias), tuple(sorted(options.items()))
        if key in self._kept:
            self._kept[key] = self._kept.pop(key)
        else:
            found = DevicesOnDemand(groups, Preparation(items=items, **options))
            self._kept[key] = kept, DeviceSet(found)
        while len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
        return self._kept[key][1]


def _digest(items: ItemTensors) -> str:
    """Of what interaction features read; what else the cloud sends is read in rounds alone."""
    digest = hashlib.sha256()
    for name in _READ:
        array = np.ascontiguousarray(getattr(items, name))
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
