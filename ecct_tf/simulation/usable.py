"""Whether a run can use its data: everything that is known before anything is computed.

A run and `ecct data check` ask the same question here.
"""

import logging

from ecct_tf.config import EDGE_METHODS, RunConfig
from ecct_tf.config.cloud_names import BUILT_IN_CLOUD
from ecct_tf.data import Dataset, Kind, Side, Split, refuse_heavy_users
from ecct_tf.data.heavy_users import distinct_counts
from ecct_tf.errors import ConfigError, DataError

__all__ = ["check_start_histories", "check_usable"]

_log = logging.getLogger(__name__)

# A history of which a share of nearly all leaves something.
_LONG = 10_000
# The methods that compute the cloud's item table; the quick baselines are among them.
_WITH_CLOUD = (*EDGE_METHODS, "cloud-only", "centralized")
# Those with starting weights where `edge.start` asks for them; DCCL always has some.
_STARTED = ("ecct", "centralized")


def check_usable(
    config: RunConfig, dataset: Dataset, split: Split, *, opened: bool = False
) -> None:
    """Refuses data that the run of `config` could not use.

    Args:
      config: the configuration.
      dataset: the data.
      split: of the data.
      opened: whether the run is there already: what its making warned of is then logged as
        information.

    Raises:
      DataError: a column would be dropped, there is no order in time, a user has no negative to
        train with, or the cloud has nothing to learn from or to train starting weights on.
      ConfigError: the cloud's embeddings are wider than the catalogue.
    """
    level = logging.INFO if opened else logging.WARNING
    _refuse_unread_columns(config, dataset, level=level)
    _refuse_one_time(dataset)
    counts = distinct_counts(split, split.train_counts)[split.users]
    touched = dict(zip(split.users.tolist(), counts.tolist(), strict=True))
    refuse_heavy_users(
        touched,
        num_items=split.num_items,
        needed=1,
        what="training",
        user_tokens=dataset.user_tokens,
    )
    untouched = [split.num_items - count for count in touched.values()]
    _tell_of_repeated_negatives(config, untouched, level=level)
    if len(split.users) and (config.baselines or config.method in _WITH_CLOUD):
        _check_cloud(config, split)


def _refuse_unread_columns(config: RunConfig, dataset: Dataset, *, level: int) -> None:
    """A column that nobody reads must not vanish without a word."""
    # A custom cloud may read all that is centralized.
    built_in = config.cloud.model == BUILT_IN_CLOUD
    for encoded in (*dataset.user_columns, *dataset.item_columns):
        if built_in and encoded.column.kind is Kind.VECTOR:
            _log.log(
                level,
                "data set %r: column %r holds vectors, which cloud.model=%s does not read; a cloud "
                "of your own does",
                dataset.name,
                encoded.column.name,
                BUILT_IN_CLOUD,
            )
    for encoded in dataset.user_columns:
        column = encoded.column
        if column.kind is Kind.NUMERIC and column.side is Side.CENTRALIZED and built_in:
            raise DataError(
                f"data set {dataset.name!r}: user column {column.name!r} is numeric and "
                f"centralized, and cloud.model={BUILT_IN_CLOUD} reads a user's columns as "
                "categories. Group the numbers and declare the column categorical (in a schema "
                "file: borders), leave it to devices (side: federated), or take it out of the "
                "schema."
            )


def _refuse_one_time(dataset: Dataset) -> None:
    """Without an order in time nothing is newest, and the split would hold out anything."""
    first = int(dataset.timestamps.min())
    if dataset.num_interactions > 1 and first == int(dataset.timestamps.max()):
        raise DataError(
            f"data set {dataset.name!r}: all {dataset.num_interactions:,} interactions have the "
            f"time {first}, expected times that put each user's interactions in order, since the "
            "newest are held out. Give the column with the times, or, if the rows are in order of "
            "time already, number them 0, 1, 2, … in a separate column."
        )


def _tell_of_repeated_negatives(config: RunConfig, left: list[int], *, level: int) -> None:
    """Counts the users who leave fewer items untouched than their rows have negatives.

    Args:
      config: of the run.
      left: of each user, the items without those that are trained with.
      level: of the line in the log.
    """
    for key, negatives in _drawn(config).items():
        short = sum(count < negatives for count in left)
        if short:
            _log.log(
                level,
                "%d of %d users leave fewer items untouched than %s=%d asks for: a position has "
                "each of them as a negative, some more than once. With %s=%d none is repeated.",
                short,
                len(left),
                key,
                negatives,
                key,
                min(left),
            )


