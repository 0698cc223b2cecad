"""From raw ratings to two sides that cannot see each other.

A `FeatureSchema` tags every column federated or centralized. A `Dataset`
(`load_movielens_100k`, `load_movielens_1m`, `load_movielens_latest_small`,
`load_complete_journey`, `synthetic_dataset`, `load_files` for your own files,
`from_frames` or `build_dataset` for tables in memory) is what only the simulator holds.
`leave_one_out` or `temporal_split` cuts each user's interactions into older,
recent, validation and test; a `DataReport` and a `SplitReport` count what was
left out. From dataset and split come the two sides: `cloud_view`, with older
interactions and centralized columns, and `device_view`, with one user's
training history and federated columns. Their types refuse the other side's
columns with a `PrivacyError`. `sample_negatives` serves training without a
leak, `evaluation_candidates` fixes what is ranked, and `user_devices` or
`dirichlet_devices` say which users share a device. `skewed` makes devices
uneven on purpose. No module here imports TensorFlow.
"""

from ecct_tf.data.candidates import Candidates, evaluation_candidates
from ecct_tf.data.complete_journey import COMPLETE_JOURNEY_SCHEMA, load_complete_journey
from ecct_tf.data.dataset import Dataset, build_dataset
from ecct_tf.data.device_groups import DeviceGroups
from ecct_tf.data.files import load_files
from ecct_tf.data.files_schema import FilesSchema, read_files_schema
from ecct_tf.data.filters import FilterCount
from ecct_tf.data.heavy_users import refuse_heavy_users, touched_counts, without_heavy_users
from ecct_tf.data.in_memory import from_frames
from ecct_tf.data.movielens import MOVIELENS_100K_SCHEMA, load_movielens_100k
from ecct_tf.data.movielens_1m import MOVIELENS_1M_SCHEMA, load_movielens_1m
from ecct_tf.data.movielens_latest_small import (
    MOVIELENS_LATEST_SMALL_SCHEMA,
    load_movielens_latest_small,
)
from ecct_tf.data.named import changed_datasets, dataset_origins, load_named
from ecct_tf.data.negatives import (
    BulkNegatives,
    sample_distinct_negatives,
    sample_negatives,
)
from ecct_tf.data.partition import dirichlet_devices, user_devices
from ecct_tf.data.report import (
    ColumnReport,
    DataReport,
    FileReport,
    SplitReport,
    split_report,
)
from ecct_tf.data.schema import Column, FeatureSchema, Kind, Side
from ecct_tf.data.short_histories import shortened
from ecct_tf.data.skew import SkewReport, skew_report, skewed
from ecct_tf.data.sources import (
    described,
    load_dataset,
    refuse_in_memory,
    shorten_dataset,
    split_dataset,
)
from ecct_tf.data.split import PARTS, Part, Split, leave_one_out, undivided
from ecct_tf.data.synthetic import SYNTHETIC_SCHEMA, SyntheticConfig, synthetic_dataset
from ecct_tf.data.tables import CentralizedTable, EncodedColumn, FederatedTable
from ecct_tf.data.tastes import taste_clusters
from ecct_tf.data.temporal import temporal_split
from ecct_tf.data.views import CloudView, DeviceView, OlderInteractions, cloud_view, device_view

__all__ = [
    "COMPLETE_JOURNEY_SCHEMA",
    "MOVIELENS_1M_SCHEMA",
    "MOVIELENS_100K_SCHEMA",
    "MOVIELENS_LATEST_SMALL_SCHEMA",
    "PARTS",
    "SYNTHETIC_SCHEMA",
    "BulkNegatives",
    "Candidates",
    "CentralizedTable",
    "CloudView",
    "Column",
    "ColumnReport",
    "DataReport",
    "Dataset",
    "DeviceGroups",
    "DeviceView",
    "EncodedColumn",
    "FeatureSchema",
    "FederatedTable",
    "FileReport",
    "FilesSchema",
    "FilterCount",
    "Kind",
    "OlderInteractions",
    "Part",
    "Side",
    "SkewReport",
    "Split",
    "SplitReport",
    "SyntheticConfig",
    "build_dataset",
    "changed_datasets",
    "cloud_view",
    "dataset_origins",
    "described",
    "device_view",
    "dirichlet_devices",
    "evaluation_candidates",
    "from_frames",
    "leave_one_out",
    "load_complete_journey",
    "load_dataset",
    "load_files",
    "load_movielens_1m",
    "load_movielens_100k",
    "load_movielens_latest_small",
    "load_named",
    "read_files_schema",
    "refuse_heavy_users",
    "refuse_in_memory",
    "sample_distinct_negatives",
    "sample_negatives",
    "shorten_dataset",
    "shortened",
    "skew_report",
    "skewed",
    "split_dataset",
    "split_report",
    "synthetic_dataset",
    "taste_clusters",
    "temporal_split",
    "touched_counts",
    "undivided",
    "user_devices",
    "without_heavy_users",
]
