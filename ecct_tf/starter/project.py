"""Makes the starter project."""

import importlib.resources
import shutil
from pathlib import Path

from ecct_tf.errors import ConfigError
from ecct_tf.starter.sample_data import sample_files

__all__ = ["create_project"]

_FILES = ("README.md", "config.yaml", "schema.yaml", "run.py", "explore.ipynb")


def create_project(path: Path) -> list[Path]:
    """Makes a project that runs as it stands; all of it, or nothing.

    Args:
      path: folder to make; an empty one may exist.

    Returns:
      The files.

    Raises:
      ConfigError: when the folder holds something, or cannot be made.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"{path} exists and is not an empty folder; choose another name")
    draft = path.with_name(f".{path.name}.part")
    template = importlib.resources.files("ecct_tf.starter") / "template"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        (draft / "data").mkdir(parents=True)
        for name in _FILES:
            (draft / name).write_bytes((template / name).read_bytes())
        for name, content in sample_files():
            (draft / "data" / name).write_text(content, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise ConfigError(f"cannot make {path}: {error}; choose another place") from error
    return sorted(found for found in path.rglob("*") if found.is_file())
