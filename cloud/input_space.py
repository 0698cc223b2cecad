"""The space that the cloud model's inputs live in: what its weights are weights of.

Item-to-item embeddings are factors of a matrix: computed anew from other data they may
come out turned, and what a tower learned about one column would be read of another. So a
job that goes on from an earlier version takes that version's space, and only a job that
starts from scratch computes one.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.features import attribute_moments, category_matrix, category_names, item_attributes
from cloud.next_item import next_item_block
from cloud.similarity import preference_block, sequence_block
from ecct_tf.config import CloudConfig, FeatureConfig
from ecct_tf.data import CloudView
from ecct_tf.errors import CheckpointError
from ecct_tf.knowledge import Block
from ecct_tf.knowledge.pair_counts import PairCounts
from ecct_tf.phases import phase

__all__ = ["InputSpace", "build_input_space", "learned_blocks"]

Array = npt.NDArray[np.float32]

_MATRICES = ("attributes", "attribute_mean", "attribute_scale", "categories")
_NAMES = ("item_categories", "user_categories")


@dataclasses.dataclass(frozen=True)
class InputSpace:
    """Blocks, attributes and category columns.

    Attributes:
      preference: block of what people who liked i like, `[items + 1, rank]`.
      sequence: block of what follows i, `[items + 1, rank]`.
      learned: further blocks of the item table, which the towers do not read.
      attributes: `[items + 1, a] float32`, standardised.
      attribute_mean: `[a] float32`, by which they were.
      attribute_scale: `[a] float32`, likewise.
      categories: `[items + 1, c] float32`, multi-hot rows of at most unit length.
      item_categories: names of its columns.
      user_categories: names of the columns of the users' categories.
      has_places: whether the last attribute is the place of an item in histories.
      recent: `[items + 1] float32`, popularity among the newest interactions of devices, a further
        attribute of the item table; None where they told nothing of it. The cloud's own model does
        not read it: it learns from older interactions, which came before.
    """

    preference: Block
    sequence: Block
    learned: tuple[Block, ...]
    attributes: Array
    attribute_mean: Array
    attribute_scale: Array
    categories: Array
    item_categories: tuple[str, ...]
    user_categories: tuple[str, ...]
    has_places: bool = False
    recent: Array | None = None

    @property
    def num_items(self) -> int:
        """Number of items, the padding row not counted."""
        return len(self.attributes) - 1

    @property
    def rank(self) -> int:
        """Width of the blocks that the towers read."""
        return int(self.preference.source.shape[1])

    @property
    def item_inputs(self) -> Array:
        """`[items + 1, 2 * rank + c + a] float32`, what the item tower reads."""
        parts = [
            self.preference.target,
            self.sequence.target,
            self.categories,
            self.model_attributes,
        ]
        return np.concatenate(parts, axis=1)

    @property
    def table_attributes(self) -> Array:
        """`[items + 1, a or a + 1] float32`: what devices read, recent popularity last."""
        if self.recent is None:
            return self.attributes
        return np.concatenate([self.attributes, self.recent[:, None]], axis=1)

    @property
    def model_attributes(self) -> Array:
        """`[items + 1, a] float32`: the attributes that the cloud's own model reads.

        Without the place of an item in histories: the positions that train it are part of these,
        so that it would read of an item what it is to learn.
        """
        return self.attributes[:, : self.attributes.shape[1] - self.has_places]

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The space as named arrays, for a file."""
        arrays: dict[str, npt.NDArray[Any]] = {name: getattr(self, name) for name in _MATRICES}
        arrays |= {name: np.array(getattr(self, name), np.str_) for name in _NAMES}
        blocks = (self.preference, self.sequence, *self.learned)
        arrays["blocks"] = np.array([block.name for block in blocks], np.str_)
        for index, block in enumerate(blocks):
            arrays[f"block/{index}/source"] = block.source
            if not block.is_symmetric:
                arrays[f"block/{index}/target"] = block.target
        arrays["has_places"] = np.array(self.has_places)
        if self.recent is not None:
            arrays["recent"] = self.recent
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "InputSpace":
        """The space that `to_arrays` was given.

        Raises:
          CheckpointError: an array is missing.
        """
        try:
            preference, sequence, *learned = (
                _stored_block(arrays, str(name), index)
                for index, name in enumerate(arrays["blocks"])
            )
            fields: dict[str, Any] = {name: arrays[name] for name in _MATRICES}
            fields |= {name: tuple(arrays[name].tolist()) for name in _NAMES}
            # Earlier versions have none.
            fields["has_places"] = bool(arrays.get("has_places", False))
            fields["recent"] = arrays.get("recent")
        except (KeyError, ValueError) as error:
            raise CheckpointError(
                f"expected the arrays of a cloud recommender's input space, found {sorted(arrays)}:"
                f" {error}; the file is of another kind or version"
            ) from error
        return cls(preference, sequence, tuple(learned), **fields)


def _stored_block(arrays: Mapping[str, npt.NDArray[Any]], name: str, index: int) -> Block:
    source = arrays[f"block/{index}/source"]
    return Block(name, source, arrays.get(f"block/{index}/target", source))


def learned_blocks(
    view: CloudView,
    config: CloudConfig,
    *,
    features: FeatureConfig,
    seed: int,
    added: PairCounts | None = None,
) -> tuple[Block, ...]:
    """The learned block, if there is to be one; arguments as of `build_input_space`.

    `added` is what devices know of pairs beside the view.
    """
    if not config.next_item.epochs:
        return ()
    with phase(f"learning what comes next, {view.num_items:,} items"):
        block = next_item_block(
            view.older.histories,
            num_items=view.num_items,
            rank=config.next_item.rank,
            decays=features.decays,
            length=features.history_length,
            config=config.next_item,
            seed=seed,
            added=added,
        )
    return (block,)


def build_input_space(
    view: CloudView, config: CloudConfig, *, features: FeatureConfig, seed: int
) -> InputSpace:
    """Computes the space from the cloud's view.

    Args:
      view: the cloud's side of the data.
      config: ranks and how to compute the blocks.
      features: how devices pool histories, which the learned block is trained for.
      seed: of the learned block.
    """
    rank = min(config.rank, view.num_items - 1)
    histories = view.older.histories
    with phase(f"item similarity, {view.num_items:,} items"):
        preference = preference_block(
            histories,
            num_items=view.num_items,
            rank=rank,
            regularization=config.regularization,
            similarity=config.similarity,
            symmetric=config.symmetric_preference,
        )
        sequence = sequence_block(
            histories, num_items=view.num_items, rank=rank, decay=config.sequence_decay
        )
    learned = learned_blocks(view, config, features=features, seed=seed)
    mean, scale = attribute_moments(view, places=config.item_places)
    return InputSpace(
        preference=preference,
        sequence=sequence,
        learned=learned,
        attributes=item_attributes(view, places=config.item_places, moments=(mean, scale)),
        attribute_mean=mean,
        attribute_scale=scale,
        has_places=config.item_places,
        categories=category_matrix(view.items, rows=view.num_items + 1),
        item_categories=category_names(view.items),
        user_categories=category_names(view.users),
    )
