"""What a device holds of its user, as the user may ask for it: all of it, in words."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from mobile_export.device.labels import StateLabels
from mobile_export.device.moments import context_words
from mobile_export.device.state import DeviceState, ReceivedDownlink
from mobile_export.device.times import UNKNOWN_TIME

__all__ = ["personal_data"]


def personal_data(state: DeviceState) -> dict[str, Any]:
    """All that `state` keeps of its user, as values of JSON.

    Weights are the user's too: they were trained on what the user did.

    Returns:
      `user`; `rounds`; `profile`, the row of each private column; `interactions`, each with `item`
      (a row number), `time` (seconds since 1970, UTC; None where it is unknown), `known_to_cloud`
      and, of a file that reads one, `context`, values by column; `weights` and `start`, as stored;
      `downlink`, what the cloud sent last, or None; `labels`: tokens of the items, the profile as
      it was given, and interactions with items that the file does not know; and, where the device
      holds rows of items, `rows`: `items`, and those of them that the cloud `chose`.
    """
    received = state.downlink
    return {
        "user": state.user,
        "model": state.model,
        "rounds": state.round_number,
        "profile": state.profile.tolist(),
        "interactions": [
            {
                "item": item,
                "time": None if moment == UNKNOWN_TIME else moment,
                "known_to_cloud": place < state.num_older,
                **_context_of(state, codes),
            }
            for place, (item, moment, codes) in enumerate(
                zip(
                    state.history.tolist(),
                    state.times.tolist(),
                    state.context.tolist(),
                    strict=True,
                )
            )
        ],
        "weights": state.values.tolist(),
        "start": state.start.tolist(),
        "downlink": None if received is None else _as_values(received),
        "labels": None if state.labels is None else _labels(state, state.labels),
        **_rows(state),
    }


def _rows(state: DeviceState) -> dict[str, Any]:
    if state.rows is None:
        return {}
    chosen = state.rows.items[state.rows.chosen]
    return {"rows": {"items": state.rows.items.tolist(), "chose": chosen.tolist()}}


def _labels(state: DeviceState, labels: StateLabels) -> dict[str, Any]:
    found = labels.as_values()
    if state.context_values:
        found["waiting"] = [
            [each.token, each.place, each.time, _context_of(state, each.context)["context"]]
            for each in labels.waiting
        ]
    return found


def _context_of(state: DeviceState, codes: Sequence[int]) -> dict[str, Any]:
    if not state.context_values:
        return {}
    words = context_words(np.array([codes]), values=state.context_values)
    return {"context": {name: value for name, (value,) in words.items()}}


def _as_values(received: ReceivedDownlink) -> dict[str, Any]:
    fields = dataclasses.asdict(received)
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in fields.items()
    }
