"""Files of the log that are damaged, or are something else. They are given sound entries."""

import os
from collections.abc import Callable

import numpy as np

from benchmarks.fuzz.log_case import DAY, LogCase, frame

__all__ = ["CONTAINER_ALTERATIONS"]

Alteration = Callable[[LogCase, np.random.Generator], None]


def _spans(case: LogCase) -> list[tuple[int, int]]:
    """Where each entry's frame begins and ends in the file."""
    ends = np.cumsum([len(frame(entry.content)) for entry in case.entries]).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _flipped(case: LogCase, rng: np.random.Generator) -> None:
    path = case.write()
    content = bytearray(path.read_bytes())
    for place in rng.integers(len(content), size=rng.integers(1, 4)).tolist():
        content[place] ^= 1 << int(rng.integers(8))
    damaged = np.frombuffer(bytes(content), np.uint8) != np.frombuffer(path.read_bytes(), np.uint8)
    for entry, (start, end) in zip(case.entries, _spans(case), strict=True):
        if damaged[start:end].any():
            entry.fate = "refused"
    path.write_bytes(bytes(content))


def _truncated(case: LogCase, rng: np.random.Generator) -> None:
    path = case.write()
    content = path.read_bytes()
    cut = int(rng.integers(len(content)))
    for entry, (_, end) in zip(case.entries, _spans(case), strict=True):
        if end > cut:
            entry.fate = "refused"
    path.write_bytes(content[:cut])


def _junk_between(case: LogCase, rng: np.random.Generator) -> None:
    path = case.write()
    content = path.read_bytes()
    place = int(rng.choice([start for start, _ in _spans(case)]))
    junk = rng.bytes(int(rng.integers(1, 400)))
    path.write_bytes(content[:place] + junk + content[place:])


def _several_files(case: LogCase, rng: np.random.Generator) -> None:
    middle = int(rng.integers(len(case.entries)))
    for name, part in (("b", case.entries[:middle]), ("a", case.entries[middle:])):
        path = case.file(f"{name}.tfrecord")
        path.write_bytes(b"".join(frame(entry.content) for entry in part))
    case.expect, case.check_may_refuse = "accept", False


def _parquet(case: LogCase, rng: np.random.Generator) -> None:
    """The records as Parquet: of several types, sometimes with a null or the column missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    contents: list[bytes | None] = [entry.content for entry in case.entries]
    kind = int(rng.integers(5))
    if kind == 1:
        contents[0], case.entries[0].fate = None, "refused"
    types = [pa.binary(), pa.binary(), pa.large_binary(), pa.binary(len(contents[1] or b"")),
             pa.binary()]  # fmt: skip
    column = pa.array(contents, types[kind])
    path = case.file("fresh.parquet")
    pq.write_table(pa.table({"record" if kind < 4 else "other": column}), path)
    if kind == 4:
        for entry in case.entries:
            entry.fate = "refused"
    elif rng.random() < 0.3:
        content = path.read_bytes()
        path.write_bytes(content[: int(rng.integers(len(content)))])
        for entry in case.entries:
            entry.fate = "refused"


def _empty_file(case: LogCase, rng: np.random.Generator) -> None:
    case.write()
    case.file(str(rng.choice(["empty.tfrecord", "empty.parquet"]))).write_bytes(b"")


def _odd_entry(case: LogCase, rng: np.random.Generator) -> None:
    """Something that is no file, beside a sound one."""
    case.write()
    suffix = str(rng.choice([".tfrecord", ".parquet"]))
    odd = case.file(f"odd{suffix}")
    kind = int(rng.integers(5))
    if kind == 0:
        odd.mkdir()
    elif kind == 1:
        os.mkfifo(odd)
    elif kind == 2:
        odd.symlink_to("nowhere")
    elif kind == 3:
        odd.symlink_to(odd.name)
    else:
        odd.symlink_to("/dev/zero")


def _odd_name(case: LogCase, rng: np.random.Generator) -> None:
    """A sound file under a name that a writer would not give."""
    names = ["x\ud800.tfrecord", "a b'\".tfrecord", "x\ny.tfrecord", "ü.tfrecord", "[red].tfrecord",
             "%s{}.tfrecord", "-x.tfrecord", "x" * 200 + ".tfrecord"]  # fmt: skip
    name = names[rng.integers(len(names))]
    if "\ud800" in name:
        path = os.fsencode(case.file("x")).replace(b"/x", b"/\xff\xfe.tfrecord")
        with open(path, "wb") as file:  # noqa: PTH123 - a path of bytes that are no text
            file.write(b"".join(frame(entry.content) for entry in case.entries))
    else:
        case.write(name)


def _other_suffix(case: LogCase, rng: np.random.Generator) -> None:
    """Named almost as it should be: read, or named as left out; here it is never both."""
    names = ["fresh.tfrecords", "fresh.tfrecord.gz", "fresh.TFRECORD", "fresh.tfrec", "fresh"]
    case.write(names[rng.integers(len(names))])
    for entry in case.entries:
        entry.fate = "either"


def _odd_day(case: LogCase, rng: np.random.Generator) -> None:
    case.write()
    days = ["date=9999-99-99", "date=", "date=x", "date=1970-01-01", "day=2026-01-05", "date=2026"]
    (case.log / DAY).rename(case.log / days[rng.integers(len(days))])
    for entry in case.entries:
        entry.fate = "either"


def _no_log(case: LogCase, rng: np.random.Generator) -> None:
    """There is no log, or it is a file."""
    case.log.rename(case.folder / "gone")
    if rng.random() < 0.5:
        case.log.write_text("nothing")
    case.entries = []


def _changed_before(case: LogCase, rng: np.random.Generator) -> None:
    """A file that the version in force has read is longer now, gone, or there twice."""
    case.write()
    (old,) = case.log.glob("date=*/first.tfrecord")
    kind = int(rng.integers(3))
    if kind == 0:
        old.write_bytes(old.read_bytes() * 2)
        case.expect = "refuse"
    elif kind == 1:
        old.unlink()
    else:
        (old.parent / "second.tfrecord").write_bytes(old.read_bytes())


CONTAINER_ALTERATIONS: dict[str, Alteration] = {
    "log: bits flipped": _flipped,
    "log: truncated": _truncated,
    "log: junk between": _junk_between,
    "log: several files": _several_files,
    "log: Parquet": _parquet,
    "log: empty file": _empty_file,
    "log: odd entry": _odd_entry,
    "log: odd name": _odd_name,
    "log: other suffix": _other_suffix,
    "log: odd day": _odd_day,
    "log: none": _no_log,
    "log: changed": _changed_before,
}
