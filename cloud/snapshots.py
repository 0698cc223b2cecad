"""Snapshots of the cloud model: what a recommender takes of one, or of an earlier release's."""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import CheckpointError

__all__ = ["check_fits", "with_sent_tower"]

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


def check_fits(snapshot: Mapping[str, Array], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses a snapshot of another model.

    Args:
      snapshot: variables by name.
      expected: shapes by name.

    Raises:
      CheckpointError: names the first variable that is missing, unknown or of another shape.
    """
    received = {name: np.shape(value) for name, value in snapshot.items()}
    if expected == received:
        return
    wrong = sorted(
        name for name in {*expected, *received} if expected.get(name) != received.get(name)
    )
    raise CheckpointError(
        f"the snapshot does not fit this cloud recommender in {len(wrong)} variables, "
        f"the first {wrong[0]}: expected shape {expected.get(wrong[0])}, received "
        f"{received.get(wrong[0])}; it comes from another configuration, or from a release "
        "with another model. Restore it with those that wrote it, or begin anew in a new "
        "folder: a retraining job with `start: scratch` (`--set start=scratch`), or a run"
    )
