"""Large arrays that stay the same in a run: made when they are asked for, written to a file once.

Each checkpoint has such an array and refers to one file of it, so that writing a checkpoint takes
what changed. The file proves itself by the checksum that the checkpoint has of it.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import CheckpointError
from ecct_tf.files import open_plain, write_atomically

__all__ = ["FixedArray", "stored_fixed", "write_fixed"]

Array = npt.NDArray[Any]

_AT_ONCE = 1 << 22
_WAY_OUT = (
    "Restore it from a copy, or, if the run is not complete, resume it, which writes it again."
)


@dataclasses.dataclass(frozen=True, eq=False)
class FixedArray:
    """An array that is made when it is asked for.

    Attributes:
      key: names its content: arrays of one key are equal.
      shape: of the array.
      dtype: of the array.
      parts: makes it, some rows at a time.

    Example:
      >>> ones = FixedArray("ones", (3, 2), np.dtype("f4"), lambda: iter([np.ones((3, 2), "f4")]))
      >>> np.asarray(ones).sum()
      6.0
    """

    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    parts: Callable[[], Iterator[Array]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All of it; of a file that holds it, without reading more than is looked at."""
        del copy
        parts = list(self.parts())
        found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return found if dtype is None else found.astype(dtype, copy=False)


def write_fixed(path: Path, array: FixedArray) -> str:
    """Writes `array` in NumPy's format, atomically and for the owner alone; its SHA-256."""
    digest = hashlib.sha256()

    def write(file: IO[bytes]) -> None:
        whole = _Hashed(file, digest)
        # NumPy has no types for these two.
        form: Any = np.lib.format
        described = form.dtype_to_descr(array.dtype)
        header = {"descr": described, "fortran_order": False, "shape": array.shape}
        form.write_array_header_1_0(whole, header)
        for part in array.parts():
            whole.write(np.ascontiguousarray(part, array.dtype).tobytes())

    write_atomically(path, write, private=True)
    return digest.hexdigest()


def stored_fixed(
    path: Path, *, key: str, sha256: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> FixedArray:
    """What `write_fixed` wrote into `path`, which is looked at when the array is asked for.

    That then raises `CheckpointError` where the file is missing or has another content.
    """

    def parts() -> Iterator[Array]:
        try:
            received = _digest_of(path)
            if received == sha256:
                yield np.load(path, mmap_mode="r", allow_pickle=False)
                return
        except (OSError, ValueError, EOFError) as error:
            raise CheckpointError(f"{path}: cannot read it: {error}. {_WAY_OUT}") from error
        raise CheckpointError(
            f"{path} is damaged: expected SHA-256 {sha256}, received {received}. {_WAY_OUT}"
        )

    return FixedArray(key, shape, dtype, parts)


def _digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with open_plain(path) as file:
        while content := file.read(_AT_ONCE):
            digest.update(content)
    return digest.hexdigest()


class _Hashed:
    """Writes into a file and a checksum."""

    def __init__(self, file: IO[bytes], digest: Any) -> None:
        self._file, self._digest = file, digest

    def write(self, content: bytes) -> int:
        """Writes to both."""
        self._digest.update(content)
        return self._file.write(content)
