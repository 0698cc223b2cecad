"""Text files as they come: packed or not, in UTF-8, UTF-16 or what the schema says."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ecct_tf.data._raw_table import unreadable
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.installation import install_packages
from ecct_tf.parts import requirement_text

__all__ = ["PACKED_SUFFIXES", "open_text"]

# Suffixes that say how a file is packed; what is read is decided by its first bytes.
PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zip", ".zst")
# Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile)


@contextlib.contextmanager
def open_text(path: Path, *, encoding: str) -> Iterator[IO[str]]:
    """Opens a text file, unpacked on the way; line ends stay as they are.

    A byte order mark decides over an encoding that is not written for it.

    Raises:
      ConfigError: Python does not know the encoding.
      DataError: the file cannot be read or unpacked, or is not text of the encoding.
    """
    try:
        codec = codecs.lookup(encoding).name
        io.TextIOWrapper(io.BytesIO(), encoding=codec)  # Python knows others than of text
    except (LookupError, ValueError) as error:
        raise ConfigError(
            f"{path}: encoding: expected one that Python knows (utf-8, latin-1, cp1252, ...), "
            f"got {encoding!r}."
        ) from error
    used = codec
    try:
        with _unpacked(path) as binary:
            start = binary.peek(4)[:4]
            used = next((name for mark, name in _MARKS if start.startswith(mark)), codec)
            yield io.TextIOWrapper(binary, encoding=used, newline="")
    except _DAMAGE as error:
        raise DataError(
            f"{path}: cannot be unpacked: {error}. The file is damaged or cut short, or is packed "
            "in another way than its first bytes say; fetch it again, or unpack it."
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeError as error:  # of UTF-16 without a mark it is no UnicodeDecodeError
        way_out = "Give encoding (often latin-1 or cp1252), or save the file as UTF-8."
        raise DataError(
            f"{path}: {_undecodable(path, used)}: expected text in {used}, received other bytes. "
            f"{way_out}"
        ) from error


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file, without the packing that its first bytes tell of."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: expected a file, received something else (a pipe or a device).")
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        start = file.peek(6)[:6]
        raw: Any
        if start.startswith(b"\x1f\x8b"):
            raw = stack.enter_context(gzip.GzipFile(fileobj=file))
        elif start.startswith(b"BZh"):
            raw = stack.enter_context(bz2.BZ2File(file))
        elif start.startswith(b"\xfd7zXZ\x00"):
            raw = stack.enter_context(lzma.LZMAFile(file))
        elif start.startswith(b"PK\x03\x04"):
            raw = stack.enter_context(
                _only_member(path, stack.enter_context(zipfile.ZipFile(file)))
            )
        elif start.startswith(b"\x28\xb5\x2f\xfd"):
            raw = _zstandard(path)
        else:
            raw = file
        yield raw if raw is file else io.BufferedReader(raw)


def _only_member(path: Path, archive: zipfile.ZipFile) -> IO[bytes]:
    members = [
        member.filename
        for member in archive.infolist()
        if not member.is_dir() and not member.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        raise DataError(
            f"{path}: expected an archive of one file, received {len(members)}: "
            f"{', '.join(members[:5])}. Unpack it, and name the file or the folder in the schema."
        )
    try:
        return archive.open(members[0])
    except (RuntimeError, NotImplementedError) as error:  # a password, or a method of its own
        raise DataError(f"{path}: cannot be unpacked: {error}. Unpack it yourself.") from error


def _zstandard(path: Path) -> IO[bytes]:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise DataError(
            f"{path}: unpacking Zstandard needs pyarrow, which is not installed. Install it with "
            f"`{install_packages([requirement_text('pyarrow', 'cloud')])}`, or unpack the file."
        ) from error
    try:
        with pa.input_stream(str(path), compression="zstd") as stream:
            return io.BytesIO(stream.read())
    except (OSError, pa.ArrowException) as error:
        raise EOFError(str(error)) from error


def _undecodable(path: Path, encoding: str) -> str:
    """The first line with bytes that are not of `encoding`."""
    if encoding.startswith(("utf-16", "utf-32")):
        return "at an unknown line"  # their line ends are more than one byte
    with _unpacked(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return f"line {number}, byte {error.object[error.start : error.start + 1]!r}"
            except UnicodeError:
                break
    return "at an unknown line"
