"""What all methods of a run share: the data, its split, who holds what, and the candidates."""

import dataclasses
import functools
import hashlib
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecct_tf.budget import DataSize, check_needs, run_needs
from ecct_tf.config import TIERS, RunConfig
from ecct_tf.data import (
    Candidates,
    CloudView,
    Dataset,
    DeviceGroups,
    Kind,
    Side,
    Split,
    cloud_view,
    dirichlet_devices,
    evaluation_candidates,
    load_dataset,
    shorten_dataset,
    skewed,
    split_dataset,
    user_devices,
)
from ecct_tf.data.clock import silence, tells_time
from ecct_tf.data.context import with_context
from ecct_tf.data.held_items import placed_candidates
from ecct_tf.phases import phase
from ecct_tf.simulation.usable import check_usable

if TYPE_CHECKING:
    from ecct_tf.federated.prepared import PreparedDevices

__all__ = ["Experiment", "build_experiment"]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The data of a run, ready for any method.

    Attributes:
      config: the configuration.
      dataset: everything; each method takes the part of it that it may see.
      split: what is older, recent, for validation and for test.
      whole: the same before `data.skew` thinned it: whatever a user ever met is in it.
      validation: candidates of the validation interactions.
      test: candidates of the test interactions.
      groups: the users of each device.
      shared: what methods of one run have in common; a changed copy shares it.
    """

    config: RunConfig
    dataset: Dataset
    split: Split
    validation: Candidates
    test: Candidates
    groups: DeviceGroups
    whole: Split
    shared: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    def met_before(self, user: int, position: int) -> npt.NDArray[np.int32]:
        """`[m] int32`: all items that `user` met before its interaction at `position` of `split`.

        Those that `data.skew` took away are among them: the user met them all the same.
        """
        return self.whole.before(user, position + self._thinned(user))

    def _thinned(self, user: int) -> int:
        """Training interactions of `user` that `data.skew` took away."""
        return len(self.whole.touched(user)) - len(self.split.touched(user))

    @property
    def prepared(self) -> "PreparedDevices":
        """What the devices train on, as far as a method of the run prepared it."""
        # Checking data builds an experiment where there may be no TensorFlow.
        from ecct_tf.federated.prepared import PreparedDevices

        if "prepared" not in self.shared:
            self.shared["prepared"] = PreparedDevices()
        found: PreparedDevices = self.shared["prepared"]
        return found

    @property
    def view(self) -> CloudView:
        """The cloud's side of the data, made once: it is as large as what the cloud knows."""
        key = f"view of {id(self.dataset)} and {id(self.split)}"
        if key not in self.shared:
            # What it was made of is kept beside it, so that nothing can take over its identity.
            made = cloud_view(self.dataset, self.split), self.dataset, self.split
            self.shared[key] = made
        found: CloudView = self.shared[key][0]
        return found

    def fingerprint(self) -> str:
        """SHA-256 of the split interactions and the feature columns, in hexadecimal."""
        digest = hashlib.sha256()
        split = self.split
        columns = (*self.dataset.user_columns, *self.dataset.item_columns)
        arrays: list[npt.NDArray[Any]] = [column.values for column in columns]
        arrays += [split.items, split.timestamps, split.offsets, split.recent_counts]
        arrays += [split.validation_counts, split.test_counts]
        for array in arrays:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def build_experiment(
    config: RunConfig,
    *,
    dataset: Dataset | None = None,
    progress: bool = True,
    opened: bool = False,
) -> Experiment:
    """Loads and splits the data, draws the candidates and puts users on devices.

    Args:
      config: the configuration.
      dataset: data that is already loaded; otherwise what the configuration names.
      progress: whether a download may show a progress bar.
      opened: whether the run is there already: what its making warned of is then logged as
        information.

    Raises:
      ConfigError: the configuration does not fit the data, or an edge model cannot be built; the
        latter before data are read.
      DataError: the data is wrong, or a run of this configuration could not use it.
      ResourceError: the run would need more memory than there is.
    """
    reads = _reads(config)
    if dataset is None:
        with phase("reading the data"):
            dataset = load_dataset(config.data, seed=config.seed, progress=progress, opened=opened)
    else:
        dataset = shorten_dataset(config.data, dataset, opened=opened)
    whole = split_dataset(config.data, dataset)
    dataset, split = skewed(
        dataset,
        whole,
        config.data.skew,
        recent_fraction=config.data.recent_fraction,
        seed=config.seed,
    )
    thin, split = split, with_context(split, dataset, config.features, config.samples)
    whole = split if thin is whole else whole
    check_usable(config, dataset, split, opened=opened)
    check_needs(run_needs(_size(config, dataset, split), config, reads=reads), what="this run")
    _log_left_out(config, dataset, split, level=logging.INFO if opened else logging.WARNING)
    # Of all that users met: what is tested, and against what, does not move with data.skew.
    drawn = functools.partial(
        evaluation_candidates,
        whole,
        negatives=config.evaluation.negatives,
        seed=config.seed,
        devices=config.evaluation.devices,
        user_tokens=dataset.user_tokens,
    )
    return Experiment(
        config=config,
        dataset=dataset,
        split=split,
        validation=placed_candidates(drawn(part="validation"), whole, split),
        test=placed_candidates(drawn(part="test"), whole, split),
        groups=_device_groups(config, dataset, split),
        whole=whole,
    )


