"""Drops from what a version knows of the uplinks what was to be forgotten since it was made."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from cloud.uplink_log import ForgetNote, ReplayWindow
from ecct_tf.knowledge import KnowledgeStore
from ecct_tf.knowledge.store import EARLIER

__all__ = ["forget_knowledge", "forget_rounds"]


def forget_knowledge(
    knowledge: KnowledgeStore, notes: Sequence[ForgetNote], *, present: int
) -> KnowledgeStore:
    """The store without the answers that `notes` cover; their users count as never heard of.

    Args:
      knowledge: of a version.
      notes: what is to be forgotten.
      present: the round that the version counts to; it set later ones back to it.
    """
    drop = np.zeros(len(knowledge.rounds), np.bool_)
    drop_earlier = np.zeros(knowledge.earlier_rounds.shape, np.bool_)
    for note in notes:
        users = np.array(note.users, np.int64)
        drop[users[users < len(drop)]] = True
        drop_earlier[users[users < len(drop)]] = True
        known = note.answers[note.answers[:, 0] < len(drop)]
        rounds = np.minimum(known[:, 1], present)
        drop[known[knowledge.rounds[known[:, 0]] == rounds, 0]] = True
        held = knowledge.earlier_rounds[known[:, 0]] == rounds[:, None]
        np.logical_or.at(drop_earlier, known[:, 0], held)
    empty = KnowledgeStore.empty(
        num_users=len(drop),
        num_queries=knowledge.items.shape[1],
        embedding_dim=knowledge.embeddings.shape[2],
        num_earlier=knowledge.num_earlier,
    )
    kept = {}
    for field in dataclasses.fields(knowledge):
        which = drop_earlier if field.name in EARLIER else drop
        kept[field.name] = getattr(knowledge, field.name).copy()
        kept[field.name][which] = getattr(empty, field.name)[which]
    return KnowledgeStore(**kept)


def forget_rounds(window: ReplayWindow, notes: Sequence[ForgetNote]) -> ReplayWindow:
    """The window as if it had not seen the answers that `notes` cover."""
    for note in notes:
        window = window.without(users=np.array(note.users, np.int64), answers=note.answers)
    return window
