"""The reading of a log as two steps that many processes can do, whatever runs them.

`IngestionPlan.read` reads some files and gives blocks of records by shard of users; `keep` takes
all blocks of a shard. Between them whatever runs the plan brings together what belongs together,
in any order; either may be done again. `put_together` ends it in the job's process.
"""

import dataclasses
import functools
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cloud.array_files import read_arrays, write_arrays
from cloud.retraining.ingestion import Ingestion
from cloud.retraining.ingestion_parts import FilesPart, write_users
from cloud.retraining.uplinks import RowFiles
from cloud.retraining.user_uplinks import newest_of_users
from cloud.uplink_log import LogContract, LogFile, ReplayWindow
from cloud.uplink_log.by_user import Block, sound_pieces
from ecct_tf.files import private_folder

__all__ = ["IngestionPlan", "Task", "planned"]

# So much of the log is one piece of work, and so much are the records of a shard.
_TASK_BYTES = _SHARD_BYTES = 32 << 20
_WINDOW = "window.npz"


@dataclasses.dataclass(frozen=True)
class Task:
    """Files that are read one after the other.

    Attributes:
      number: of the task.
      files: places in the list of files.
    """

    number: int
    files: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class IngestionPlan:
    """What all workers need besides what each is to do; it can be pickled.

    Attributes:
      log: folder of the log, as all workers see it.
      folder: for what they write, as all workers see it.
      files: of the log, in order.
      contract: what an uplink must satisfy.
      known: what was known of users before.
      shards: into how many the users are divided.
    """

    log: Path
    folder: Path
    files: tuple[LogFile, ...]
    contract: LogContract
    known: RowFiles
    shards: int

    def read(self, task: Task) -> Iterator[tuple[int, Block]]:
        """The first step: records that are sound by themselves, each block with its shard.

        Raises:
          DataError: a file is missing.
        """
        part = FilesPart(self.folder, task.number)
        for place in task.files:
            for piece in sound_pieces(self.log, self.files[place], place, contract=self.contract):
                yield from piece.cut(self.shards)
                part.add(piece)
        part.close()

    def keep(self, shard: int, blocks: Iterable[Block]) -> None:
        """The second step: finds which of the records of a shard's users count.

        Args:
          shard: its number.
          blocks: all that there are of it, in any order.
        """
        found = newest_of_users(
            blocks,
            known=self.known,
            window=_window(self.folder / _WINDOW),
            files=self.files,
            contract=self.contract,
        )
        write_users(self.folder, shard, found)


def planned(given: Ingestion) -> tuple[IngestionPlan, list[Task]]:
    """A plan for what a job has to read, and its tasks; what an earlier attempt left goes."""
    folder = (given.work / "parts").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    private_folder(folder)
    write_arrays(folder / _WINDOW, given.window.to_arrays(), private=True)
    tasks = list(_tasks(given.files))
    return IngestionPlan(
        log=given.log.absolute(),
        folder=folder,
        files=given.files,
        contract=given.contract,
        known=given.builder.row_files(folder),
        shards=1 + sum(file.size_bytes for file in given.files) // _SHARD_BYTES,
    ), tasks


def _tasks(files: Sequence[LogFile]) -> Iterator[Task]:
    number, some, size = 0, list[int](), 0
    for place, file in enumerate(files):
        some.append(place)
        size += file.size_bytes
        if size >= _TASK_BYTES or place == len(files) - 1:
            yield Task(number, tuple(some))
            number, some, size = number + 1, [], 0


@functools.lru_cache(maxsize=1)
def _window(path: Path) -> ReplayWindow:
    return ReplayWindow.from_arrays(read_arrays(path))
