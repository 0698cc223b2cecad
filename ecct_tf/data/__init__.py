"""From raw ratings to two sides that cannot see each other.

A `FeatureSchema` tags every column federated or centralized. A `Dataset`
(`load_movielens_100k`, `synthetic_dataset` or `build_dataset` for your own
tables) is what only the simulator holds. `leave_one_out` cuts each user's
interactions into older, recent, validation and test. From dataset and split
come the two sides: `cloud_view`, with older interactions and centralized
columns, and `device_view`, with one user's training history and federated
columns. Their types refuse the other side's columns with a `PrivacyError`.
`sample_negatives` serves training without a leak, `evaluation_candidates`
fixes what is ranked, and `user_devices` or `dirichlet_devices` say which
users share a device. No module here imports TensorFlow.
"""

from ecct_tf.data.candidates import Candidates, evaluation_candidates
from ecct_tf.data.dataset import Dataset, build_dataset
from ecct_tf.data.movielens import MOVIELENS_100K_SCHEMA, load_movielens_100k
from ecct_tf.data.negatives import sample_negatives
from ecct_tf.data.partition import dirichlet_devices, user_devices
from ecct_tf.data.schema import Column, FeatureSchema, Kind, Side
from ecct_tf.data.split import Split, leave_one_out
from ecct_tf.data.synthetic import SYNTHETIC_SCHEMA, SyntheticConfig, synthetic_dataset
from ecct_tf.data.tables import CentralizedTable, EncodedColumn, FederatedTable
from ecct_tf.data.views import CloudView, DeviceView, OlderInteractions, cloud_view, device_view

__all__ = [
    "MOVIELENS_100K_SCHEMA",
    "SYNTHETIC_SCHEMA",
    "Candidates",
    "CentralizedTable",
    "CloudView",
    "Column",
    "Dataset",
    "DeviceView",
    "EncodedColumn",
    "FeatureSchema",
    "FederatedTable",
    "Kind",
    "OlderInteractions",
    "Side",
    "Split",
    "SyntheticConfig",
    "build_dataset",
    "cloud_view",
    "device_view",
    "dirichlet_devices",
    "evaluation_candidates",
    "leave_one_out",
    "load_movielens_100k",
    "sample_negatives",
    "synthetic_dataset",
    "user_devices",
]
