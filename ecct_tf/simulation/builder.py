"""From configuration, devices and item table to the federated process."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ecct_tf.config import RunConfig, SampleConfig, ServerConfig, Tier
from ecct_tf.data import DeviceGroups, DeviceView
from ecct_tf.data.held_items import HeldItems
from ecct_tf.data.outcomes import target_names
from ecct_tf.data.profile import ProfileShape, profile_shape
from ecct_tf.edge import DeviceTask, EdgeSpec, build_edge_model, table_tensors
from ecct_tf.federated import (
    DeviceSet,
    DeviceWork,
    EcctProcess,
    Witness,
    build_ecct_process,
)
from ecct_tf.federated.attack import Attack
from ecct_tf.federated.prepared import PreparedDevices
from ecct_tf.knowledge import ExchangeSpec, ItemTable
from ecct_tf.knowledge.item_sums import ItemSumSpec
from ecct_tf.knowledge.noise import noise_stream

__all__ = ["assign_tiers", "build_process", "device_work", "edge_config"]

_log = logging.getLogger(__name__)

# Of methods that have one for what their devices do.
_SECTIONS = {"edge-only": "edge_only", "dccl": "dccl"}


def build_process(
    config: RunConfig,
    groups: Sequence[Sequence[DeviceView]],
    *,
    table: ItemTable,
    table_bytes: int,
    own_bytes: npt.NDArray[np.int64] | None = None,
    held: HeldItems | None = None,
    num_users: int,
    starts: Mapping[Tier, npt.NDArray[np.float32]] | None = None,
    witness: Witness | None = None,
    prepared: PreparedDevices | None = None,
    attack: Attack | None = None,
) -> EcctProcess:
    """Builds the federated process for devices that hold `table`.

    Args:
      config: the configuration.
      groups: the users of each device.
      table: the item table as devices received it.
      table_bytes: size on the wire of what all devices fetch of it.
      own_bytes: `[users] int64`, of what the device of each user fetches beside it; None for
        nothing.
      held: the items whose rows devices hold; None for all.
      num_users: users of the dataset.
      starts: starting weights by tier, `[P] float32`; None starts all devices at random.
      witness: sees what devices did in each round.
      prepared: the data of devices that is prepared already, and where new data is kept.
      attack: what poisoned devices do.
    """
    known = PreparedDevices() if prepared is None else prepared
    works = _cohorts(config, table, groups, known, held)
    return build_ecct_process(
        works,
        table=table,
        table_bytes=table_bytes,
        own_bytes=own_bytes,
        num_users=num_users,
        num_earlier=config.cloud.num_earlier,
        stage_1_rounds=config.stage_1_rounds,
        server=config.server,
        runtime=config.runtime,
        starts=starts,
        witness=witness,
        section=_SECTIONS.get(config.method),
        asynchronous=config.participation.asynchronous,
        cloud_buffer=config.cloud.buffer if config.exchange.up else 0,
        attack=attack,
        only_asked=config.exchange.up and config.exchange.only_asked,
        half_life=config.cloud.staleness_half_life,
        share_every=config.edge.share_every,
    )


def edge_config(config: RunConfig) -> RunConfig:
    """The configuration of a run's devices.

    Where there is no cloud, nothing is exchanged, weights begin at random, and rounds and rates
    are those of the section `edge_only`. Devices of the method `dccl` begin with the cloud's
    weights, which are their own from then on, and nothing is exchanged either.
    """
    if config.method == "dccl":
        return _fine_tuned(config)
    if config.method != "edge-only":
        return config
    own = config.edge_only
    training = dataclasses.replace(
        config.training,
        learning_rate=own.learning_rate,
        private_learning_rate=own.private_learning_rate,
    )
    return dataclasses.replace(
        config,
        rounds=own.rounds,
        edge=dataclasses.replace(config.edge, start="random"),
        training=training,
        server=own.server,
        exchange=dataclasses.replace(config.exchange, down=False, up=False, stage_1_rounds=None),
    )


def _fine_tuned(config: RunConfig) -> RunConfig:
    own = config.dccl
    exchange = dataclasses.replace(
        config.exchange, down=False, up=False, items="table", stage_1_rounds=None
    )
    return dataclasses.replace(
        config,
        rounds=own.rounds,
        edge=dataclasses.replace(config.edge, start="cloud", shared="none", share_every=1),
        training=dataclasses.replace(
            config.training, private_learning_rate=own.private_learning_rate
        ),
        server=ServerConfig(),
        exchange=exchange,
        cloud=dataclasses.replace(config.cloud, buffer=0),
    )


def assign_tiers(shares: dict[Tier, float], *, num_devices: int, seed: int) -> list[Tier]:
    """Draws each device's tier so that the shares hold as exactly as they can."""
    names = sorted(name for name, share in shares.items() if share > 0)
    bounds = np.round(np.cumsum([shares[name] for name in names]) * num_devices).astype(int)
    tiers = np.repeat(names, np.diff(np.concatenate([[0], bounds])))
    return np.random.default_rng([seed, 0x71E5]).permutation(tiers).tolist()


