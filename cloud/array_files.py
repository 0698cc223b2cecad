"""Arrays by name as an `.npz` file: atomic on writing, no pickles on reading."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import RegistryError
from ecct_tf.files import open_plain, write_atomically

__all__ = ["read_arrays", "write_arrays"]


def write_arrays(
    path: Path, arrays: Mapping[str, npt.NDArray[Any]], *, private: bool = False
) -> None:
    """Writes an `.npz` file atomically; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **dict(arrays))
    write_atomically(path, lambda file: file.write(buffer.getvalue()), private=private)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Reads an `.npz` file.

    Raises:
      RegistryError: it is missing or damaged.
    """
    try:
        with open_plain(path) as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    # The last two: of a ZIP archive whose flags are damaged.
    except (
        OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError,
    ) as error:  # fmt: skip
        raise RegistryError(
            f"{path}: expected arrays, cannot read them: {error}; restore the file from a copy"
        ) from error
