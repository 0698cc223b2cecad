"""Snapshots that earlier releases wrote, completed to what the model has now."""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

__all__ = ["with_sent_tower"]

Array = npt.NDArray[np.float32]

# The tower that downlinks are made with, and the one that it copies.
_SENT, _LEARNED = "model/sent_", "model/user_"


def with_sent_tower(snapshot: Mapping[str, Array], expected: Collection[str]) -> dict[str, Array]:
    """`snapshot` with the tower that downlinks are made with, where it has none of it at all.

    Downlinks were made with the user tower itself then.

    Args:
      snapshot: variables by name.
      expected: the names that a snapshot has now.
    """
    tower = {name for name in expected if name.startswith(_SENT)}
    if tower & snapshot.keys():
        return dict(snapshot)
    copied = {name: name.replace(_SENT, _LEARNED, 1) for name in tower}
    found = {name: snapshot[source] for name, source in copied.items() if source in snapshot}
    return {**snapshot, **found}