def _drawn(config: RunConfig) -> dict[str, int]:
    """The settings by which the run's method draws negatives to train with."""
    federated = config.federated_baseline
    if config.method in ("fedavg", "fedprox", "fine-tuning", "fedmd"):
        return {"federated_baseline.negatives": federated.negatives}
    if config.method in ("pfedrec", "fedrecon"):
        drawn_by = getattr(federated, config.method)
        return {f"federated_baseline.{config.method}.negatives": drawn_by.negatives}
    if config.method == "centralized":
        return {"centralized.negatives": config.centralized.negatives}
    drawn = {}
    if config.method in EDGE_METHODS:
        drawn["samples.negatives"] = config.samples.negatives
        if config.method == "dccl" or (config.method == "ecct" and config.edge.start == "cloud"):
            drawn["start.negatives"] = config.start.negatives
    if config.method in ("ecct", "cloud-only"):
        drawn["cloud.negatives"] = config.cloud.negatives
    return drawn


def _check_cloud(config: RunConfig, split: Split) -> None:
    longest = int(split.older_counts.max())
    if config.data.recent_fraction == 1:
        _check_without_history(config)
    elif longest < 2:
        train = int(split.train_counts.max())
        held_out = " before the first cut" if split.cuts else ", and 2 more that are held out"
        way_out = (
            f"Lower data.recent_fraction to {max(train - 2, 1) / train:.2f} or less"
            if train > 2
            else f"Bring users with 3 interactions{held_out}"
        )
        raise DataError(
            f"the cloud would know at most {longest} older interaction of each user, expected 2 or "
            f"more of at least one user, since it learns which items follow each other. The "
            f"longest history has {train} interactions for training, of which data.recent_fraction="
            f"{config.data.recent_fraction:g} stay on the device. {way_out}."
        )
    if config.cloud.rank > split.num_items:
        raise ConfigError(
            f"cloud.rank: expected at most the number of items, {split.num_items}, got "
            f"{config.cloud.rank}. Lower it, or bring a larger catalogue."
        )
    starts = config.method == "dccl" or (config.method in _STARTED and config.edge.start == "cloud")
    if starts and config.data.recent_fraction < 1:
        check_start_histories(config, longest)


def _check_without_history(config: RunConfig) -> None:
    """All that a cloud without interactions can know of items is what devices tell it.

    Raises:
      ConfigError: the run expects more of it.
    """
    if config.method == "dccl":
        raise ConfigError(
            "method=dccl: with data.recent_fraction=1 the cloud knows no interaction to train "
            "starting weights on, which devices could fine-tune; expected another method, or a "
            "smaller data.recent_fraction"
        )
    if config.method in _STARTED and config.edge.start == "cloud":
        raise ConfigError(
            "edge.start=cloud: with data.recent_fraction=1 the cloud knows no interaction to train "
            "starting weights on; expected edge.start=random, which needs more and larger steps "
            "(docs: Devices hold everything), or a smaller data.recent_fraction"
        )
    increments = config.exchange.item_increments
    if config.method == "ecct" and config.exchange.up and not increments.positions:
        raise ConfigError(
            "exchange.item_increments.positions: with data.recent_fraction=1 the cloud knows of no "
            "pair of items but what devices tell it, expected a number above 0, such as 256 with a "
            "sketch wide enough for all pairs (docs: Devices hold everything), got "
            f"{'null' if increments.positions is None else 0}"
        )


def check_start_histories(config: RunConfig, longest: int) -> None:
    """Refuses histories of which the cloud that starting weights are trained with knows no pair.

    Args:
      config: of a run that trains starting weights.
      longest: the most older interactions of a user.

    Raises:
      DataError: with what would help.
    """
    start = config.start
    if start.left_of(longest) > 1 or config.cloud.model != BUILT_IN_CLOUD:
        return
    needed = next((size for size in range(3, _LONG) if start.left_of(size) > 1), None)
    ways = ["Lower start.inner_fraction"]
    if needed is not None:
        ways = [f"Bring a user with {needed} or more older ones", "lower data.recent_fraction"]
    # The method is nothing without starting weights.
    ways += [] if config.method == "dccl" else ["set edge.start=random"]
    raise DataError(
        f"the cloud knows at most {longest} older interactions of each user, of which it trains "
        f"the devices' starting weights on the newest {longest - start.left_of(longest)} "
        f"(start.inner_fraction={start.inner_fraction:g}) with a cloud that knows the others: "
        "expected 2 or more others of at least one user, since that cloud learns which items "
        f"follow each other. {', or '.join(ways)}."
    )
