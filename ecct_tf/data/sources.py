"""The dataset and the split that a `data` section of a configuration names."""

import logging
from pathlib import Path

from ecct_tf.config import DataConfig
from ecct_tf.data.dataset import Dataset
from ecct_tf.data.files import load_files
from ecct_tf.data.heavy_users import without_heavy_users
from ecct_tf.data.movielens import load_movielens_100k
from ecct_tf.data.movielens_1m import load_movielens_1m
from ecct_tf.data.split import Split, leave_one_out
from ecct_tf.data.synthetic import SyntheticConfig, synthetic_dataset
from ecct_tf.data.temporal import temporal_split

__all__ = ["load_dataset", "split_dataset"]

_log = logging.getLogger(__name__)


def load_dataset(config: DataConfig, *, seed: int, progress: bool = True) -> Dataset:
    """Loads or generates the dataset that the configuration names."""
    if config.dataset == "synthetic":
        return synthetic_dataset(
            SyntheticConfig(users=config.synthetic_users, items=config.synthetic_items, seed=seed)
        )
    if config.schema is not None:
        dataset, report = load_files(config.schema)
        for line in report.left_out:
            _log.warning("%s: %s", config.schema, line)
        for note in report.notes:
            _log.warning("%s", note)
        return dataset
    load = load_movielens_1m if config.dataset == "movielens-1m" else load_movielens_100k
    return load(folder=None if config.folder is None else Path(config.folder), progress=progress)


def split_dataset(config: DataConfig, dataset: Dataset) -> Split:
    """Splits as the configuration says."""
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
