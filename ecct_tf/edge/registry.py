"""The builder that the name of an edge model stands for.

A name is one of the library's tiers, one that an installed package registers under the entry
point group `ecct_tf.edge_models`, or `module:name`, which is imported. Nothing is imported
before a model is asked for.
"""

import difflib
import importlib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecct_tf.config import Tier
from ecct_tf.config.edge_names import target_of
from ecct_tf.edge.model import EdgeSpec
from ecct_tf.errors import ConfigError

__all__ = ["find_builder"]


def find_builder(tier: Tier, *, setting: str = "edge.tiers") -> Callable[[EdgeSpec], Any]:
    """The builder that a name stands for; imports its module.

    Raises:
      ConfigError: when nothing has the name, when its module cannot be imported, with the place
        where that failed, or when the module has no such function.
    """
    module_name, _, name = target_of(tier, setting=setting).partition(":")
    what = f"{setting}: edge model {tier!r}"
    try:
        module = importlib.import_module(module_name)
    # A script may end the program when it is imported; a run names what did.
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{what}: {_not_imported(module_name, error)}") from error
    builder = getattr(module, name, None)
    if not callable(builder):
        public = [other for other, value in vars(module).items() if callable(value)]
        known = difflib.get_close_matches(name, public, n=1)
        hint = f"; did you mean {module_name}:{known[0]}?" if known else ""
        there = "has none" if builder is None else f"has {builder!r} of that name"
        raise ConfigError(
            f"{what}: expected a function {name} in the module {module_name}, which {there}{hint}"
        )
    found: Callable[[EdgeSpec], Any] = builder
    return found


def _not_imported(module: str, error: BaseException) -> str:
    """What failed while `module` was imported, and where."""
    if isinstance(error, ModuleNotFoundError) and _is_part(error.name, module):
        return (
            f"there is no module {error.name}: install its package, or run the command in the "
            f"folder where {module.split('.')[0]} lies"
        )
    frames = traceback.extract_tb(error.__traceback__)
    machinery = str(Path(importlib.__file__).parent)
    own = [frame for frame in frames if not frame.filename.startswith(("<frozen", machinery))]
    # The innermost place outside of the machinery of imports.
    place = f" at {Path(own[-1].filename).name}, line {own[-1].lineno}" if len(own) > 1 else ""
    if isinstance(error, SyntaxError) and error.filename is not None:
        place = f" at {Path(error.filename).name}, line {error.lineno}"
    return f"importing {module} failed{place}: {type(error).__name__}: {error}"


def _is_part(missing: str | None, module: str) -> bool:
    return missing is not None and (module == missing or module.startswith(f"{missing}."))
