"""Takes a device over from one model file to another: what is kept, what is refused, and why.

The table in `docs/migration.md` says it change by change; the tests walk it row by row, here and in
Kotlin. Nothing is lost without a word: what is not carried over is told in `Migration`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import DeviceError
from mobile_export.contract.meaning import FileMeaning, words_fingerprint
from mobile_export.device.history import WAITS, History, labelled, moved_history
from mobile_export.device.labels import StateLabels
from mobile_export.device.moments import Values
from mobile_export.device.moved_profile import moved_profile
from mobile_export.device.moved_weights import moved_weights
from mobile_export.device.state import DeviceState, ReceivedDownlink
from mobile_export.runtime.edge_file import EdgeFile

__all__ = ["Adopted", "Migration", "WeightsChoice", "adopt_state"]

Array = npt.NDArray[np.float32]
Profile = npt.ArrayLike | Mapping[str, Any]
WeightsChoice = Literal["keep", "anew"]


@dataclasses.dataclass(frozen=True)
class Migration:
    """What became of a device that another file took over.

    Attributes:
      moved: different items of the history whose row is another.
      unknown: interactions that the file does not know any more; they wait by their tokens.
      returned: interactions that waited and that the file knows.
      notes: whatever else is not as before, in words.
    """

    moved: int = 0
    unknown: int = 0
    returned: int = 0
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Adopted:
    """A state for the new file, and what became of the old one."""

    state: DeviceState
    migration: Migration


def adopt_state(
    state: DeviceState,
    file: EdgeFile,
    fresh: Array,
    *,
    profile: Profile | None = None,
    weights: WeightsChoice = "keep",
    previous: EdgeFile | None = None,
) -> Adopted:
    """The state for `file`.

    Args:
      state: of another file.
      file: that takes it over.
      fresh: `[S] float32`, what the file begins with; empty where it does not train.
      profile: of the user, where the file needs it again; as for `DeviceModel.begin`.
      weights: `keep` what was learned, or begin with those of the file.
      previous: the file of the state, for a state that does not tell what its rows mean.

    Raises:
      DeviceError: with the reason and the way out, where something cannot be carried over.
    """
    who = f"device of user {state.user}"
    if weights not in ("keep", "anew"):
        raise DeviceError(f"{who}: weights: expected 'keep' or 'anew', got {weights!r}")
    old = _told(state, previous, file, who=who)
    notes: list[str] = []
    row, texts = moved_profile(state, old, file, profile, notes=notes)
    values, start = moved_weights(state, old, file, fresh, anew=weights == "anew", notes=notes)
    found, told = _items(state, old, file, who=who, notes=notes)
    downlink = state.downlink
    if downlink and not _fits(downlink, file, same_rows=_extends(old.file, file)):
        downlink = None
        notes.append("the last downlink was dropped: it is of another item table or form")
    rows = state.rows
    if rows and (file.room is None or rows.table_sha256 != file.table_sha256):
        rows = None
        notes.append("rows of items were dropped, touched ones too: they are of another item table")
    adopted = dataclasses.replace(
        state,
        model=file.sha256,
        layout=file.layout,
        profile=row,
        history=found.history,
        times=found.times,
        num_older=found.num_older,
        context=found.context,
        context_values=file.kept_columns,
        values=values,
        start=start,
        downlink=downlink,
        rows=rows,
        round_number=0 if weights == "anew" else state.round_number,
        labels=StateLabels(
            file.meaning,
            texts=texts,
            waiting=found.waiting,
            waiting_older=found.waiting_older,
        ),
    )
    return Adopted(labelled(adopted, file), dataclasses.replace(told, notes=(*told.notes, *notes)))


def _told(
    state: DeviceState, previous: EdgeFile | None, file: EdgeFile, *, who: str
) -> StateLabels:
    """What the state tells of its rows, or what its own file does."""
    own = file if state.model == file.sha256 else previous
    if own is not None and own.sha256 == state.model:
        found = labelled(state, own).labels
        if found is not None:
            return found
    labels = state.labels
    if labels is not None:
        distinct = len(np.unique(state.history))
        if not labels.file.vocabulary or len(labels.tokens) == distinct:
            return labels
    raise DeviceError(
        f"{who}: its state does not tell what its rows mean, as those of earlier releases do not; "
        f"expected the file with SHA-256 {state.model} as `previous`, got "
        f"{'none' if previous is None else previous.sha256}. Give that file, or begin the device "
        "anew"
    )


def _items(
    state: DeviceState, old: StateLabels, file: EdgeFile, *, who: str, notes: list[str]
) -> tuple[History, Migration]:
    """The interactions by the rows of `file`."""
    words, rows = bool(old.file.vocabulary), np.unique(state.history).tolist()
    if words != bool(file.meaning.vocabulary) and (rows or old.waiting):
        names = ["tokens" if has else "row numbers" for has in (words, not words)]
        raise DeviceError(
            f"{who}: its items are named by {names[0]}, those of {file.name} by {names[1]}; begin "
            "it anew and give its history, or export the file with the same labels"
        )
    tokens = dict(zip(rows, old.tokens if words else map(str, rows), strict=False))
    if _extends(old.file, file):
        now = {row: row for row in rows}
    else:
        now = {row: file.item_row(tokens[row]) or WAITS for row in rows if row and tokens[row]}
    nameless = [row for row in rows if row and row not in now]
    if nameless:
        notes.append(
            f"items became unknown for good, for the former file had no token: {len(nameless)}"
        )
    found = moved_history(
        state,
        old,
        tokens=tokens,
        now=now,
        row_of=file.item_row,
        context_values=file.kept_columns,
    )
    notes += _context_notes(state.context_values, file)
    unknown = sum(now.get(row) == WAITS for row in state.history.tolist())
    told = Migration(
        moved=sum(new not in (row, WAITS) for row, new in now.items()),
        unknown=unknown,
        returned=len(old.waiting) + unknown - len(found.waiting),
    )
    return found, told


def _context_notes(before: Values, file: EdgeFile) -> list[str]:
    """What becomes of the context; notes are logged, so they name columns and no value."""
    after, notes = file.kept_columns, []
    for name in before:
        if name not in after:
            notes.append(f"context: {name} was dropped, {file.name} does not read it")
        elif set(before[name]) - set(after[name]):
            notes.append(
                f"context: {name} is unknown where it was one of the values that {file.name} does "
                "not know"
            )
    notes += [
        f"context: {name} is new, and unknown for what came before"
        for name in after
        if name not in before
    ]
    return notes


def _fits(downlink: ReceivedDownlink, file: EdgeFile, *, same_rows: bool) -> bool:
    """Whether the file can read a downlink of another file."""
    told, sizes = downlink.table_sha256, file.sizes
    of_table = told == file.table_sha256 if told else same_rows
    form = (downlink.user_embedding.shape, downlink.user_embedding.dtype.name)
    of_form = form == ((sizes.cloud_dim,), sizes.codec)
    return of_table and of_form and len(downlink.queries) in (0, sizes.num_queries)


def _extends(old: FileMeaning, file: EdgeFile) -> bool:
    """Whether each row of the old file means the same in the new one."""
    new = file.meaning
    if not old.vocabulary or not new.vocabulary:
        return old.vocabulary == new.vocabulary and old.rows <= new.rows
    known = file.item_tokens[: old.rows - 1]
    return len(known) == old.rows - 1 and words_fingerprint(known) == old.vocabulary
