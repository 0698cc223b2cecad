"""The user's own folders, also where the user has neither a home nor an account."""

import os
import tempfile
from pathlib import Path

from ecct_tf.errors import ConfigError

__all__ = ["cache_folder", "expanded", "keep_keras_out_of_here"]


def cache_folder() -> Path:
    """Where downloads are kept: below the home folder, or the temporary one where there is none.

    In a container a process often runs under a number that no account has, without `HOME`.
    """
    import platformdirs

    try:
        found = Path(platformdirs.user_cache_dir("ecct-tf", appauthor=False))
    except RuntimeError:  # newer ones refuse, older ones answer `~/.cache`
        found = Path()
    if found.is_absolute():
        return found
    return Path(tempfile.gettempdir()) / f"ecct-tf-{os.getuid()}"


def expanded(path: Path) -> Path:
    """`path` with a leading `~` resolved.

    Raises:
      ConfigError: when there is no home folder that it could stand for.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"{path}: expected a path, and ~ stands for no folder here: {error} Set HOME, or give "
            "the whole path"
        ) from error


def keep_keras_out_of_here() -> None:
    """Gives Keras a folder where there is no home folder, before TensorFlow is imported.

    It would make one named `~` in the current folder. What the environment says stays.
    """
    if os.path.expanduser("~") == "~":  # noqa: PTH111 (Path raises where there is none)
        os.environ.setdefault("KERAS_HOME", str(cache_folder() / "keras"))
