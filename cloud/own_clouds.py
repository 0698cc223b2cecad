"""Clouds by name, the library's own or a custom one: what a recommender makes an exchange of."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.exchange_model import ExchangeSizes
from cloud.features import CloudPositions, category_matrix
from cloud.input_space import InputSpace
from cloud.parts import CloudParts, built_in_parts
from cloud.ranker import RankerCloud
from cloud.ranker_model import RankerModel
from cloud.seeds import seeded
from cloud.tower_inputs import TowerInputs, tower_inputs, tower_positions
from cloud.tower_model import TowerModel
from cloud.two_tower import CloudSpec, TwoTowerCloud
from cloud.user_states import UserStates
from ecct_tf.config import CloudConfig, FeatureConfig
from ecct_tf.config.cloud_names import BUILT_IN_CLOUD, cloud_target
from ecct_tf.data import CloudView
from ecct_tf.errors import ConfigError
from ecct_tf.plugins import find_function, guarded

__all__ = ["cloud_parts", "tower_parts"]

Array = npt.NDArray[np.float32]


def cloud_parts(
    view: CloudView,
    config: CloudConfig,
    *,
    space: InputSpace,
    features: FeatureConfig,
    edge_dim: int,
    seed: int,
    states: Array | UserStates | None = None,
    positions: Callable[[], CloudPositions] | None = None,
    builder: Callable[[CloudSpec], Any] | None = None,
) -> CloudParts:
    """The library's own cloud or a custom one, as `config.model` says.

    Args:
      view: the cloud's side of the data.
      config: the model and its training.
      space: what the own cloud's inputs are made of.
      features: how devices pool histories.
      edge_dim: d_e.
      seed: of the random initial weights.
      states: the own cloud's states of the users; None computes them.
      positions: gives the own cloud's labelled positions; None computes them.
      builder: of a custom cloud; None imports the one that is named.

    Raises:
      ConfigError: there is no such model, or it is none that an exchange can be made of.
      DataError: the own cloud cannot read a column of the view.
    """
    if config.model == BUILT_IN_CLOUD:
        return built_in_parts(
            view,
            config,
            space=space,
            edge_dim=edge_dim,
            seed=seed,
            states=states,
            positions=positions,
        )
    return tower_parts(
        view,
        config,
        space=space,
        features=features,
        edge_dim=edge_dim,
        seed=seed,
        builder=builder,
    )


def tower_parts(
    view: CloudView,
    config: CloudConfig,
    *,
    space: InputSpace,
    features: FeatureConfig,
    edge_dim: int,
    seed: int,
    builder: Callable[[CloudSpec], Any] | None = None,
) -> CloudParts:
    """The cloud that `config.model` names, of a view.

    Args:
      view: the cloud's side of the data: nothing else reaches the builder.
      config: names the model.
      space: names the users' categories.
      features: how long histories are.
      edge_dim: d_e.
      seed: of the random initial weights.
      builder: of the towers or the ranker; None imports the one that is named.

    Raises:
      ConfigError: there is no such model, or it is none that an exchange can be made of.
    """
    what = f"cloud.model {config.model!r}"
    inputs = tower_inputs(view, features=features, tail=config.tail)
    found = builder or find_function(cloud_target(config.model), what=what)
    described = _built(found, inputs, config, seed, what)
    sizes = ExchangeSizes(
        edge_dim=edge_dim,
        distillation_weight=config.distillation_weight,
        temperature=config.temperature,
        answer_ridge=config.answer_ridge,
    )
    model: TowerModel | RankerModel
    if isinstance(described, RankerCloud):
        model = RankerModel(described, sizes, inputs=inputs, what=what)
    else:
        model = TowerModel(described, sizes, inputs=inputs, what=what)
    model.follow(1.0)
    columns = category_matrix(view.users, rows=view.num_users, names=space.user_categories)
    return CloudParts(
        model,
        np.arange(view.num_users, dtype=np.int32),
        lambda: tower_positions(view, tail=config.tail),
        columns,
    )


def _built(
    builder: Callable[[CloudSpec], Any],
    inputs: TowerInputs,
    config: CloudConfig,
    seed: int,
    what: str,
) -> TwoTowerCloud | RankerCloud:
    # What it refuses itself, such as a column that the cloud has not, is named likewise.
    with seeded(seed), guarded(what, module=builder.__module__):
        made = builder(CloudSpec(inputs.queries, inputs.candidates, config, seed))
    if not isinstance(made, TwoTowerCloud | RankerCloud):
        raise ConfigError(
            f"{what}: expected a function that returns a TwoTowerCloud or a RankerCloud of the "
            f"spec, got {type(made).__name__}"
        )
    return made