def device_work(
    config: RunConfig, tier: Tier, *, table: ItemTable, profile: ProfileShape
) -> DeviceWork:
    """The work of devices of one tier that hold `table`, in stage 2.

    Args:
      config: the configuration.
      tier: the edge architecture.
      table: the item table as devices received it.
      profile: the shape of the devices' profiles.
    """
    block_sizes = tuple(block.source.shape[1] for block in table.blocks)
    model = build_edge_model(
        tier,
        EdgeSpec(
            interaction_dim=len(table.feature_mean),
            history_length=config.features.history_length,
            num_blocks=len(table.blocks),
            profile_sizes=profile.sizes,
            cloud_dim=table.cloud_dim,
            embedding_dim=config.edge.embedding_dim,
            hidden_dim=config.edge.hidden_dim,
            profile_dim=config.edge.profile_dim,
            heads=config.edge.heads,
            item_dim=sum(block_sizes),
            profile_numbers=profile.numbers,
            profile_sets=profile.sets,
            targets=target_names(config.samples),
        ),
    )
    return DeviceWork(
        model=model,
        task=DeviceTask(
            features=config.features,
            samples=_samples(config),
            counts_newest=table.counts_newest,
            training=config.training,
            exchange=ExchangeSpec(
                cloud_dim=table.cloud_dim,
                embedding_dim=config.edge.embedding_dim,
                num_queries=config.exchange.queries,
                codec=config.exchange.codec,
                with_embeddings=config.exchange.embeddings,
                clip_norm=config.exchange.clip_norm,
                clip_logit=config.exchange.clip_logit,
                noise_multiplier=config.exchange.noise_multiplier,
                num_rows=config.cloud.rows if table.row_dim else 0,
                answer_by=config.exchange.answer_by,
            ),
            sharing=config.edge.shared,
            receives=config.exchange.down,
        ),
        block_sizes=block_sizes,
        weights_codec=config.exchange.weights_codec,
        sends=config.exchange.up,
        noise_stream=noise_stream(config.seed),
        sums=_sums(config, table),
        speak_above=config.exchange.speak_above,
    )


def _sums(config: RunConfig, table: ItemTable) -> ItemSumSpec | None:
    """The sums over devices that alone reach the cloud, if so it is."""
    if config.exchange.rows != "item" or not config.exchange.up:
        return None
    return ItemSumSpec(table.num_items, config.edge.embedding_dim, config.exchange.item_sums)


def _samples(config: RunConfig) -> SampleConfig:
    """What devices train on; those that start at random have nothing to fall back on."""
    if config.edge.start == "cloud":
        return config.samples
    return dataclasses.replace(config.samples, guard_positions=0)


def _cohorts(
    config: RunConfig,
    table: ItemTable,
    groups: Sequence[Sequence[DeviceView]],
    prepared: PreparedDevices,
    held: HeldItems | None,
) -> list[tuple[DeviceWork, DeviceSet]]:
    items = table_tensors(table)
    profile = profile_shape(groups[0][0].profile.columns)
    tiers = assign_tiers(config.edge.tiers, num_devices=len(groups), seed=config.seed)
    works = []
    for tier in sorted(set(tiers)):
        work = device_work(config, tier, table=table, profile=profile)
        members = [number for number, other in enumerate(tiers) if other == tier]
        devices = prepared.of(
            _chosen(groups, members),
            items=items,
            block_sizes=work.block_sizes,
            features=work.task.features,
            samples=work.task.samples,
            with_slots=work.model.reads_slots,
            with_items=work.model.reads_items,
            profile=work.model.profile,
            group_size=work.task.group_size,
            held=held,
            counts_newest=work.task.counts_newest,
            seed=config.seed,
        )
        works.append((work, devices))
        _log.info("cohort %s: %d devices, %d weights", tier, len(devices), work.model.layout.size)
    return works


def _chosen(
    groups: Sequence[Sequence[DeviceView]], members: Sequence[int]
) -> Sequence[Sequence[DeviceView]]:
    if isinstance(groups, DeviceGroups):
        return groups.subset(members)
    return [groups[member] for member in members]
