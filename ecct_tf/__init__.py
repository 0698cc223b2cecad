"""ECCT-TF: edge-cloud collaborative training of recommenders with TensorFlow Federated.

Devices train a small private model on their own interactions and profile; the
cloud trains a large model on what it may see. Only embeddings and logits cross
between them, through declared structures, and each side learns from the other.

This is the face of the library: data (`from_frames`), a run of them (`simulate`,
`open_run`), and what a run gives (`Run`: figures, recommendations, a report, files
for phones). A name is imported when it is first used, so that the import itself
takes no time; everything else is in the packages below.

Example:
  >>> import ecct_tf as ecct
  >>> clicks = {"user": ["ann", "bob"], "item": ["tea", "tea"], "timestamp": [1, 2]}
  >>> ecct.from_frames(clicks).num_items
  1
"""

from importlib import import_module

from ecct_tf.version import __version__

# Type checkers take this name for true. `typing` itself is not imported: a stop in a command's
# first moments is answered once this module is there.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from cloud.ranker import RankerCloud
    from cloud.two_tower import CloudSpec, TwoTowerCloud
    from ecct_tf.config import RunConfig, dump_config, load_config
    from ecct_tf.data import (
        Column,
        Dataset,
        FeatureSchema,
        Kind,
        Side,
        SyntheticConfig,
        build_dataset,
        from_frames,
        leave_one_out,
        load_dataset,
        load_files,
        synthetic_dataset,
        temporal_split,
    )
    from ecct_tf.errors import EcctError
    from ecct_tf.evaluation import Metrics, evaluate_scores, paired_interval
    from ecct_tf.runs.recommendations import Recommendations
    from ecct_tf.runs.run import Run, open_run
    from ecct_tf.runs.starting import simulate

# Where each name is; `TYPE_CHECKING` says the same to tools, and a test holds the two together.
_HOMES = {
    "cloud.ranker": ("RankerCloud",),
    "cloud.two_tower": ("CloudSpec", "TwoTowerCloud"),
    "ecct_tf.config": ("RunConfig", "dump_config", "load_config"),
    "ecct_tf.data": (
        *("Column", "Dataset", "FeatureSchema", "Kind", "Side", "SyntheticConfig"),
        *("build_dataset", "from_frames", "leave_one_out", "load_dataset", "load_files"),
        *("synthetic_dataset", "temporal_split"),
    ),
    "ecct_tf.errors": ("EcctError",),
    "ecct_tf.evaluation": ("Metrics", "evaluate_scores", "paired_interval"),
    "ecct_tf.runs.recommendations": ("Recommendations",),
    "ecct_tf.runs.run": ("Run", "open_run"),
    "ecct_tf.runs.starting": ("simulate",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "CloudSpec",
    "Column",
    "Dataset",
    "EcctError",
    "FeatureSchema",
    "Kind",
    "Metrics",
    "RankerCloud",
    "Recommendations",
    "Run",
    "RunConfig",
    "Side",
    "SyntheticConfig",
    "TwoTowerCloud",
    "__version__",
    "build_dataset",
    "dump_config",
    "evaluate_scores",
    "from_frames",
    "leave_one_out",
    "load_config",
    "load_dataset",
    "load_files",
    "open_run",
    "paired_interval",
    "simulate",
    "synthetic_dataset",
    "temporal_split",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    # The next access finds it without this function.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
