"""Where the tests of erasure look: every byte of every file, and what it decodes to."""

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_OPENED = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zst": lambda raw: pa.CompressedInputStream(pa.BufferReader(raw), "zstd").read(),
}


def contents(folder):
    """Each file, with its name, its bytes, and what they are once they are decoded."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found = [path.name.encode(), *_decoded(path.name, path.read_bytes())]
            yield path, b"\0".join(found)


def _decoded(name, raw) -> Iterator[bytes]:
    yield raw
    suffix = Path(name).suffix
    try:
        if suffix in _OPENED:
            yield from _decoded(name.removesuffix(suffix), _OPENED[suffix](raw))
        elif suffix == ".part":
            yield from _decoded(name.removesuffix(suffix), raw)
        elif suffix == ".npz":
            with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
                for key in arrays.files:
                    yield arrays[key].tobytes()
                    if arrays[key].dtype.kind == "U":
                        yield "\n".join(arrays[key].ravel().tolist()).encode()
        elif suffix == ".parquet":
            for column in pq.read_table(io.BytesIO(raw)).to_pydict().values():
                yield from (value for value in column if isinstance(value, bytes))
                yield from (
                    np.array(value, np.float32).tobytes()
                    for value in column
                    if isinstance(value, list)
                )
        elif suffix == ".json":
            yield json.dumps(json.loads(raw), ensure_ascii=False).encode()
    except (ValueError, OSError, EOFError, lzma.LZMAError, pa.ArrowException):
        # A damaged file says no more than its bytes.
        return


def number_forms(number):
    """A number as files may have it: little and big end first (int64 has the same bytes), text."""
    return [number.to_bytes(4, "little"), number.to_bytes(4, "big"), str(number).encode()]


def holding(folder, needles):
    """The files that hold one of `needles`, relative to `folder`."""
    return [
        path.relative_to(folder).as_posix()
        for path, data in contents(folder)
        if any(needle in data for needle in needles)
    ]
