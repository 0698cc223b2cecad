"""Weights that a device trained with one file, for another."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import DeviceError
from mobile_export.contract.meaning import FileMeaning
from mobile_export.device.labels import StateLabels
from mobile_export.device.moved_profile import new_code
from mobile_export.device.state import DeviceState
from mobile_export.runtime.edge_file import EdgeFile

__all__ = ["moved_weights"]

Array = npt.NDArray[np.float32]

_ANEW = (
    "to keep history and profile and begin with the weights of that file, adopt it with "
    'weights="anew", in Kotlin weightsAnew = true'
)


def moved_weights(
    state: DeviceState,
    old: StateLabels,
    file: EdgeFile,
    fresh: Array,
    *,
    anew: bool,
    notes: list[str],
) -> tuple[Array, Array]:
    """Values and starting weights for `file`; the optimiser begins anew.

    Args:
      state: of the former file.
      old: what it tells.
      file: that takes it over.
      fresh: `[S] float32`, what the file begins with; empty where it does not train.
      anew: whether what was learned is left behind.
      notes: gets what is to be told.

    Raises:
      DeviceError: the weights would mean something else there.
    """
    who = f"device of user {state.user}"
    nothing = np.zeros(0, np.float32)
    if anew:
        notes.append("weights and optimiser begin with those of the file, rounds with 0")
        return fresh, nothing
    if not len(state.values):
        return fresh, nothing
    if not len(fresh):
        raise DeviceError(
            f"{who}: {file.name} does not train, what the device learned would not count; take a "
            f"file that trains, or, {_ANEW}"
        )
    reason = _differs(old.file, file.meaning)
    if reason:
        raise DeviceError(
            f"{who}: its weights are not laid out as those of {file.name}: {reason}; {_ANEW}"
        )
    if old.file.reads != file.meaning.reads:
        notes.append(
            "decays, history length or clock differ: the weights stay, though they were trained on "
            "the former inputs"
        )
    size = old.file.size
    begun = fresh[: file.meaning.size]

    def carried(weights: Array) -> Array:
        return _carried(weights, state.profile.tolist(), old, file, begun)

    kept = np.concatenate([carried(state.values[:size]), fresh[file.meaning.size :]])
    return kept, carried(state.start) if len(state.start) else nothing


def _differs(old: FileMeaning, new: FileMeaning) -> str:
    """Why weights of one mean something else in the other; empty where they do not."""
    if old.tier != new.tier:
        return f"tier {old.tier}, there {new.tier}"
    if old.adapters != new.adapters:
        return f"adapters {old.adapters}, there {new.adapters}"
    if old.blocks != new.blocks:
        return f"blocks of the item table {_listed(old.blocks)}, there {_listed(new.blocks)}"
    columns = [[(c.name, c.kind == "number") for c in each.columns] for each in (old, new)]
    if columns[0] != columns[1]:
        names = [", ".join(name for name, _ in each) or "none" for each in columns]
        return f"private columns {names[0]}, there {names[1]}"
    if old.context != new.context:
        return f"context of requests {_spelled(old)}, there {_spelled(new)}"
    for (name, shape), (other, wanted) in zip(old.weights, new.weights, strict=False):
        table = name == other and _is_profile_table(name) and shape[1:] == wanted[1:]
        if (name, shape) != (other, wanted) and not table:
            return f"{name} {list(shape)}, there {other} {list(wanted)}"
    if len(old.weights) != len(new.weights):
        return f"{len(old.weights)} tensors, there {len(new.weights)}"
    return ""


def _listed(blocks: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {width}" for name, width in blocks)


def _spelled(told: FileMeaning) -> str:
    return ", ".join(f"{name} ({', '.join(words)})" for name, words in told.context) or "none"


def _is_profile_table(name: str) -> bool:
    return name.startswith("profile_") and name.removeprefix("profile_").isdecimal()


def _carried(
    weights: Array, codes: Sequence[int], old: StateLabels, file: EdgeFile, begun: Array
) -> Array:
    """`weights` for `file`: the rows of profile values by their words, all else as it is."""
    parts, here, there = [], 0, 0
    for (name, shape), (_, wanted) in zip(old.file.weights, file.meaning.weights, strict=True):
        size, length = math.prod(shape), math.prod(wanted)
        part, new = weights[here : here + size], begun[there : there + length]
        here, there = here + size, there + length
        if _is_profile_table(name):
            index = int(name.removeprefix("profile_"))
            was, column = old.file.columns[index], file.meaning.columns[index]
            if was != column:
                pairs = [(0, 0)]
                if (was.kind, column.kind) == ("rows", "rows"):
                    pairs = [(row, row) for row in range(min(was.rows, column.rows))]
                elif codes[index]:
                    pairs.append((codes[index], new_code(index, old, file) or 0))
                part = _rows_of(part.reshape(shape), new.reshape(wanted), pairs)
        parts.append(part)
    return np.concatenate(parts).astype(np.float32)


def _rows_of(part: Array, begun: Array, pairs: Sequence[tuple[int, int]]) -> Array:
    """What a device trained of a profile table: its own value and unknown; else what begins."""
    table = begun.copy()
    for before, now in pairs:
        # A value that the file does not know leaves the row of unknown values as it is.
        if before < len(part) and (now or not before):
            table[now] = part[before]
    return table.reshape(-1)
