"""Starting weights of a version's edge models: trained by the job, or kept from its parent."""

import dataclasses
import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cloud.array_files import read_arrays, write_arrays
from cloud.device_models import DeviceModels
from cloud.edge_starts import EdgeStart
from cloud.input_space import build_input_space
from cloud.recommender import CloudRecommender
from cloud.retraining.config import JobConfig
from cloud.retraining.history import History
from cloud.retraining.preparation import Prepared
from cloud.retraining.start import build_recommender
from cloud.start import starting_weights
from ecct_tf.config import Tier, tier_slug
from ecct_tf.data import CloudView
from ecct_tf.edge import EdgeModel, EdgeSpec, build_edge_model
from ecct_tf.knowledge import ItemTable
from ecct_tf.phases import phase

__all__ = ["device_models", "edge_models", "edge_starts"]

_log = logging.getLogger(__name__)


def edge_models(
    config: JobConfig,
    table: ItemTable,
    *,
    profile_sizes: tuple[int, ...],
    profile_numbers: int = 0,
    profile_sets: tuple[int, ...] = (),
) -> list[EdgeModel]:
    """The edge models of the job's tiers, for devices that hold `table`.

    Args:
      config: the job.
      table: that the version publishes.
      profile_sizes: values of each private category, the unknown one not counted.
      profile_numbers: how many private numeric columns there are.
      profile_sets: values of each private column of several values.
    """
    edge = config.edge
    spec = EdgeSpec(
        interaction_dim=len(table.feature_mean),
        history_length=config.features.history_length,
        num_blocks=len(table.blocks),
        profile_sizes=tuple(size + 1 for size in profile_sizes),
        cloud_dim=table.cloud_dim,
        embedding_dim=config.exchange.embedding_dim,
        hidden_dim=edge.hidden_dim,
        profile_dim=edge.profile_dim,
        heads=edge.heads,
        item_dim=sum(block.source.shape[1] for block in table.blocks),
        profile_numbers=profile_numbers,
        profile_sets=profile_sets,
        targets=tuple(sorted(edge.targets)),
    )
    return [build_edge_model(tier, spec) for tier in sorted(edge.tiers)]


def device_models(config: JobConfig, history: History, table: ItemTable) -> DeviceModels:
    """The edge models of the job's tiers, as a version keeps them.

    Args:
      config: the job.
      history: for the shape of the devices' profiles, where the job is not told it.
      table: that the version publishes.
    """
    own = config.edge
    sizes = history.profile_sizes if own.profile_sizes is None else own.profile_sizes
    numbers = history.profile_numbers if own.profile_numbers is None else own.profile_numbers
    sets = history.profile_sets if own.profile_sets is None else own.profile_sets
    rules = history.number_rules
    return DeviceModels.of(
        edge_models(config, table, profile_sizes=sizes, profile_numbers=numbers, profile_sets=sets),
        profile=history.profile_names if sizes == history.profile_sizes else (),
        numbers=rules if numbers == len(rules) else {},
        sets=history.set_names if sets == history.profile_sets else (),
    )


def edge_starts(
    config: JobConfig,
    prepared: Prepared,
    table: ItemTable,
    *,
    folder: Path,
    say: Callable[[str], None] = lambda _line: None,
) -> dict[Tier, EdgeStart]:
    """The starting weights of the version that the job makes, by tier; none when not asked for.

    Where the item table stays the parent's, so do its starting weights, if they were trained
    with the same settings for the same architectures: devices hold files with them, and who
    comes later starts like those who came before. Any other table gets new ones.

    Args:
      config: the job.
      prepared: what the job works with.
      table: that the version publishes.
      folder: where each tier's weights are kept once they are trained, so that a job that was
        stopped does not train them again.
      say: called with a line for each tier whose weights were trained.

    Raises:
      ConfigError: the cloud's histories are too short to train any.
    """
    if config.edge.start == "random":
        return {}
    asked = device_models(config, prepared.history, table)
    models = [asked.model(tier) for tier in asked.specs]
    settings = {"seed": config.seed, **dataclasses.asdict(config.edge_start)}
    parent = prepared.parent
    if parent is not None and table is parent.table:
        kept = {
            model.tier: start
            for model in models
            if (start := parent.starts.get(model.tier)) is not None
            and (start.fingerprint, start.settings) == (model.fingerprint, settings)
        }
        if len(kept) == len(models):
            _log.info("starting weights: those of version %s stay", prepared.inputs.parent)
            return kept
    with phase("training starting weights"):
        trained = _trained(config, prepared.history.view, models, folder=folder, say=say)
    return {
        model.tier: EdgeStart.of(model, trained[model.tier], settings=settings) for model in models
    }


def _trained(
    config: JobConfig,
    view: CloudView,
    models: list[EdgeModel],
    *,
    folder: Path,
    say: Callable[[str], None],
) -> dict[Tier, npt.NDArray[np.float32]]:
    known: list[CloudRecommender] = []

    def build(inner: CloudView) -> CloudRecommender:
        # All tiers learn from one inner cloud.
        if not known:
            space = build_input_space(
                inner, config.cloud, features=config.features, seed=config.seed
            )
            known.append(build_recommender(config, inner, space=space))
            known[0].fit()
        return known[0]

    found = {}
    for model in models:
        path = folder / f"{tier_slug(model.tier)}-{model.fingerprint[:16]}.npz"
        if not path.exists():
            began = time.monotonic()
            made = starting_weights(
                view,
                [model],
                config.edge_start,
                features=config.features,
                build=build,
                seed=config.seed,
            )
            write_arrays(path, {"weights": made[model.tier]})
            say(f"starting weights: {model.tier} trained, {time.monotonic() - began:.1f} s")
        found[model.tier] = read_arrays(path)["weights"]
    return found
