"""Growth: a version's tables, extended to new users and items; what was there stays as it is.

Old rows come out bit for bit as they went in, those of the optimiser's slots included. A
new item starts as the mean of the items that share categories with it, weighted by how
much they share, or of all items when it shares none; its attributes are its own, on the
old scale. Its slots start at zero, as any weight's do. A new user needs no row of the
model, whose user tower reads histories; in the knowledge store nothing is known yet.
A category that the old space has no column for is left out until a job starts from scratch.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.features import category_matrix, item_attributes
from cloud.input_space import InputSpace
from ecct_tf.data import CloudView
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.knowledge import Block, ItemTable, KnowledgeStore
from ecct_tf.knowledge.store import FIELDS, NOTHING
from ecct_tf.touched_rows import LongerRows

__all__ = [
    "PUBLISHED_ITEMS",
    "grow_knowledge",
    "grow_model",
    "grow_snapshot",
    "grow_space",
    "grow_table",
    "grow_tables",
    "item_weights",
]

Array = npt.NDArray[np.float32]

PUBLISHED_ITEMS = "published items"
"""Whose rows published item embeddings of a custom cloud are; its tower makes new ones."""

# Layers of the cloud model with a row an item, and the prefix of the optimiser's variables.
_ITEM_LAYERS = ("item_embedding/", "item_bias/")
_OPTIMIZER = "optimizer/"


def item_weights(space: InputSpace, categories: Array) -> Array:
    """How much each old item counts in each new one: `[new, old + 1] float32`, rows sum to 1.

    Args:
      space: the old space.
      categories: `[new, c] float32`, categories of the new items in the space's columns.
    """
    shared = categories @ space.categories.T
    shared[:, 0] = 0.0
    alone = shared.sum(axis=1) == 0.0
    shared[alone, 1:] = 1.0
    weights: Array = (shared / shared.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


def grow_space(space: InputSpace, view: CloudView) -> InputSpace:
    """`space` with rows for the items that `view` has beyond it.

    Raises:
      DataError: the view has fewer items, or other numeric columns.
    """
    old = space.num_items
    if view.num_items < old:
        raise DataError(
            f"expected a view of {old} items or more, got {view.num_items}; items keep their "
            "numbers, so renumber the view to an extended vocabulary first"
        )
    attributes = item_attributes(
        view, places=space.has_places, moments=(space.attribute_mean, space.attribute_scale)
    )
    categories = category_matrix(view.items, rows=view.num_items + 1, names=space.item_categories)[
        old + 1 :
    ]
    weights = item_weights(space, categories)

    def grown(block: Block) -> Block:
        target = _extended(block.target, weights)
        source = target if block.is_symmetric else _extended(block.source, weights)
        return Block(block.name, source, target)

    return dataclasses.replace(
        space,
        preference=grown(space.preference),
        sequence=grown(space.sequence),
        learned=tuple(grown(block) for block in space.learned),
        attributes=np.concatenate([space.attributes, attributes[old + 1 :]]),
        categories=np.concatenate([space.categories, categories]),
        recent=None if space.recent is None else _extended(space.recent, weights),
    )


def grow_snapshot(
    snapshot: Mapping[str, Array], *, space: InputSpace, grown: InputSpace
) -> dict[str, Array]:
    """A recommender's snapshot with rows for the items that `grown` has beyond `space`."""
    weights = item_weights(space, grown.categories[space.num_items + 1 :])
    result = dict(snapshot)
    for name, value in snapshot.items():
        if not any(layer in name for layer in _ITEM_LAYERS):
            continue
        if name.startswith(_OPTIMIZER):
            fresh = np.zeros((len(weights), *value.shape[1:]), value.dtype)
            result[name] = np.concatenate([value, fresh])
        else:
            result[name] = _extended(value, weights)
    return result


