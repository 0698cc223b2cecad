"""What is done to files once they are written. Each says what the commands may make of it."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.fuzz.data_case import DataCase

__all__ = ["FILE_ALTERATIONS", "flipped"]

Alteration = Callable[[DataCase, Path, np.random.Generator], None]


def _empty(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(b"")
    case.expect = "refuse"


def _header_only(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(path.read_bytes().partition(b"\n")[0])
    case.expect = "refuse"


def _truncated(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(rng.integers(1, len(content)))])
    # A CSV file that is cut between two rows is a shorter CSV file.
    case.expect = "refuse" if case.style.format == "parquet" else "either"
    case.unknown_meaning = True


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    """`content` with one to three bits changed."""
    changed = bytearray(content)
    for place in rng.integers(len(changed), size=rng.integers(1, 4)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _flipped(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(flipped(path.read_bytes(), rng))
    case.expect = "either"
    case.unknown_meaning = True


def _noise(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(rng.bytes(int(rng.integers(1, 4000))))
    case.expect = "refuse"


def _ragged(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    if case.style.format == "parquet" or case.style.encoding == "utf-16":
        return
    lines = path.read_bytes().split(b"\n")
    place = int(rng.integers(1, len(lines) - 1))
    lines[place] += rng.choice([b",", b";", b"\t", b"|", b'"', b'"a', b",,,,"])
    path.write_bytes(b"\n".join(lines))
    case.expect = "either"
    case.unknown_meaning = True


def _nul(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    content = path.read_bytes()
    place = int(rng.integers(len(content)))
    path.write_bytes(content[:place] + b"\x00" * int(rng.integers(1, 9)) + content[place:])
    case.expect = "either"
    case.unknown_meaning = True


def _other_encoding(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    if case.style.format == "csv":
        text = path.read_bytes().decode(case.style.encoding)
        encoding = str(rng.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp037"]))
        path.write_bytes(text.encode(encoding, "replace"))
        case.expect = "either"


def _missing(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    case.expect = "refuse"


def _folder(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    path.mkdir()
    case.expect = "refuse"


def _pipe(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    os.mkfifo(path)
    case.expect = "refuse"


def _loop(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    path.symlink_to(path.name)
    case.expect = "refuse"


def _other_format(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    """What is said to be CSV is Parquet, and the other way round."""
    suffix = ".csv" if case.style.format == "parquet" else ".parquet"
    other = path.with_suffix(suffix)
    path.rename(other)
    schema = path.with_name("schema.yaml")
    text = schema.read_text(encoding="utf-8").replace(path.name, other.name)
    schema.write_text(text, encoding="utf-8")
    case.expect = "either" if path.suffix == ".tsv" else "refuse"


def _compressed(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    """Compressed, under its name or under one that says so; or what only pretends to be."""
    content = gzip.compress(path.read_bytes())
    kind = int(rng.integers(3))
    if kind == 0:
        path.write_bytes(content)
        case.expect = "either"
        return
    other = path.with_name(f"{path.name}.gz")
    other.write_bytes(content if kind == 1 else content[: len(content) // 2])
    path.unlink()
    schema = path.with_name("schema.yaml")
    text = schema.read_text(encoding="utf-8").replace(path.name, other.name)
    schema.write_text(text, encoding="utf-8")
    case.expect = "either" if kind == 1 else "refuse"


def _typed_parquet(case: DataCase, path: Path, rng: np.random.Generator) -> None:
    """Columns of other types than text."""
    if case.style.format != "parquet":
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    name = str(rng.choice(["user", "item"]))
    texts = table[name].to_pylist()
    kind = int(rng.integers(6))
    column = [
        lambda: pa.array([text.encode() for text in texts], pa.binary()),
        lambda: pa.array(texts).dictionary_encode(),
        lambda: pa.array([{"id": text} for text in texts]),
        lambda: pa.array([[text] for text in texts]),
        lambda: pa.array([None if n == 3 else text for n, text in enumerate(texts)]),
        lambda: pa.array(texts, pa.large_string()),
    ][kind]()
    table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table, path)
    case.expect = "refuse" if kind == 4 else "either"


FILE_ALTERATIONS: dict[str, Alteration] = {
    "file: empty": _empty,
    "file: header only": _header_only,
    "file: truncated": _truncated,
    "file: bits flipped": _flipped,
    "file: noise": _noise,
    "file: ragged rows": _ragged,
    "file: NUL bytes": _nul,
    "file: other encoding": _other_encoding,
    "file: missing": _missing,
    "file: a folder": _folder,
    "file: a pipe": _pipe,
    "file: a link to itself": _loop,
    "file: other format": _other_format,
    "file: compressed": _compressed,
    "file: other column types": _typed_parquet,
}
