"""Drops from what a version knows of the uplinks what was to be forgotten since it was made."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.uplink_log import ForgetNote, ReplayWindow
from ecct_tf.knowledge import KnowledgeStore
from ecct_tf.knowledge.store import EARLIER, NOTHING

__all__ = ["drop_answers", "forget_knowledge", "forget_rounds"]


def forget_knowledge(
    knowledge: KnowledgeStore, notes: Sequence[ForgetNote], *, present: int
) -> KnowledgeStore:
    """The store without the answers that `notes` cover; their users count as never heard of.

    Args:
      knowledge: of a version.
      notes: what is to be forgotten.
      present: the round that the version counts to; it set later ones back to it.
    """
    kept = {
        field.name: np.array(getattr(knowledge, field.name))
        for field in dataclasses.fields(knowledge)
    }
    drop_answers(kept, notes, present=present)
    return KnowledgeStore(**kept)


def drop_answers(
    kept: Mapping[str, npt.NDArray[Any]], notes: Sequence[ForgetNote], *, present: int
) -> None:
    """The same of the arrays of a store by name, which are altered."""
    rounds_of, earlier_of = kept["rounds"], kept["earlier_rounds"]
    drop = np.zeros(len(rounds_of), np.bool_)
    drop_earlier = np.zeros(earlier_of.shape, np.bool_)
    for note in notes:
        users = np.array(note.users, np.int64)
        drop[users[users < len(drop)]] = True
        drop_earlier[users[users < len(drop)]] = True
        known = note.answers[note.answers[:, 0] < len(drop)]
        rounds = np.minimum(known[:, 1], present)
        drop[known[rounds_of[known[:, 0]] == rounds, 0]] = True
        held = earlier_of[known[:, 0]] == rounds[:, None]
        np.logical_or.at(drop_earlier, known[:, 0], held)
    for name, array in kept.items():
        array[drop_earlier if name in EARLIER else drop] = NOTHING[name]


def forget_rounds(window: ReplayWindow, notes: Sequence[ForgetNote]) -> ReplayWindow:
    """The window as if it had not seen the answers that `notes` cover."""
    for note in notes:
        window = window.without(users=np.array(note.users, np.int64), answers=note.answers)
    return window
