"""The dataset and the split that a `data` section of a configuration names."""

import dataclasses
import logging
from pathlib import Path

import numpy as np

from ecct_tf.config import IN_MEMORY, DataConfig
from ecct_tf.data.dataset import Dataset
from ecct_tf.data.files import load_files
from ecct_tf.data.heavy_users import without_heavy_users
from ecct_tf.data.named import load_named
from ecct_tf.data.short_histories import shortened
from ecct_tf.data.split import Split, leave_one_out
from ecct_tf.data.synthetic import SyntheticConfig, synthetic_dataset
from ecct_tf.data.temporal import temporal_split
from ecct_tf.errors import DataError

__all__ = ["described", "load_dataset", "refuse_in_memory", "shorten_dataset", "split_dataset"]

_log = logging.getLogger(__name__)


def load_dataset(
    config: DataConfig, *, seed: int, progress: bool = True, opened: bool = False
) -> Dataset:
    """Loads or generates the dataset that the configuration names, with the histories it keeps.

    Args:
      config: the data section of a run.
      seed: of the run.
      progress: whether a download may show a progress bar.
      opened: whether the run is there already: what its making warned of is then logged as
        information.

    Raises:
      ConfigError: the schema file is wrong, or a data set of a user's own cannot be loaded.
      DataError: a file is missing or wrong, or the data is in no file (`in-memory`).

    Example:
      >>> load_dataset(DataConfig(dataset="synthetic", synthetic_users=8), seed=0).num_users
      8
    """
    refuse_in_memory(config)
    source = _source(config, seed=seed)
    level = logging.INFO if opened else logging.WARNING
    dataset = _load(config, seed=seed, progress=progress, level=level)
    dataset = shorten_dataset(config, dataset, opened=opened)
    return dataclasses.replace(dataset, source=source)


def shorten_dataset(config: DataConfig, dataset: Dataset, *, opened: bool = False) -> Dataset:
    """The dataset with the interactions that `data.keep_first` or `data.keep_last` keeps.

    What is left out is counted in a warning, or in a line of information where the run is
    `opened`. To shorten twice changes nothing more.
    """
    short, count = shortened(dataset, keep_first=config.keep_first, keep_last=config.keep_last)
    if count is not None:
        level = logging.INFO if opened else logging.WARNING
        _log.log(level, "data set %r: %s", dataset.name, count.told)
    return short


def refuse_in_memory(config: DataConfig) -> None:
    """Raises `DataError` if the configuration names data that only a program has."""
    if config.dataset != IN_MEMORY:
        return
    which = "data in memory"
    if config.fingerprint is not None:
        which = f"the data set {config.name!r} (SHA-256 {config.fingerprint})"
    raise DataError(
        f"data.dataset=in-memory: {which} was handed over by a program and is in no file, so that "
        "it cannot be loaded. Hand it over again, in Python: ecct_tf.open_run(path, data=...), "
        "simulate(config, dataset=...) or resume(path, dataset=...)."
    )


def described(config: DataConfig, dataset: Dataset, *, seed: int) -> DataConfig:
    """The configuration with what `dataset` really is.

    Args:
      config: the data section of a run.
      dataset: the data that the run was handed.
      seed: of the run.

    Returns:
      `config`, if `load_dataset` loaded the data by it; else one that files the data as
      `in-memory`, with its own name and fingerprint.

    Raises:
      DataError: `config` has the fingerprint of other data.
    """
    if dataset.source is not None and dataset.source == _source(config, seed=seed):
        return config
    fingerprint = dataset.fingerprint()
    if config.fingerprint not in (None, fingerprint):
        raise DataError(
            f"expected the data set {config.name!r} with SHA-256 {config.fingerprint}, received "
            f"{dataset.name!r} with {fingerprint}. Hand over the data that the configuration was "
            "written with, or set data.name and data.fingerprint to null."
        )
    return dataclasses.replace(
        config,
        dataset=IN_MEMORY,
        folder=None,
        schema=None,
        name=dataset.name,
        fingerprint=fingerprint,
    )


def _source(config: DataConfig, *, seed: int) -> str:
    """What decides which data `load_dataset` loads."""
    parts: list[object] = [config.dataset, config.folder, config.schema]
    parts += [config.keep_first, config.keep_last]
    if config.dataset == "synthetic":
        parts += [config.synthetic_users, config.synthetic_items, seed]
    return repr(parts)


def _load(config: DataConfig, *, seed: int, progress: bool, level: int) -> Dataset:
    if config.dataset == "synthetic":
        return synthetic_dataset(
            SyntheticConfig(users=config.synthetic_users, items=config.synthetic_items, seed=seed)
        )
    if config.schema is not None:
        dataset, report = load_files(config.schema)
        for line in report.left_out:
            _log.log(level, "%s: %s", config.schema, line)
        for note in report.notes:
            _log.log(level, "%s", note)
        return dataset
    folder = None if config.folder is None else Path(config.folder)
    return load_named(config.dataset, folder=folder, progress=progress)


def split_dataset(config: DataConfig, dataset: Dataset) -> Split:
    """Splits as the configuration says.

    Raises:
      DataError: the dataset has longer histories than the configuration keeps, or the split
        leaves nobody.
    """
    kept = config.keep_first or config.keep_last
    longest = int(np.bincount(dataset.users).max())
    if kept is not None and longest > kept:
        raise DataError(
            f"data set {dataset.name!r}: expected at most {kept} interactions of each user, as "
            f"data.{'keep_first' if config.keep_first else 'keep_last'} says, received {longest}. "
            "Shorten it with shorten_dataset before it is split."
        )
    if config.split == "temporal":
        split = temporal_split(
            dataset,
            validation_fraction=config.validation_fraction,
            test_fraction=config.test_fraction,
            recent_fraction=config.recent_fraction,
        )
    else:
        split = leave_one_out(dataset, recent_fraction=config.recent_fraction)
    return without_heavy_users(split, max_item_share=config.max_item_share)
