"""Snapshots of the cloud model, taken and restored, those of earlier releases too."""

import weakref
from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.exchange_model import ExchangeModel
from ecct_tf.errors import CheckpointError

__all__ = [
    "LastSnapshot",
    "check_fits",
    "learned_variables",
    "restore_model",
    "snapshot_of",
    "with_sent_tower",
]

Array = npt.NDArray[np.float32]

# The tower that downlinks are made with, and the one that it copies.
_SENT, _LEARNED = "model/sent_", "model/user_"
# Smaller arrays cost nothing, and may be written to.
_SHARED_BYTES = 1 << 20


def learned_variables(model: ExchangeModel) -> dict[str, tf.Variable]:
    """All that learning changes, by the names of snapshots: the model's and the optimiser's."""
    named = {f"model/{name}": found for name, found in model.named_variables().items()}
    return named | {f"optimizer/{name}": found for name, found in model.named_slots().items()}


def snapshot_of(model: ExchangeModel) -> dict[str, Array]:
    """The values of `learned_variables`."""
    return {name: variable.numpy() for name, variable in learned_variables(model).items()}


def restore_model(model: ExchangeModel, snapshot: Mapping[str, Array]) -> None:
    """Sets all that learning changes; a snapshot without a tower for downlinks gets one.

    Raises:
      CheckpointError: when the snapshot has other variables or other shapes.
    """
    variables = learned_variables(model)
    snapshot = with_sent_tower(snapshot, variables)
    check_fits(snapshot, {name: tuple(found.shape) for name, found in variables.items()})
    for name, variable in variables.items():
        variable.assign(snapshot[name])
    model.restored()


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


class LastSnapshot:
    """The large arrays of the newest snapshot, for the next one to share.

    A run has several snapshots at once, and the item side, a row an item, stays as published.
    Nothing is kept alive that nobody else has.
    """

    def __init__(self) -> None:
        """Begins with none."""
        self._arrays: weakref.WeakValueDictionary[str, Array] = weakref.WeakValueDictionary()

    def shared_with(self, snapshot: Mapping[str, Array]) -> dict[str, Array]:
        """`snapshot`, with large arrays of the last one where they hold the same.

        Args:
          snapshot: variables by name, arrays of its own; large ones cannot be written to from now
            on, since other snapshots may have them too.
        """
        found = {}
        for name, array in snapshot.items():
            if array.nbytes < _SHARED_BYTES:
                found[name] = array
                continue
            array.flags.writeable = False
            before = self._arrays.get(name)
            if before is not None and np.array_equal(before, array):
                array = before
            found[name] = self._arrays[name] = array
        return found


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
