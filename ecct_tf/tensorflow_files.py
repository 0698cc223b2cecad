"""Paths and disks as TensorFlow sees them: its patterns, and its errors when a write fails."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from ecct_tf.errors import StorageError
from ecct_tf.files import naming

__all__ = ["is_pattern", "literal", "write_scalar", "writing"]

# What TensorFlow matches instead of opening, in a path of files to restore from.
_PATTERN = frozenset("*?[\\")
_SYSTEM = tuple(
    os.strerror(code)
    for code in (
        errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES,
        errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EMFILE, errno.ENAMETOOLONG, errno.ESTALE,
    )
)  # fmt: skip


@contextlib.contextmanager
def writing(path: Path, *, way_out: str) -> Iterator[None]:
    """For what TensorFlow writes below `path`.

    Args:
      path: what is written, for the message.
      way_out: what to do once the disk or the permissions are fixed.

    Raises:
      StorageError: the system refused a write: a full disk, missing permissions.
    """
    try:
        with naming(path):
            yield
    except tf.errors.OpError as error:
        reason = next((text for text in _SYSTEM if text in str(error)), None)
        if reason is None:
            raise
        raise StorageError(
            f"{path}: TensorFlow could not write here, the system says: {reason}. Free some room "
            f"or fix the permissions; {way_out}"
        ) from error


def write_scalar(tag: str, value: float) -> None:
    """Writes a point of a curve as `tf.summary.scalar` does, which needs TensorBoard to write."""
    metadata = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
    metadata.plugin_data.plugin_name = "scalars"
    tf.summary.write(tag, tf.constant(value, tf.float32), metadata=metadata)


def is_pattern(path: Path) -> bool:
    """Whether TensorFlow would take the path for a pattern where it restores.

    >>> is_pattern(Path("jobs/k[1]")), is_pattern(Path("jobs/k-1]"))
    (True, False)
    """
    return bool(_PATTERN & set(str(path)))


@contextlib.contextmanager
def literal(folder: Path) -> Iterator[Path]:
    """A name of `folder` that TensorFlow takes as it stands: itself, or a link for a while.

    Raises:
      StorageError: the folder for temporary files has such a name too.
    """
    if not is_pattern(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="ecct-") as temporary:
        link = Path(temporary) / "folder"
        if is_pattern(link):
            raise StorageError(
                f"{temporary}: expected a folder for temporary files without any of "
                f"{' '.join(sorted(_PATTERN))} in its path, which TensorFlow takes for a pattern; "
                "set TMPDIR to another one"
            )
        link.symlink_to(folder.absolute(), target_is_directory=True)
        yield link
