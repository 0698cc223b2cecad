"""Device data that several methods of one run share: what devices of one item table train on."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ecct_tf.data import DeviceView
from ecct_tf.edge import ItemTensors
from ecct_tf.federated.devices import DeviceSet, prepare_devices

__all__ = ["PreparedDevices"]

# ECCT and its ablations share one; the edge alone, whose table is blank, has one beside it.
_KEPT = 2
_READ = ("source", "target", "attributes", "feature_mean", "feature_scale")


class PreparedDevices:
    """Prepares devices once for what their data depends on, and keeps the newest sets.

    It stands for the devices' side: no cloud is handed it.

    >>> len(PreparedDevices())
    0
    """

    def __init__(self) -> None:
        """Begins with none."""
        self._kept: dict[Any, tuple[tuple[DeviceView, ...], DeviceSet]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def of(
        self, groups: Sequence[Sequence[DeviceView]], *, items: ItemTensors, **options: Any
    ) -> DeviceSet:
        """What `prepare_devices` gives for the same arguments, bit for bit."""
        views = tuple(view for group in groups for view in group)
        # The views are kept beside the set, so that none can take over another's identity.
        who = tuple(map(id, views)), tuple(map(len, groups))
        key = who, _digest(items), len(items.bias), tuple(sorted(options.items()))
        if key in self._kept:
            self._kept[key] = self._kept.pop(key)
        else:
            self._kept[key] = views, prepare_devices(groups, items=items, **options)
        while len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
        return self._kept[key][1]


def _digest(items: ItemTensors) -> str:
    """Of what interaction features read; what else the cloud sends is read in rounds alone."""
    digest = hashlib.sha256()
    for name in _READ:
        array = np.ascontiguousarray(getattr(items, name))
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
