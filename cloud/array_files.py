"""Arrays by name as an `.npz` file: atomic on writing, no pickles on reading.

A file is written array by array and part by part, and a large array can be read in place, so that
neither takes more memory than is looked at.
"""

import mmap
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import RegistryError
from ecct_tf.files import open_plain, write_atomically
from ecct_tf.touched_rows import Rows, parts_of

__all__ = ["drop_pages", "read_arrays", "write_arrays"]

# Arrays of so many bytes are read in place where that is asked for.
_LARGE_BYTES = 1 << 22
_PART_BYTES = 1 << 24
# The fixed part of an entry's own header in a ZIP archive ends with two lengths.
_ENTRY_BYTES, _LENGTHS = 30, struct.Struct("<HH")


def write_arrays(path: Path, arrays: Mapping[str, Rows], *, private: bool = False) -> None:
    """Writes an `.npz` file atomically; equal arrays give equal bytes.

    They are those of `numpy.savez`.
    """

    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    _write_array(entry, array)

    write_atomically(path, write, private=private)


def _write_array(file: IO[bytes], array: Rows) -> None:
    # NumPy has no types for these.
    form: Any = np.lib.format
    strided = isinstance(array, np.ndarray) and not array.flags.c_contiguous
    if array.dtype.hasobject or array.shape == () or strided:
        form.write_array(file, np.asarray(array), allow_pickle=False)
        return
    header = {
        "descr": form.dtype_to_descr(array.dtype),
        "fortran_order": False,
        "shape": tuple(array.shape),
    }
    form.write_array_header_1_0(file, header)
    for part in parts_of(array):
        for some in _in_parts(part):
            file.write(np.ascontiguousarray(some).tobytes())
            drop_pages(array)


def _in_parts(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    rows = max(
        1, _PART_BYTES // max(1, np.dtype(array.dtype).itemsize * int(np.prod(array.shape[1:])))
    )
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def drop_pages(array: Any) -> None:
    """Gives back the memory of what was read or written of an array in a file; it stays there."""
    mapped = getattr(array, "_mmap", None)
    if isinstance(mapped, mmap.mmap):
        mapped.madvise(mmap.MADV_DONTNEED)


def read_arrays(path: Path, *, in_place: bool = False) -> dict[str, npt.NDArray[Any]]:
    """Reads an `.npz` file.

    Args:
      path: of the file.
      in_place: large arrays stay in the file, which is not altered, and are read where they are
        looked at; the checksums of the archive are not checked then.

    Raises:
      RegistryError: it is missing or damaged.
    """
    try:
        with open_plain(path) as file, np.load(file, allow_pickle=False) as stored:
            large = _large_arrays(path, file, stored.zip) if in_place else {}
            return {name: large[name] if name in large else stored[name] for name in stored.files}
    # The last three: of a ZIP archive whose flags or lengths are damaged.
    except (
        OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError,
        struct.error,
    ) as error:  # fmt: skip
        raise RegistryError(
            f"{path}: expected arrays, cannot read them: {error}; restore the file from a copy"
        ) from error


def _large_arrays(
    path: Path, file: IO[bytes], archive: zipfile.ZipFile
) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {}
    for entry in archive.infolist():
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size < _LARGE_BYTES:
            continue
        if not entry.filename.endswith(".npy"):
            continue
        # The lengths in an entry's own header are not those in the archive's list.
        file.seek(entry.header_offset + _ENTRY_BYTES - _LENGTHS.size)
        begin = entry.header_offset + _ENTRY_BYTES + sum(_LENGTHS.unpack(file.read(_LENGTHS.size)))
        file.seek(begin)
        form: Any = np.lib.format
        if form.read_magic(file) != (1, 0):
            continue
        shape, fortran, dtype = form.read_array_header_1_0(file)
        size = int(np.prod(shape)) * dtype.itemsize
        if fortran or dtype.hasobject or size < _LARGE_BYTES:
            continue
        if file.tell() + size > begin + entry.file_size:
            continue
        found[entry.filename.removesuffix(".npy")] = np.memmap(
            path, dtype, "r", offset=file.tell(), shape=shape
        )
    return found
