"""The data set that a name stands for: the library's, a package's, or `module:name`."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ecct_tf.config import dataset_target, is_own_dataset
from ecct_tf.data.dataset import Dataset
from ecct_tf.errors import ConfigError
from ecct_tf.plugins import Origin, changes_of, find_function, guarded, origin_of

__all__ = ["changed_datasets", "dataset_origins", "load_named"]

# What a function is told if it has a parameter of the name.
_TOLD = ("folder", "progress")
_HINT = (
    ". Its arguments are told by name: folder, the path in data.folder or None, and progress, "
    "whether it may draw a bar; it takes what it needs of them."
)


def load_named(name: str, *, folder: Path | None = None, progress: bool = True) -> Dataset:
    """Calls the function that the name stands for; imports its module.

    Args:
      name: of published data, of a package's, or `module:name`.
      folder: where the data lies; None where the function knows.
      progress: whether it may draw a bar.

    Raises:
      ConfigError: nothing has the name; the module cannot be imported; or its function fails, takes
        other arguments or no folder although there is one, or returns no data set.
      DataError: published data is missing or damaged.

    Example:
      >>> load_named("ecct_tf.data:synthetic_dataset").num_users
      256
    """
    target, what = dataset_target(name), _what(name)
    function = find_function(target, what=what)
    if is_own_dataset(name):
        published: Dataset = function(folder=folder, progress=progress)
        return published
    given = _arguments(function, what=what, folder=folder, progress=progress)
    with guarded(what, module=target.partition(":")[0]):
        found = function(**given)
    if not isinstance(found, Dataset):
        raise ConfigError(
            f"{what}: expected {target} to return an ecct_tf.Dataset, as ecct_tf.from_frames makes "
            f"one of tables, got {type(found).__name__}"
        )
    return found


def dataset_origins(name: str) -> dict[str, Origin]:
    """What is to be recorded of a data set that is not the library's own, by its name.

    Raises:
      ConfigError: it cannot be imported.
    """
    if is_own_dataset(name):
        return {}
    return {name: origin_of(dataset_target(name), what=_what(name))}


def changed_datasets(name: str, recorded: Mapping[str, Origin]) -> list[str]:
    """What changed in the source of a data set since it was recorded, in words.

    Raises:
      ConfigError: it cannot be imported.
    """
    return changes_of(dataset_origins(name), recorded, what=_what)


def _arguments(
    function: Callable[..., Any], *, what: str, folder: Path | None, progress: bool
) -> dict[str, Any]:
    """What to call a user's function with: of what can be told, that which it takes."""
    parameters = inspect.signature(function).parameters.values()
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    taken = {each.name for each in parameters if each.kind in by_name}
    needed = [
        each.name
        for each in parameters
        if each.default is each.empty
        and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        and (each.name not in _TOLD or each.name not in taken)
    ]
    if needed:
        raise ConfigError(
            f"{what}: expected a function that can be called without {', '.join(needed)}{_HINT}"
        )
    if folder is not None and not takes_any and "folder" not in taken:
        raise ConfigError(
            f"data.folder: expected null with {what}, whose function takes no folder, got {folder}"
        )
    told = {"folder": folder, "progress": progress}
    return {key: value for key, value in told.items() if takes_any or key in taken}


def _what(name: str) -> str:
    return f"data.dataset {name!r}"