def grow_tables(
    snapshot: Mapping[str, Array],
    fresh: Mapping[str, Array],
    *,
    tables: Mapping[str, str],
    item_weights: Array,
    model: str,
) -> dict[str, Array]:
    """A snapshot of custom towers with rows for the users, items and values that came.

    What has no declared table stays as it is.

    Args:
      snapshot: variables of the smaller model.
      fresh: variables of the larger one, before it learned anything.
      tables: by the name of a variable, whose rows it has.
      item_weights: `[new, old + 1] float32`, how much each old item counts in each new one.
      model: `cloud.model`, for messages.

    Raises:
      ConfigError: a variable should have grown and is in no table.
    """
    result = dict(snapshot)
    for name, new in fresh.items():
        old = snapshot.get(name)
        if old is None or old.ndim == 0 or old.shape[1:] != new.shape[1:]:
            continue
        count = len(new) - len(old)
        if count <= 0:
            continue
        if tables.get(name) == PUBLISHED_ITEMS:
            # The candidate tower knows what a new item is like; `restored` asks it.
            result[name] = np.concatenate([old, np.full((count, old.shape[1]), np.nan, old.dtype)])
        elif tables.get(name) == "item" and count == len(item_weights):
            result[name] = _extended(old, item_weights)
        elif name in tables:
            result[name] = _extended(old, np.full((count, len(old)), 1.0 / len(old), np.float32))
        elif name.startswith(_OPTIMIZER):
            # Slots of new rows begin as those of any weight do.
            result[name] = np.concatenate([old, new[len(old) :]])
    _check_grown(result, fresh, model=model)
    return result


def grow_model(
    snapshot: Mapping[str, Array],
    fresh: Mapping[str, Array],
    *,
    tables: Mapping[str, str] | None,
    space: InputSpace,
    grown: InputSpace,
    model: str,
) -> dict[str, Array]:
    """A snapshot of any cloud model with rows for the users, items and values that came.

    Args:
      snapshot: variables of the smaller model.
      fresh: variables of the larger one, before it learned anything.
      tables: by the name of a model's variable, whose rows it has; None for the library's own.
      space: the input space of the smaller model.
      grown: that of the larger one.
      model: `cloud.model`, for messages.

    Raises:
      ConfigError: a variable of a custom cloud should have grown and is in no table.
    """
    if tables is None:
        return grow_snapshot(snapshot, space=space, grown=grown)
    return grow_tables(
        snapshot,
        fresh,
        tables={f"model/{name}": whose for name, whose in tables.items()},
        item_weights=item_weights(space, grown.categories[space.num_items + 1 :]),
        model=model,
    )


def grow_table(table: ItemTable, published: ItemTable) -> ItemTable:
    """The item table that devices hold, with rows of `published` for what it lacks.

    Its moments stay, too: devices have trained on features that were scaled by them.
    """
    rows = table.num_items + 1

    def joined(old: Array, new: Array) -> Array:
        return np.concatenate([old, new[rows:]])

    blocks = []
    for old, new in zip(table.blocks, published.blocks, strict=True):
        source = joined(old.source, new.source)
        same = old.is_symmetric
        blocks.append(Block(old.name, source, source if same else joined(old.target, new.target)))
    return dataclasses.replace(
        table,
        blocks=tuple(blocks),
        attributes=joined(table.attributes, published.attributes),
        cloud=joined(table.cloud, published.cloud),
        bias=joined(table.bias, published.bias),
    )


def _check_grown(grown: Mapping[str, Array], fresh: Mapping[str, Array], *, model: str) -> None:
    """Refuses a grown snapshot in which a table was left as short as it was."""
    short = [
        f"{name} has {len(new)} rows, {len(grown[name])} before"
        for name, new in fresh.items()
        if new.ndim
        and name in grown
        and grown[name].shape[1:] == new.shape[1:]
        and len(grown[name]) < len(new)
    ]
    if short:
        raise ConfigError(
            f"cloud.model {model!r}: the data grew and so did a variable that is in no table: "
            f"{short[0]}; name its layer in the builder's tables=, by `user`, `item` or the column "
            "whose rows it has"
        )


def grow_knowledge(knowledge: KnowledgeStore, *, num_users: int) -> KnowledgeStore:
    """The store with rows for new users, of whom nothing is known; what is wide is not copied."""
    if num_users == len(knowledge.rounds):
        return knowledge
    longer: dict[str, Any] = {
        name: LongerRows(getattr(knowledge, name), NOTHING[name], length=num_users)
        for name in FIELDS
    }
    for name in ("rounds", "logit_rounds"):
        longer[name] = np.asarray(longer[name])
    return KnowledgeStore(**longer)


def _extended(old: Array, weights: Array) -> Array:
    rows: Array = np.concatenate([old, (weights @ old).astype(old.dtype)])
    return rows