def _log_left_out(config: RunConfig, dataset: Dataset, split: Split, *, level: int) -> None:
    """Logs which users take no part, and a clock that tells no time."""
    if len(split.heavy_users):
        _log.log(
            level,
            "%d of %d users touched more than data.max_item_share=%g of the items and are left out",
            len(split.heavy_users),
            split.num_users,
            config.data.max_item_share,
        )
    if split.excluded_users:
        _log.log(
            level,
            "%d of %d users have too few interactions for data.split=%s and are excluded",
            split.excluded_users,
            split.num_users,
            config.data.split,
        )
    if config.features.clock and not tells_time(dataset.timestamps):
        _log.log(level, "%s", silence(dataset.name, dataset.timestamps))


def _reads(config: RunConfig) -> set[str]:
    """What takes memory of what the edge models read; builds those that are not the library's."""
    present = {tier for tier, share in config.edge.tiers.items() if share > 0}
    # `ecct data check` need not wait for TensorFlow, in which models are built.
    if present <= set(TIERS):
        return {"slots"} if "attention" in present else set()
    from ecct_tf.data.outcomes import target_names
    from ecct_tf.edge import check_edge_models

    models = check_edge_models(config.edge, config.features, targets=target_names(config.samples))
    return {read for model in models.values() for read in model.reads}


def _size(config: RunConfig, dataset: Dataset, split: Split) -> DataSize:
    older = int(split.older_counts.sum())
    trained = int(split.train_counts.sum())
    columns = [c for c in dataset.item_columns if c.column.side is Side.CENTRALIZED]
    numeric = [c for c in columns if c.column.kind is Kind.NUMERIC]
    return DataSize(
        users=dataset.num_users,
        items=dataset.num_items,
        older=older,
        recent=trained - older,
        devices=config.data.nodes or len(split.users),
        categories=sum(len(c.vocabulary) for c in columns),
        attributes=1 + len(numeric) + config.cloud.item_places,
    )


def _device_groups(config: RunConfig, dataset: Dataset, split: Split) -> DeviceGroups:
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
    return DeviceGroups(dataset, split, groups)


def _activity_labels(split: Split, groups: int = 8) -> npt.NDArray[np.int64]:
    """`[users] int64`, by which edge nodes differ: how active a user is, in `groups` steps."""
    lengths = split.train_counts[split.users]
    edges = np.quantile(lengths, np.linspace(0, 1, groups + 1)[1:-1])
    return np.searchsorted(edges, lengths)
