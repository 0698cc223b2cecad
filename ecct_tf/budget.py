"""What a run or a job will need of memory and time, estimated from sizes before any work.

The estimates are of the large arrays only, each from the shapes that the code allocates, and of
the arithmetic that grows fastest. They are meant to be right within a factor of two: enough to
refuse what cannot fit, with its reason, instead of dying of it after an hour.
"""

import dataclasses
import logging
from collections.abc import Collection, Sequence

from ecct_tf.config import EDGE_METHODS, CloudConfig, FeatureConfig, RunConfig
from ecct_tf.config.baselines import FEDERATED_BASELINES
from ecct_tf.errors import ResourceError
from ecct_tf.memory import available_bytes

__all__ = [
    "LARGEST_BASIS_BYTES",
    "PREPARED_BYTES",
    "DataSize",
    "Need",
    "check_needs",
    "cloud_needs",
    "in_words",
    "run_needs",
    "total_bytes",
]

_log = logging.getLogger(__name__)

# Of the devices' samples and features that are made when they take part, so much stays;
# MovieLens-100K whole takes a tenth of it.
PREPARED_BYTES = 2**30
# Above it factored similarities write out no basis of the users.
LARGEST_BASIS_BYTES = 1 << 28
# Python, TensorFlow, the libraries and TFF's worker without data, in bytes.
_LIBRARIES = 900 * 10**6
# Measured on two cores of 2024: 8,000 items took 26 s by the dense way.
_DENSE_BYTES, _DENSE_SECONDS = 33, 5e-11
_FLOPS, _SPARSE_FLOPS = 1.5e10, 1e9
_SVD_PASSES = 12
# States of users that four clouds and positions keep at the most, in numbers.
_STATES = 2**27
_LONG_SECONDS = 900.0


@dataclasses.dataclass(frozen=True)
class DataSize:
    """Sizes that decide what a run needs.

    Attributes:
      users: of the data set.
      items: likewise.
      older: interactions that the cloud knows.
      recent: interactions that devices alone know, of the training part.
      devices: that can take part.
      categories: columns of the items' categories, one for each value.
      attributes: numeric item columns, popularity and places included.
    """

    users: int
    items: int
    older: int
    recent: int
    devices: int
    categories: int
    attributes: int


@dataclasses.dataclass(frozen=True)
class Need:
    """What one phase needs.

    Attributes:
      phase: what it is.
      kept_bytes: what stays allocated after it.
      peak_bytes: what it has beyond that while it runs.
      seconds: how long it takes on two cores.
      settings: what decides, in words.
    """

    phase: str
    kept_bytes: int
    peak_bytes: int
    seconds: float
    settings: str

    @property
    def bytes(self) -> int:
        """All that it allocates."""
        return self.kept_bytes + self.peak_bytes


