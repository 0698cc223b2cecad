"""Modules of the repository that no import reaches: what several test modules share, and scripts.

`pythonpath` in `pyproject.toml` makes this folder importable. The folders of tests are no packages,
since pytest imports each file by its path.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["load_file"]

_ROOT = Path(__file__).resolve().parents[2]


def load_file(path: str) -> ModuleType:
    """A module out of a file, anew in each call, so that test modules do not share its state.

    Args:
      path: from the root of the repository.

    >>> load_file("tests/support/module_files.py").__name__
    'tests_support_module_files'
    """
    name = path.removesuffix(".py").replace("/", "_")
    spec = importlib.util.spec_from_file_location(name, _ROOT / path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path}: expected the file of a module")
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look. Not for long: what is pickled by this name no other process finds.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module
