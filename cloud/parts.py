"""What distinguishes one cloud from another: the model, what it reads, and where it learns."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud import features
from cloud.exchange_model import ExchangeModel
from cloud.features import (
    CloudPositions,
    category_matrix,
    tail_lengths,
    training_positions,
)
from cloud.input_space import InputSpace
from cloud.model import CloudModel, CloudModelSpec
from cloud.similarity import preference_sources
from cloud.user_states import UserStates
from ecct_tf.config import CloudConfig
from ecct_tf.data import CloudView, Kind
from ecct_tf.errors import DataError

__all__ = [
    "CloudParts",
    "built_in_parts",
    "early_histories",
    "labelled_positions",
    "user_states",
]

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class CloudParts:
    """What `CloudRecommender` makes an exchange of.

    Attributes:
      model: the towers, untrained.
      states: `[users, s]`, what the user tower reads of each user's whole older history.
      positions: the labelled positions; computed when they are asked for.
      user_columns: `[users, c] float32`, the users' centralized categories, which segments are
        made of.
    """

    model: ExchangeModel
    states: npt.NDArray[Any] | UserStates
    positions: Callable[[], CloudPositions]
    user_columns: Array


def built_in_parts(
    view: CloudView,
    config: CloudConfig,
    *,
    space: InputSpace,
    edge_dim: int,
    seed: int,
    states: Array | UserStates | None = None,
    positions: Callable[[], CloudPositions] | None = None,
) -> CloudParts:
    """The library's own cloud: towers that start as the linear item-to-item model.

    Args:
      view: the cloud's side of the data.
      config: the model and its training.
      space: what its inputs are made of.
      edge_dim: d_e.
      seed: of the random initial weights.
      states: what `user_states` gives of the view and the space; None computes them.
      positions: gives what `labelled_positions` does; None computes them.

    Raises:
      DataError: users have a numeric column, of which this cloud would read nothing.
    """
    for column in view.users.columns:
        if column.column.kind is Kind.NUMERIC:
            raise DataError(
                f"user column {column.column.name!r} is numeric, and cloud.model={config.model} "
                "reads a user's columns as categories. Give it borders in the schema file, take "
                "it out, or bring a cloud that reads it"
            )
    if states is None:
        states = user_states(view, space)
    model = CloudModel(
        CloudModelSpec(
            num_items=view.num_items,
            rank=space.rank,
            free_dim=config.free_dim,
            hidden_dim=config.hidden_dim,
            edge_dim=edge_dim,
            distillation_weight=config.distillation_weight,
            temperature=config.temperature,
            l2=config.l2,
            answer_ridge=config.answer_ridge,
            seed=seed,
        ),
        item_inputs=space.item_inputs,
        attributes=space.model_attributes,
        state_dim=states.shape[1],
        preference_columns=slice(0, space.rank),
    )
    if isinstance(states, UserStates):
        categories = _user_columns(view, space)
    else:
        # A stored version has no columns, but its states end with the users' categories.
        categories = states[:, states.shape[1] - len(space.user_categories) :]
    return CloudParts(
        model, states, positions or (lambda: labelled_positions(view, config, space)), categories
    )


def user_states(view: CloudView, space: InputSpace) -> UserStates:
    """`[users, s] float32`, what the library's own user tower reads of whole older histories."""
    columns = _user_columns(view, space)
    blocks = (space.preference, space.sequence)
    older = view.older
    sizes = np.diff(older.offsets)

    def of(users: npt.NDArray[np.int64]) -> Array:
        return features.user_states(
            blocks,
            older.items,
            starts=older.offsets[users],
            sizes=sizes[users],
            centralized=columns[users],
        )

    return UserStates(of, length=view.num_users)


def labelled_positions(view: CloudView, config: CloudConfig, space: InputSpace) -> CloudPositions:
    """What the library's own cloud learns from: the newest of each history, seen from before."""
    left_out = preference_sources(
        space.preference,
        early_histories(view, tail=config.tail),
        num_items=view.num_items,
        regularization=config.regularization,
        similarity=config.similarity,
    )
    before = (dataclasses.replace(space.preference, source=left_out), space.sequence)
    return training_positions(view, before, _user_columns(view, space), tail=config.tail)


def _user_columns(view: CloudView, space: InputSpace) -> Array:
    return category_matrix(view.users, rows=view.num_users, names=space.user_categories)


def early_histories(view: CloudView, *, tail: float) -> Sequence[npt.NDArray[np.int32]]:
    """Each older history without its newest `tail`, which serves as labelled positions."""
    return view.older.without_newest(tail_lengths(np.diff(view.older.offsets), tail))
