"""The composition root: joins data, cloud and federated process into one experiment."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cloud import CloudRecommender
from ecct_tf.config import DataConfig, RunConfig, Tier
from ecct_tf.data import (
    Candidates,
    Dataset,
    DeviceView,
    Split,
    SyntheticConfig,
    cloud_view,
    device_view,
    dirichlet_devices,
    evaluation_candidates,
    leave_one_out,
    load_movielens_100k,
    synthetic_dataset,
    user_devices,
)
from ecct_tf.edge import EdgeSpec, ItemTensors, build_edge_model, item_tensors
from ecct_tf.federated import DeviceSet, DeviceWork, EcctProcess, build_ecct_process
from ecct_tf.federated.devices import prepare_devices, profile_sizes
from ecct_tf.knowledge import ExchangeSpec, ItemTable
from ecct_tf.simulation.evaluation import EdgeEvaluator

__all__ = ["Experiment", "assign_tiers", "build_experiment", "build_process", "load_dataset"]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """All that a run needs, ready to go.

    Attributes:
      config: the configuration.
      dataset: everything; only evaluation and baselines may read it from here.
      split: its leave-one-out split.
      validation: candidates of the validation interactions.
      test: candidates of the test interactions.
      groups: the users of each device.
      cloud: the fitted cloud recommender.
      table: the item table as devices received it.
      process: the federated process.
      evaluator: scores candidates on the devices.
    """

    config: RunConfig
    dataset: Dataset
    split: Split
    validation: Candidates
    test: Candidates
    groups: tuple[tuple[DeviceView, ...], ...]
    cloud: CloudRecommender
    table: ItemTable
    process: EcctProcess
    evaluator: EdgeEvaluator


def load_dataset(config: DataConfig, *, seed: int, progress: bool = True) -> Dataset:
    """Loads or generates the dataset that the configuration names."""
    if config.dataset == "synthetic":
        return synthetic_dataset(
            SyntheticConfig(users=config.synthetic_users, items=config.synthetic_items, seed=seed)
        )
    folder = None if config.folder is None else Path(config.folder)
    return load_movielens_100k(folder=folder, progress=progress)


def build_experiment(
    config: RunConfig,
    *,
    dataset: Dataset | None = None,
    progress: bool = True,
) -> Experiment:
    """Builds an experiment: splits the data, fits the cloud, prepares the devices.

    Args:
      config: the configuration.
      dataset: data that is already loaded; otherwise what the configuration names.
      progress: whether a download may show a progress bar.
    """
    if dataset is None:
        dataset = load_dataset(config.data, seed=config.seed, progress=progress)
    split = leave_one_out(dataset, recent_fraction=config.data.recent_fraction)
    cloud = build_cloud(config, dataset, split)
    published = cloud.publish()
    table = published.transmitted(config.exchange.codec)
    groups = _device_groups(config, dataset, split)
    process = build_process(
        config,
        groups,
        table=table,
        table_bytes=published.encoded_bytes(config.exchange.codec),
        num_users=dataset.num_users,
    )
    seeds = {"negatives": config.evaluation.negatives, "seed": config.seed}
    return Experiment(
        config=config,
        dataset=dataset,
        split=split,
        validation=evaluation_candidates(split, part="validation", **seeds),
        test=evaluation_candidates(split, part="test", **seeds),
        groups=tuple(tuple(group) for group in groups),
        cloud=cloud,
        table=table,
        process=process,
        evaluator=EdgeEvaluator(process, split, table=table, features=config.features),
    )


def build_cloud(config: RunConfig, dataset: Dataset, split: Split) -> CloudRecommender:
    """Builds the cloud recommender from the cloud's view and fits it."""
    cloud = CloudRecommender(
        cloud_view(dataset, split),
        config.cloud,
        features=config.features,
        edge_dim=config.edge.embedding_dim,
        num_queries=config.exchange.queries,
        seed=config.seed,
    )
    cloud.fit()
    return cloud


