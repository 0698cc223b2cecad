"""Names of data sets: what there is, and what a name stands for; nothing is imported."""

from ecct_tf.config.part_names import PartNames

__all__ = [
    "DATASETS",
    "DATA_ENTRY_POINTS",
    "IN_MEMORY",
    "check_dataset_name",
    "dataset_names",
    "dataset_target",
    "is_own_dataset",
]

DATA_ENTRY_POINTS = "ecct_tf.datasets"
"""The group of entry points under which packages register data sets."""

IN_MEMORY = "in-memory"
"""What a run is filed as whose data a program handed over; it cannot be loaded by that name."""

_NAMES = PartNames(
    "a data set",
    DATA_ENTRY_POINTS,
    {
        "movielens-100k": "ecct_tf.data.movielens:load_movielens_100k",
        "movielens-1m": "ecct_tf.data.movielens_1m:load_movielens_1m",
        "movielens-latest-small": "ecct_tf.data.movielens_latest_small:load_movielens_latest_small",
        "complete-journey": "ecct_tf.data.complete_journey:load_complete_journey",
        "synthetic": "ecct_tf.data.synthetic:synthetic_dataset",
        "files": "ecct_tf.data.files:load_files",
    },
    "a name such as movielens-100k, or module:name such as my_pkg.data:clicks",
    setting="data.dataset",
    any_form=True,
)

DATASETS = tuple(_NAMES.own)
"""The library's own data sets, and `files` for a user's."""

dataset_names = _NAMES.known
"""`() -> dict`: the names that need no module, each with the `module:name` it stands for."""

dataset_target = _NAMES.target_of
"""`(name, *, setting) -> str`: its `module:name`, or a `ConfigError` that lists what there is."""


def is_own_dataset(name: str) -> bool:
    """Whether the library itself loads the data set, or a program handed it over."""
    return _NAMES.is_own(name) or name == IN_MEMORY


def check_dataset_name(name: str, *, setting: str | None = None) -> None:
    """Refuses what names no data set; nothing is imported.

    Raises:
      ConfigError: nothing has the name, which lists what there is, or it is no `module:name`.
    """
    if name != IN_MEMORY:
        _NAMES.check(name, setting=setting)
