"""Which round a publication opens, and which ones are refused."""

from collections.abc import Sequence
from pathlib import Path

from cloud.uplink_log import Note
from cloud.version_files import StoredCloud
from ecct_tf.errors import RegistryError
from ecct_tf.wire import CURRENT_NAME, Publication
from ecct_tf.wire.whole_numbers import LARGEST_INT32

__all__ = ["check_near", "check_no_older", "newest_round", "next_round"]

# A round further beyond the newest is more often a slip of the hand than meant.
_FAR = 1_000


def next_round(stored: StoredCloud, out: Path, version: int, notes: Sequence[Note]) -> int:
    """A round that no device has answered yet; publishing a version again keeps its round.

    Raises:
      RegistryError: there is none left.
    """
    if notes:
        # What the version heard of says less: it may be older, or from before rounds were noted.
        newest = notes[-1]
        # Of two versions that asked in one round, devices take the later one for the newer.
        number = newest.round_number + (newest.cloud_version != version)
    else:
        heard = bool((stored.knowledge.rounds >= 0).any())
        number = stored.round_number + 1 if heard else 0
    current = out / CURRENT_NAME
    if current.exists():
        before = Publication.from_json(current.read_text(encoding="utf-8"))
        number = max(number, before.round_number + (before.cloud_version != version))
    if number > LARGEST_INT32:
        raise RegistryError(
            f"{out}: there is no round after {number - 1}, which an earlier publication or a "
            "forged uplink claimed; name the round that devices shall answer with --round"
        )
    return number


def newest_round(stored: StoredCloud, out: Path, notes: Sequence[Note]) -> int:
    """The newest round that was opened, in this registry or into `out`; 0 before there is any.

    Without notes it is the one that the version counts to, as `next_round` has it.
    """
    counted = () if notes else ((stored.round_number, 0),)
    return max((*counted, *_opened(out, notes)))[0]


def _opened(out: Path, notes: Sequence[Note]) -> list[tuple[int, int]]:
    """The newest round and version that were opened, in this registry and into `out`."""
    opened = [(note.round_number, note.cloud_version) for note in notes[-1:]]
    if (out / CURRENT_NAME).exists():
        before = Publication.from_json((out / CURRENT_NAME).read_text(encoding="utf-8"))
        opened.append((before.round_number, before.cloud_version))
    return opened


def check_no_older(asked: tuple[int, int], out: Path, notes: Sequence[Note]) -> None:
    """Refuses what devices would take for a publication that was put back.

    Args:
      asked: round and version that shall be published.
      out: the folder.
      notes: of the registry.

    Raises:
      RegistryError: they are before the newest that were opened.
    """
    newest = max(_opened(out, notes), default=asked)
    if asked < newest:
        raise RegistryError(
            f"round {asked[0]} of version {asked[1]}: expected one that is not before round "
            f"{newest[0]} of version {newest[1]}, the newest that was opened, since devices that "
            "fetched that one refuse an older one and would answer no more. Leave --round out for "
            "the next round, or, where no device fetched it, confirm with --older-round"
        )


def check_near(number: int, newest: int) -> None:
    """Refuses a round that is more often a slip of the hand than meant.

    Raises:
      RegistryError: it is far beyond the newest.
    """
    if number - newest > _FAR:
        raise RegistryError(
            f"round {number}: expected one of at most {newest + _FAR}, {_FAR:,} beyond the newest "
            f"that was opened, {newest}; once it is opened, later ones are counted from it for "
            "good. Correct --round, leave it out for the next round, or confirm it with --far-round"
        )