def cloud_needs(size: DataSize, config: CloudConfig, *, features: FeatureConfig) -> list[Need]:
    """What computing a cloud recommender's input space and inputs needs."""
    items, users, rank = size.items + 1, size.users, config.rank
    similarity = config.similarity
    if similarity.is_dense(size.items):
        peak, seconds = _DENSE_BYTES * items**2, _DENSE_SECONDS * items**3
        form = "dense (factored needs less)"
    else:
        factors = min(similarity.factors, size.items, users)
        # Of many users no basis is written out.
        written = users if 8 * users * factors <= LARGEST_BASIS_BYTES else 0
        peak = 8 * (5 * (items + written) * factors + 6 * factors**2) + 24 * size.older
        seconds = (
            _SVD_PASSES
            * factors
            * (2 * size.older / _SPARSE_FLOPS + 2 * (items + users) * factors / _FLOPS)
        )
        form = f"factored, cloud.similarity.factors={similarity.factors}"
    needs = [
        Need(
            "item similarity",
            8 * items * 2 * rank,
            peak,
            seconds,
            f"{size.items:,} items, {users:,} users, cloud.similarity.form={form}",
        )
    ]
    learned = config.next_item
    if learned.epochs:
        steps = learned.epochs * min(size.older, learned.max_positions)
        named = items if size.items <= learned.full_items else learned.sampled_items
        needs.append(
            Need(
                "next item",
                8 * items * learned.rank,
                # Logits and their gradients, the weights' gradients and Adam's moments.
                4 * (6 * min(learned.batch_size, size.older) * named + 12 * items * learned.rank)
                # The order of an epoch, its items, and what a batch reads of them.
                + 4 * (3 * size.older + 4 * learned.batch_size * features.history_length),
                steps * named * learned.rank * 6 / _FLOPS,
                f"{size.older:,} older interactions, {size.items:,} items, "
                f"cloud.next_item.epochs={learned.epochs}, .batch_size={learned.batch_size}, "
                f".max_positions={learned.max_positions}",
            )
        )
    width = 8 * rank + 1
    needs.append(
        Need(
            "inputs of the cloud",
            4 * 2 * items * (size.categories + size.attributes + 2 * rank)
            + 4 * min(4 * users * width, _STATES),
            4 * items * size.categories,
            0.0,
            f"{size.items:,} items, {users:,} users, {size.categories:,} values of categories",
        )
    )
    return needs


def run_needs(size: DataSize, config: RunConfig, *, reads: Collection[str] = ()) -> list[Need]:
    """What a run needs up to the end of its first round.

    Args:
      size: of the data.
      config: of the run.
      reads: what its edge models read beside what every one does, see `ecct_tf.edge`.
    """
    needs = []
    uses_cloud = config.method in (*EDGE_METHODS, "cloud-only", "centralized")
    if uses_cloud or config.baselines:
        needs += cloud_needs(size, config.cloud, features=config.features)
    elif config.method.startswith("ease"):
        needs += cloud_needs(size, config.cloud, features=config.features)[:1]
    evaluation = config.evaluation
    evaluated = min(evaluation.devices or size.devices, size.devices)
    needs.append(
        Need(
            "evaluation",
            2 * evaluated * (1 + evaluation.negatives) * 8,
            0,
            0.0,
            f"{evaluated:,} devices (evaluation.devices), "
            f"evaluation.negatives={evaluation.negatives}",
        )
    )
    present = config.participation.wanted(size.devices)
    if config.method in FEDERATED_BASELINES:
        dim = _row_width(config)
        shard = min(max(config.runtime.shard_size, 1), present)
        needs.append(
            Need(
                "devices",
                4 * (size.older + size.recent) * (config.features.history_length + 2),
                # A table of its own for each device of a shard, its change and its gradient.
                4 * 4 * shard * config.runtime.concurrent_calls * (size.items + 1) * dim,
                0.0,
                f"runtime.shard_size={config.runtime.shard_size}, "
                f"runtime.concurrent_calls={config.runtime.concurrent_calls}, {size.items:,} items",
            )
        )
        if config.method == "fedmd":
            # A table for each device, before a round, after it, and as a checkpoint has it.
            kept = 3 * 4 * size.devices * (size.items + 1) * dim
            needs.append(
                Need(
                    "models that stay on devices",
                    kept,
                    0,
                    0.0,
                    f"{size.devices:,} devices, {size.items:,} items, "
                    f"federated_baseline.embedding_dim={dim - 1}",
                )
            )
    elif config.method in (*EDGE_METHODS, "centralized"):
        needs.append(_device_need(size, config, present, reads=reads))
        needs.append(
            Need(
                "queries",
                _heard(size, config, present)
                * config.exchange.queries
                * (4 * config.edge.embedding_dim + 16),
                8 * min(present, 2048) * (_asked_of(size, config) + 1),
                0.0,
                f"{present:,} devices in a round (participation.devices_per_round), "
                f"{size.items:,} items",
            )
        )
    return needs


