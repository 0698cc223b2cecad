"""The devices' side of an ECCT run as arrays, and back: what a checkpoint holds of it."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import RunConfig
from ecct_tf.edge import item_tensors
from ecct_tf.errors import CheckpointError
from ecct_tf.federated import Arrays, Cohort, CohortState, EcctProcess, EcctState
from ecct_tf.federated.aggregators import aggregator_leaves
from ecct_tf.federated.cohort import ServerState
from ecct_tf.federated.late_arrays import (
    LATE,
    answer_arrays,
    change_arrays,
    stored_answers,
    stored_changes,
    stored_uplinks,
    uplink_arrays,
)
from ecct_tf.fixed_arrays import FixedArray
from ecct_tf.knowledge import CloudRows, ItemTable, KnowledgeStore
from ecct_tf.knowledge.item_means import ItemMeans
from ecct_tf.knowledge.store import FIELDS, NEVER
from ecct_tf.touched_rows import touched_of

__all__ = [
    "as_started",
    "check_shapes",
    "edge_arrays",
    "edge_state",
    "known_arrays",
    "starting_arrays",
    "stored_known",
    "table_digest",
]

_SENT = "downlinks"
_ITEMS = "item_means"
_ROUNDS = ("rounds", "logit_rounds")
_SHARES, _NO_SHARE = "shares", -1
_UNLEARNED = f"{LATE}/unlearned"


def edge_arrays(state: EcctState, cohorts: Sequence[Cohort]) -> dict[str, Any]:
    """Weights of the devices, what they started with, server optimiser, knowledge store, round.

    And what is under way.
    """
    arrays: dict[str, Any] = {
        "round_number": np.array(state.round_number, np.int64),
        "fetched": touched_of(state.fetched, False),
    }
    for cohort, kept in zip(cohorts, state.cohorts, strict=True):
        for name, value in kept.server._asdict().items():
            arrays[f"{_prefix(cohort)}/{name}"] = np.asarray(value)
        arrays[f"{_prefix(cohort)}/private"] = kept.private
        if kept.unshared is not None:
            arrays[f"{_prefix(cohort)}/unshared"] = kept.unshared
        for place, leaf in enumerate(kept.aggregator):
            arrays[f"{_prefix(cohort)}/aggregator/{place}"] = leaf
        if cohort.start is not None:
            arrays[f"{_prefix(cohort)}/start"] = cohort.start
        arrays |= change_arrays(kept.changes, cohort.work.model.tier)
    for name in FIELDS:
        stored = getattr(state.knowledge, name)
        # Of those who never sent anything a checkpoint has nothing.
        arrays[f"knowledge/{name}"] = touched_of(stored, NEVER) if name in _ROUNDS else stored
    if state.items is not None:
        arrays |= {f"{_ITEMS}/{name}": part for name, part in state.items.to_arrays().items()}
    if state.shares is not None:
        arrays[_SHARES] = touched_of(state.shares, _NO_SHARE)
    if state.unlearned:
        arrays[_UNLEARNED] = np.array(state.unlearned, np.int64)
    return arrays | answer_arrays(state.answers) | uplink_arrays(state.uplinks)


def edge_state(arrays: Arrays, cohorts: Sequence[Cohort]) -> EcctState:
    """The state that `edge_arrays` was given.

    Raises:
      CheckpointError: when an array is missing.
    """
    try:
        kept = [
            CohortState(
                ServerState(*(arrays[f"{_prefix(cohort)}/{name}"] for name in ServerState._fields)),
                arrays[f"{_prefix(cohort)}/private"],
                aggregator_leaves(arrays, f"{_prefix(cohort)}/aggregator"),
                stored_changes(arrays, cohort.work.model.tier),
                arrays.get(f"{_prefix(cohort)}/unshared"),
            )
            for cohort in cohorts
        ]
        return EcctState(
            cohorts=tuple(kept),
            knowledge=KnowledgeStore.from_arrays(
                {name: arrays[f"knowledge/{name}"] for name in FIELDS}
            ),
            fetched=np.asarray(arrays["fetched"]),
            round_number=int(arrays["round_number"]),
            answers=stored_answers(arrays),
            uplinks=stored_uplinks(arrays),
            unlearned=int(arrays.get(_UNLEARNED, 0)),
            items=_stored_items(arrays),
            shares=np.asarray(arrays[_SHARES]) if _SHARES in arrays else None,
        )
    except KeyError as error:
        raise CheckpointError(
            f"checkpoint: expected an array {error}, there is none; it was written with another "
            "configuration or version"
        ) from error


def _stored_items(arrays: Arrays) -> ItemMeans | None:
    prefix = f"{_ITEMS}/"
    found = {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
    return ItemMeans.from_arrays(found) if found else None


def known_arrays(known: npt.NDArray[np.float32] | FixedArray | CloudRows) -> dict[str, Any]:
    """What a cloud says of all users: their embeddings, or rows."""
    if isinstance(known, CloudRows):
        return {f"{_SENT}/{name}": array for name, array in known._asdict().items()}
    return {f"{_SENT}/user_embeddings": known}


def stored_known(arrays: Arrays) -> npt.NDArray[np.float32] | CloudRows:
    """What `known_arrays` was given."""
    if f"{_SENT}/user_embeddings" in arrays:
        embeddings: npt.NDArray[np.float32] = np.asarray(arrays[f"{_SENT}/user_embeddings"])
        return embeddings
    return CloudRows(*(arrays[f"{_SENT}/{name}"] for name in CloudRows._fields))


def check_shapes(arrays: Arrays, expected: Arrays) -> None:
    """Refuses arrays of another configuration.

    Raises:
      CheckpointError: when one of `expected` is missing or has another shape.
    """
    for name, value in expected.items():
        shape = np.shape(arrays[name]) if name in arrays else "nothing"
        if shape != np.shape(value):
            raise CheckpointError(
                f"checkpoint: {name}: expected shape {np.shape(value)}, received {shape}; "
                "it was written with another configuration or version"
            )


def table_digest(table: ItemTable) -> npt.NDArray[np.uint8]:
    """SHA-256 of the item table, `[32] uint8`."""
    digest = hashlib.sha256()
    for array in item_tensors(table):
        digest.update(np.ascontiguousarray(array).data)
    return np.frombuffer(digest.digest(), np.uint8)


def starting_arrays(
    arrays: Arrays, cohorts: Sequence[Cohort], *, config: RunConfig
) -> dict[str, npt.NDArray[np.float32]]:
    """What devices started with, `[P] float32` by tier.

    A tier whose start the cloud made is missing where the arrays, of an earlier release, lack it.

    Args:
      arrays: of a checkpoint.
      cohorts: of the run.
      config: of the run.
    """
    found: dict[str, npt.NDArray[np.float32]] = {}
    for cohort in cohorts:
        start: npt.NDArray[np.float32] | None = cohort.initial(config.seed)
        # Without a cloud devices start at random, whatever the setting.
        if config.edge.start == "cloud" and config.method != "edge-only":
            start = arrays.get(f"{_prefix(cohort)}/start")
        if start is not None:
            found[cohort.work.model.tier] = start
    return found


def as_started(process: EcctProcess, arrays: Arrays) -> EcctProcess:
    """A process that was built without a cloud, whose devices know their start again.

    It is to be read and evaluated, not to be run.

    Args:
      process: whose devices.
      arrays: of a checkpoint; a tier that is missing started at random.
    """
    cohorts = tuple(
        dataclasses.replace(cohort, start=arrays.get(f"{_prefix(cohort)}/start"))
        for cohort in process.cohorts
    )
    return dataclasses.replace(process, cohorts=cohorts)


def _prefix(cohort: Cohort) -> str:
    return f"cohort/{cohort.work.model.tier}"
