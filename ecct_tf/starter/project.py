"""Makes the starter project."""

import errno
import importlib.resources
import secrets
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
    taken = ConfigError(f"{path} exists and is not an empty folder; choose another name")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise taken
    # Of its own: another process may make a project of that name at the same time.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    template = importlib.resources.files("ecct_tf.starter") / "template"
    try:
        (draft / "data").mkdir(parents=True)
        for name in _FILES:
            (draft / name).write_bytes((template / name).read_bytes())
        for name, content in sample_files():
            (draft / "data" / name).write_text(content, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise taken from error
        raise ConfigError(f"cannot make {path}: {error}; choose another place") from error
    return sorted(found for found in path.rglob("*") if found.is_file())
