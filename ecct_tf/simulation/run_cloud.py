"""The cloud of a run: built from the cloud's view and fitted, or as it is in a checkpoint."""

import dataclasses

import numpy as np
import numpy.typing as npt

from cloud import CloudRecommender
from cloud.guard import GuardedCloud
from cloud.item_tables import model_table
from cloud.refit import refit_space
from cloud.shared_spaces import InputSpaces
from ecct_tf.config import CloudConfig, RunConfig
from ecct_tf.data import CloudView
from ecct_tf.errors import CheckpointError
from ecct_tf.federated import Arrays, TrainableCloud
from ecct_tf.knowledge import ItemTable
from ecct_tf.knowledge.table_files import transmit
from ecct_tf.phases import phase
from ecct_tf.simulation.device_sums import DeviceSums, restored_sums
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.increments import ItemIncrements

__all__ = [
    "build_cloud",
    "cloud_arrays",
    "fitted_cloud",
    "guard_share",
    "guarded",
    "restored_cloud",
]

Array = npt.NDArray[np.float32]

# Of the largest value, up to which two embeddings of an item are the same.
_LARGEST_DIFFERENCE = 1 / 50
# Share of the items whose embeddings may be others.
_DIFFERENT_ROWS = 1 / 100


def build_cloud(
    experiment: Experiment,
    *,
    config: CloudConfig | None = None,
    spaces: InputSpaces | None = None,
    sums: DeviceSums | None = None,
    held_out_share: float = 0.0,
) -> CloudRecommender:
    """Builds the cloud recommender from the cloud's view and fits it.

    Args:
      experiment: the data.
      config: instead of the cloud section of the experiment's configuration.
      spaces: the input spaces that are computed already, and where a new one is kept.
      sums: what devices told the cloud of items.
      held_out_share: of its labelled positions, how many stay out of all training.
    """
    told = sums or DeviceSums()
    return fitted_cloud(
        experiment.config,
        experiment.view,
        config=config,
        spaces=spaces,
        increments=told.pairs,
        recent=told.recent(experiment.view),
        held_out_share=held_out_share,
    )


def guard_share(config: RunConfig) -> float:
    """Of the cloud's labelled positions: none where it learns nothing, or from no labels."""
    labels = config.cloud.label_visibility == "both" and config.data.recent_fraction < 1
    if not config.exchange.up or not labels:
        return 0.0
    return config.cloud.guard_share


def guarded(cloud: CloudRecommender, config: RunConfig) -> CloudRecommender | GuardedCloud:
    """`cloud`, judged by what it holds out where the run asks for a guard."""
    if guard_share(config):
        return GuardedCloud(cloud)
    return cloud


def restored_cloud(experiment: Experiment, arrays: Arrays, table: ItemTable) -> TrainableCloud:
    """The cloud recommender as it is in a checkpoint, to be asked for scores.

    Nothing is trained anew; the item-to-item embeddings that its towers read are computed again,
    from the same data.

    Args:
      experiment: the data of the run.
      arrays: of the checkpoint.
      table: the item table of the run's devices.

    Raises:
      CheckpointError: when the arrays have other variables or other shapes, or the embeddings do
        not come out as they were.
    """
    config = experiment.config
    # No tower reads the block that is learned, which takes most of the time.
    unlearned = dataclasses.replace(config.cloud.next_item, epochs=0)
    settings = dataclasses.replace(config.cloud, next_item=unlearned)
    view = experiment.view
    sums = restored_sums(
        config,
        arrays,
        num_items=view.num_items,
        older_counts=np.diff(view.older.offsets),
        num_devices=len(experiment.groups),
    )
    cloud = _unfitted_cloud(
        config, view, config=settings, increments=sums.pairs, recent=sums.recent(view)
    )
    cloud.freeze()
    restored = guarded(cloud, config)
    restored.restore(cloud_arrays(arrays))
    if cloud.model.sends_rows:
        # Devices hold nothing of its items, and nothing of it is computed again.
        return restored
    crossed = _crossed_again(cloud, table, config)
    # A rounding may fall otherwise where a machine adds in another order, in a few rows.
    differs = np.abs(crossed - table.cloud) > np.abs(table.cloud).max() * _LARGEST_DIFFERENCE
    if differs.any(axis=1).mean() > _DIFFERENT_ROWS:
        raise CheckpointError(
            "checkpoint: the item embeddings that were computed now are not those that the cloud "
            "learned with; ask the cloud where the run was made, with the same library versions "
            "and kind of machine"
        )
    return restored


def _crossed_again(cloud: CloudRecommender, table: ItemTable, config: RunConfig) -> Array:
    """`[items + 1, d_c] float32`: the embeddings of items as devices would read them of `table`."""
    computed = model_table(cloud.space, cloud.model, features=config.features)
    copied = [block.name for _, block in computed.cloud_copies if block is not None]
    read = tuple(block for block in computed.blocks if block.name in copied)
    alone = dataclasses.replace(computed, blocks=read)
    found = transmit(alone, table.form or None, config.exchange.codec, whole=False)
    return found.table.cloud


def fitted_cloud(
    run: RunConfig,
    view: CloudView,
    *,
    config: CloudConfig | None = None,
    spaces: InputSpaces | None = None,
    increments: ItemIncrements | None = None,
    recent: Array | None = None,
    held_out_share: float = 0.0,
) -> CloudRecommender:
    """The recommender of any view of the cloud, fitted; arguments as for `build_cloud`.

    `recent` `[items + 1] float32` is the popularity of items among interactions that came after
    this view.
    """
    if increments is None and spaces is not None:
        settings = config or run.cloud
        spaces.of(view, settings, features=run.features, seed=run.seed)
        with phase("fitting the cloud"):
            return spaces.fitted(
                view,
                settings,
                features=run.features,
                edge_dim=run.edge.embedding_dim,
                num_queries=run.exchange.queries,
                seed=run.seed,
                held_out_share=held_out_share,
                recent=recent,
            )
    cloud = _unfitted_cloud(
        run,
        view,
        config=config,
        spaces=spaces,
        increments=increments,
        recent=recent,
        held_out_share=held_out_share,
    )
    with phase("fitting the cloud"):
        cloud.fit()
    return cloud


def _unfitted_cloud(
    run: RunConfig,
    view: CloudView,
    *,
    config: CloudConfig | None = None,
    spaces: InputSpaces | None = None,
    increments: ItemIncrements | None = None,
    recent: Array | None = None,
    held_out_share: float = 0.0,
) -> CloudRecommender:
    settings = config or run.cloud
    known = InputSpaces() if spaces is None else spaces
    if increments is None:
        space = known.of(view, settings, features=run.features, seed=run.seed)
    else:
        # The learned block takes most of the time, and is learned with the sum alone.
        unlearned = dataclasses.replace(
            settings, next_item=dataclasses.replace(settings.next_item, epochs=0)
        )
        space = refit_space(
            known.of(view, unlearned, features=run.features, seed=run.seed),
            view,
            settings,
            increments.counts,
            features=run.features,
            seed=run.seed,
        )
    if recent is not None:
        space = dataclasses.replace(space, recent=recent)
    return CloudRecommender(
        view,
        settings,
        features=run.features,
        edge_dim=run.edge.embedding_dim,
        num_queries=run.exchange.queries,
        seed=run.seed,
        space=space,
        held_out_share=held_out_share,
    )


def cloud_arrays(arrays: Arrays) -> dict[str, Array]:
    """Of a checkpoint, what the cloud's `snapshot` was."""
    start = len("cloud/")
    return {name[start:]: value for name, value in arrays.items() if name.startswith("cloud/")}