def build_process(
    config: RunConfig,
    groups: Sequence[Sequence[DeviceView]],
    *,
    table: ItemTable,
    table_bytes: int,
    num_users: int,
    receives: bool = True,
) -> EcctProcess:
    """Builds the federated process for devices that hold `table`.

    Args:
      config: the configuration.
      groups: the users of each device.
      table: the item table as devices received it.
      table_bytes: its size on the wire.
      num_users: users of the dataset.
      receives: whether devices use their downlinks.
    """
    works = _cohorts(config, table, groups, receives=receives)
    return build_ecct_process(
        works,
        table=table,
        table_bytes=table_bytes,
        num_users=num_users,
        stage_1_rounds=config.exchange.stage_1_rounds,
        server=config.server,
        runtime=config.runtime,
    )


def assign_tiers(shares: dict[Tier, float], *, num_devices: int, seed: int) -> list[Tier]:
    """Draws each device's tier so that the shares hold as exactly as they can."""
    names = sorted(name for name, share in shares.items() if share > 0)
    bounds = np.round(np.cumsum([shares[name] for name in names]) * num_devices).astype(int)
    tiers = np.repeat(names, np.diff(np.concatenate([[0], bounds])))
    return np.random.default_rng([seed, 0x71E5]).permutation(tiers).tolist()


def _device_groups(config: RunConfig, dataset: Dataset, split: Split) -> list[list[DeviceView]]:
    if config.data.nodes is None:
        groups = user_devices(split)
    else:
        groups = dirichlet_devices(
            _activity_labels(split),
            split.users,
            nodes=config.data.nodes,
            alpha=config.data.alpha,
            seed=config.seed,
        )
    return [[device_view(dataset, split, int(user)) for user in group] for group in groups]


def _activity_labels(split: Split, groups: int = 8) -> npt.NDArray[np.int64]:
    """`[users] int64`, by which edge nodes differ: how active a user is, in `groups` steps."""
    lengths = np.array([len(split.train(int(user))) for user in split.users])
    edges = np.quantile(lengths, np.linspace(0, 1, groups + 1)[1:-1])
    return np.searchsorted(edges, lengths)


def _cohorts(
    config: RunConfig,
    table: ItemTable,
    groups: Sequence[Sequence[DeviceView]],
    *,
    receives: bool,
) -> list[tuple[DeviceWork, DeviceSet]]:
    items = ItemTensors(*(np.asarray(array) for array in item_tensors(table)))
    block_sizes = tuple(block.source.shape[1] for block in table.blocks)
    spec = EdgeSpec(
        interaction_dim=len(table.feature_mean),
        history_length=config.features.history_length,
        num_blocks=len(table.blocks),
        profile_sizes=profile_sizes(groups[0][0]),
        cloud_dim=table.cloud.shape[1],
        embedding_dim=config.edge.embedding_dim,
        hidden_dim=config.edge.hidden_dim,
        profile_dim=config.edge.profile_dim,
        heads=config.edge.heads,
    )
    exchange = ExchangeSpec(
        cloud_dim=table.cloud.shape[1],
        embedding_dim=config.edge.embedding_dim,
        num_queries=config.exchange.queries,
        codec=config.exchange.codec,
        clip_norm=config.exchange.clip_norm,
        clip_logit=config.exchange.clip_logit,
        noise_multiplier=config.exchange.noise_multiplier,
    )
    tiers = assign_tiers(config.edge.tiers, num_devices=len(groups), seed=config.seed)
    works = []
    for tier in sorted(set(tiers)):
        model = build_edge_model(tier, spec)
        devices = prepare_devices(
            [group for group, own in zip(groups, tiers, strict=True) if own == tier],
            items=items,
            block_sizes=block_sizes,
            features=config.features,
            samples=config.samples,
            with_slots=model.reads_slots,
            seed=config.seed,
        )
        work = DeviceWork(
            model=model,
            sharing=config.edge.shared,
            training=config.training,
            features=config.features,
            block_sizes=block_sizes,
            exchange=exchange,
            weights_codec=config.exchange.weights_codec,
            receives=receives,
        )
        works.append((work, devices))
        _log.info(
            "cohort %s: %d devices, %d weights", tier, len(devices.devices), model.layout.size
        )
    return works
