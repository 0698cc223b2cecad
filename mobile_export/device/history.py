"""What a state says of its own rows: the tokens of its items, and its profile in words."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mobile_export.device.labels import StateLabels, Waiting
from mobile_export.device.moments import Context, Values, context_rows, translated
from mobile_export.device.profile import row_texts
from mobile_export.device.state import DeviceState
from mobile_export.device.times import InteractionTimes, interaction_times
from mobile_export.runtime.edge_file import EdgeFile

__all__ = ["WAITS", "History", "labelled", "moved_history", "with_tokens"]


WAITS = -1
"""In the place of a row: of an item that the file does not know."""


class _Event(NamedTuple):
    row: int
    token: str
    time: int
    older: bool
    context: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class History:
    """Interactions of a user, those that a file knows and those that wait.

    Attributes:
      history: `[n] int32`, rows, oldest first.
      times: `[n] int64`, seconds since 1970, 0 where unknown.
      num_older: how many of them the cloud knows too.
      context: `[n, C] int32`, codes of the new file's context.
      waiting: the others, oldest first.
      waiting_older: how many of those the cloud knows too.
    """

    history: npt.NDArray[np.int32]
    times: npt.NDArray[np.int64]
    num_older: int
    context: npt.NDArray[np.int32]
    waiting: tuple[Waiting, ...]
    waiting_older: int


def labelled(state: DeviceState, file: EdgeFile) -> DeviceState:
    """`state`, which belongs to `file`, with labels of all that it holds."""
    known = state.labels or StateLabels(file.meaning, texts=row_texts(file, state.profile))
    rows = np.unique(state.history).tolist() if file.item_tokens else []
    tokens = tuple(_token(file, row) for row in rows)
    return dataclasses.replace(
        state, labels=dataclasses.replace(known, file=file.meaning, tokens=tokens)
    )


def with_tokens(
    state: DeviceState,
    file: EdgeFile,
    tokens: Sequence[str],
    *,
    times: InteractionTimes,
    context: Context | None = None,
) -> DeviceState:
    """The state, which belongs to `file`, after interactions that come by their tokens."""
    moments = interaction_times(times, count=len(tokens)).tolist()
    codes = context_rows(context, count=len(tokens), values=state.context_values)
    rows = [file.item_row(token) for token in tokens]
    known = [place for place, row in enumerate(rows) if row]
    after = state.with_interactions(
        [rows[place] for place in known], times=[moments[place] for place in known]
    )
    after = dataclasses.replace(after, context=np.concatenate([state.context, codes[known]]))
    found = labelled(after, file)
    before = len(state.history)
    waiting = tuple(
        Waiting(
            token,
            before + sum(each < place for each in known),
            moments[place],
            tuple(codes[place].tolist()),
        )
        for place, token in enumerate(tokens)
        if not rows[place]
    )
    labels = found.labels
    if labels is None or not waiting:
        return found
    return dataclasses.replace(
        found, labels=dataclasses.replace(labels, waiting=(*labels.waiting, *waiting))
    )


def moved_history(
    state: DeviceState,
    labels: StateLabels,
    *,
    tokens: Mapping[int, str],
    now: Mapping[int, int],
    row_of: Callable[[str], int],
    context_values: Values,
) -> History:
    """The interactions of a state by other rows, in the order in which they were.

    Args:
      state: with the rows of the former file.
      labels: of it.
      tokens: of its rows.
      now: what its rows are, or `WAITS`; without a row, unknown for good.
      row_of: the row of a token, 0 where there is none.
      context_values: columns of the context that the new file reads, with their values.
    """
    events = []

    def codes_of(codes: npt.NDArray[np.int32]) -> list[tuple[int, ...]]:
        moved = translated(codes, of=state.context_values, to=context_values)
        return [tuple(row) for row in moved.tolist()]

    for place, (row, moment, codes) in enumerate(
        zip(state.history.tolist(), state.times.tolist(), codes_of(state.context), strict=True)
    ):
        older = place < state.num_older
        event = _Event(now.get(row, 0), tokens.get(row, ""), moment, older, codes)
        events.append((place, 1, event))
    waited = np.array([each.context for each in labels.waiting], np.int32)
    waited = waited.reshape(len(labels.waiting), len(state.context_values))
    for order, (each, codes) in enumerate(zip(labels.waiting, codes_of(waited), strict=True)):
        older = order < labels.waiting_older
        event = _Event(row_of(each.token) or WAITS, each.token, each.time, older, codes)
        events.append((each.place, 0, event))
    # What waits comes before the interaction at its place.
    ordered = [event for *_, event in sorted(events, key=lambda found: found[:2])]
    known = [event for event in ordered if event.row != WAITS]
    waiting, place = [], 0
    for event in ordered:
        if event.row == WAITS:
            waiting.append(Waiting(event.token, place, event.time, event.context))
        else:
            place += 1
    return History(
        history=np.array([event.row for event in known], np.int32),
        times=np.array([event.time for event in known], np.int64),
        num_older=sum(event.older for event in known),
        context=np.array([event.context for event in known], np.int32).reshape(
            len(known), len(context_values)
        ),
        waiting=tuple(waiting),
        waiting_older=sum(event.older for event in ordered if event.row == WAITS),
    )


def _token(file: EdgeFile, row: int) -> str:
    """Of a row; empty for row 0 and for one that the file does not have."""
    return file.item_tokens[row - 1] if 0 < row <= len(file.item_tokens) else ""
