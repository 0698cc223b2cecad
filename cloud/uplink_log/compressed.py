"""Files of a log that were compressed as a whole: jobs leave them out, erasing looks into them."""

import bz2
import contextlib
import gzip
import lzma
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from cloud.uplink_log.files import LogFile
from ecct_tf.files import write_atomically

__all__ = ["COMPRESSED", "decompressed", "inner_name", "write_compressed"]


def _read_zstd(file: IO[bytes]) -> Any:
    return pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")


def _zstd(content: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as opened:
        opened.write(content)
    return bytes(out.getvalue().to_pybytes())


_READ: Mapping[str, Callable[[IO[bytes]], Any]] = {
    ".bz2": bz2.open,
    ".gz": gzip.open,
    ".xz": lzma.open,
    ".zst": _read_zstd,
}
_COMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    ".bz2": bz2.compress,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": _zstd,
}
COMPRESSED = tuple(_READ)


def inner_name(name: str) -> str:
    """The name without the suffix of the compression.

    >>> inner_name("date=2026-11-29/a.tfrecord.gz")
    'date=2026-11-29/a.tfrecord'
    """
    return name.removesuffix(Path(name).suffix)


@contextlib.contextmanager
def decompressed(path: Path) -> Iterator[tuple[Path, LogFile]]:
    """The folder and the name of a file with the content, which no kill leaves behind.

    Args:
      path: of the compressed file.

    Raises:
      OSError: it cannot be read, or is damaged.
    """
    # It has no name in a folder: the process has it open, and nothing else can.
    with tempfile.TemporaryFile(dir=path.parent) as content:
        try:
            with path.open("rb") as file, _READ[path.suffix.lower()](file) as opened:
                shutil.copyfileobj(opened, content)
        except (EOFError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
            raise OSError(f"{path}: it is damaged: {error}") from error
        content.flush()
        size = os.fstat(content.fileno()).st_size
        yield Path("/proc/self/fd"), LogFile(str(content.fileno()), size)


def write_compressed(path: Path, content: bytes) -> None:
    """Puts `content` in the place of a file's, compressed as its name says."""
    packed = _COMPRESS[path.suffix.lower()](content)
    write_atomically(path.resolve(), lambda file: file.write(packed), private=True, durable=True)
