"""Joins small files of a log, of which a service writes one a moment.

Each costs a job, a listing and a manifest as much as a large one.
Only what no version has read, and no note names, is joined: a file that somebody refers to stays.
The records keep their order and their bytes. A joined file appears at once, beside a list of what
is in it; from that moment the files of the list are not read, so a kill at any time loses nothing
and shows no record twice.
"""

import dataclasses
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from cloud.uplink_log.framing import read_frames
from cloud.uplink_log.holding import changing_log
from cloud.uplink_log.listing import JOINED_SUFFIX, Entry, entries, superseded
from ecct_tf.errors import DataError
from ecct_tf.files import sync_folder, write_atomically
from ecct_tf.sealed_json import seal_json

__all__ = ["Compacted", "compact"]

# As `UplinkLogWriter` names files by itself: others belong to a writer that may repeat itself.
_OWN = re.compile(r"(\d{11})-(?:joined-)?[0-9a-f]{32}\.tfrecord")
# What a kill left of a list or of a joined file; nobody else writes such names.
_DRAFTS = (f".*{JOINED_SUFFIX}.part", ".*-joined-*.part")


@dataclasses.dataclass(frozen=True)
class Compacted:
    """What was joined.

    Attributes:
      joined: small files that are gone.
      files: that hold their records now.
      damaged: small files that were left as they are, since not all of their bytes are frames.
    """

    joined: int
    files: tuple[str, ...]
    damaged: tuple[str, ...]


def compact(
    folder: Path,
    *,
    kept: Callable[[], Collection[str]],
    small_bytes: int = 1 << 20,
    joined_bytes: int = 64 << 20,
) -> Compacted:
    """Joins small files of a log that follow each other, those of each day by themselves.

    Nobody reads the log meanwhile: see `changing_log`.

    Args:
      folder: of the log.
      kept: gives the names that stay: of files that a version has read, or that a note names. It is
        called once nobody reads the log, so that no job and no note is under way.
      small_bytes: larger files stay.
      joined_bytes: a joined file is at most so large.

    Raises:
      StorageError: a job or another command reads the log, and does not end within a minute.
      DataError: there is no such folder; the list of an earlier compaction cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"expected the folder of an uplink log, there is none at {folder}")
    with changing_log(folder):
        stay = kept()
        for day in sorted(path for path in folder.glob("date=*") if path.is_dir()):
            _finish(day)
        files, _ = entries(folder)
        damaged: list[str] = []
        written, joined = [], 0
        for group in _groups(folder, files, stay, small_bytes, joined_bytes, damaged):
            written.append(_join(folder, group))
            joined += len(group)
    return Compacted(joined, tuple(written), tuple(damaged))


def _groups(
    folder: Path,
    files: Sequence[Entry],
    kept: Collection[str],
    small_bytes: int,
    joined_bytes: int,
    damaged: list[str],
) -> Iterator[list[str]]:
    """Names of files to be joined, at least two, with nothing between them that stays."""
    group: list[str] = []
    size = 0
    for file in files:
        day, _, name = file.name.partition("/")
        fits = file.size_bytes <= small_bytes and _OWN.fullmatch(name) and file.name not in kept
        fits = fits and not (folder / file.name).is_symlink()
        if fits and not _is_whole((folder / file.name).read_bytes()):
            damaged.append(file.name)
            fits = False
        ends = not fits or size + file.size_bytes > joined_bytes
        if group and (ends or not group[0].startswith(f"{day}/")):
            if len(group) > 1:
                yield group
            group, size = [], 0
        if fits:
            group.append(file.name)
            size += file.size_bytes
    if len(group) > 1:
        yield group


def _is_whole(content: bytes) -> bool:
    found = read_frames(content, final=True)
    return not found.damages and found.end == len(content)


def _join(folder: Path, names: Sequence[str]) -> str:
    """Writes the joined file and removes the others; its name, which sorts where they do."""
    first = folder / names[0]
    path = first.with_name(f"{first.name[:11]}-joined-{uuid.uuid4().hex}.tfrecord")
    listed = seal_json({"joined": [Path(name).name for name in names]})
    note = path.with_name(f".{path.name}{JOINED_SUFFIX}")
    write_atomically(note, lambda file: file.write(listed.encode()), private=True, durable=True)
    write_atomically(
        path,
        lambda file: file.writelines((folder / name).read_bytes() for name in names),
        private=True,
        durable=True,
    )
    _finish(path.parent)
    return path.relative_to(folder).as_posix()


def _finish(day: Path) -> None:
    """Removes what joined files of a day stand for, and then the lists of them."""
    for name in sorted(superseded(day)):
        (day / name).unlink(missing_ok=True)
    for pattern in _DRAFTS:
        for draft in day.glob(pattern):
            draft.unlink()
    notes = [*day.glob(f".*{JOINED_SUFFIX}")]
    if notes:
        # A list must not go before the files that it names have gone for good.
        sync_folder(day)
    for note in notes:
        note.unlink()