def _asked_of(size: DataSize, config: RunConfig) -> int:
    """Items of which the cloud chooses what it asks a device about."""
    if config.exchange.items == "table":
        return size.items
    rows = config.exchange.candidates
    return min(rows.shared + rows.best + config.features.history_length, size.items)


def _heard(size: DataSize, config: RunConfig, present: int) -> int:
    """Users of whom the cloud keeps something after all rounds, at the most."""
    return min(size.users, -(-size.users * present * config.rounds // max(size.devices, 1)))


def _row_width(config: RunConfig) -> int:
    """Columns of the item table of a federated baseline."""
    own = config.federated_baseline
    if config.method == "pfedrec":
        return own.pfedrec.embedding_dim
    if config.method == "fedrecon":
        return own.fedrecon.embedding_dim + 1
    return own.embedding_dim + 1


def _device_need(
    size: DataSize, config: RunConfig, present: int, *, reads: Collection[str]
) -> Need:
    samples = config.samples
    positions = min(size.recent, size.devices * samples.max_positions)
    blocks = 3 + (size.categories > 0)
    width = config.features.width(num_blocks=blocks, num_attributes=size.attributes)
    length = config.features.history_length
    slots, ids = (length * blocks if "slots" in reads else 0), (length if "items" in reads else 0)
    row = 2 * (width + slots) + 4 * ids + 7
    rows = positions * (1 + samples.negatives)
    share = present / max(size.devices, 1)
    prepared = rows * row
    if config.method != "centralized":
        prepared = min(prepared, PREPARED_BYTES + int(prepared * share))
    return Need(
        "devices",
        prepared + size.devices * 512,
        # Features in the making; shards of those that take part, here and in the worker.
        prepared + int(2 * rows * row * share),
        rows * width * 8 / _SPARSE_FLOPS,
        f"{rows:,} samples of {size.devices:,} devices (samples.negatives={samples.negatives}, "
        f"samples.max_positions={samples.max_positions}), {present:,} devices in a round "
        "(participation.devices_per_round)",
    )


def in_words(number: float) -> str:
    """Bytes for a person.

    >>> in_words(19_010_000_000), in_words(4_200_000)
    ('19.0 GB', '4 MB')
    """
    return f"{number / 1e9:,.1f} GB" if number >= 1e8 else f"{number / 1e6:,.0f} MB"


def total_bytes(needs: Sequence[Need]) -> int:
    """Most that is allocated at once: what earlier phases kept, and what the present one has."""
    kept, most = 0, 0
    for need in needs:
        most = max(most, kept + need.bytes)
        kept += need.kept_bytes
    return _LIBRARIES + most


def check_needs(needs: Sequence[Need], *, what: str, available: int | None = None) -> int:
    """Refuses work that cannot fit into memory; warns of what will take long.

    Args:
      needs: of the phases, in their order.
      what: the work, in words.
      available: bytes that there are; by default what the system says.

    Returns:
      The bytes that the work needs at most.

    Raises:
      ResourceError: the memory that is available does not suffice; with all numbers.
    """
    available = available_bytes() if available is None else available
    needed = total_bytes(needs)
    largest = sorted(needs, key=lambda need: -need.bytes)[:2]
    reasons = "; ".join(
        f"{need.phase} {in_words(need.bytes)} ({need.settings})" for need in largest
    )
    if available is not None and needed > available:
        raise ResourceError(
            f"{what} would need about {in_words(needed)} of memory, {in_words(available)} are "
            f"available. Most of it: {reasons}. Change these settings, leave out rare items and "
            "users (filters in the schema), or take a machine with more memory."
        )
    seconds = sum(need.seconds for need in needs)
    if seconds > _LONG_SECONDS:
        longest = max(needs, key=lambda need: need.seconds)
        _log.warning(
            "%s will take about %.0f minutes before its first round on two cores, most of it for "
            "%s (%s)",
            what,
            seconds / 60,
            longest.phase,
            longest.settings,
        )
    return needed
