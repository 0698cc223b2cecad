"""Which uplinks of some users count, found apart from all others."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.retraining.uplinks import KnowledgeBuilder, RowFiles
from cloud.uplink_log import LogContract, LogFile, Rejected, ReplayWindow
from cloud.uplink_log.by_user import Block, admitted_blocks

__all__ = ["UserUplinks", "newest_of_users"]


@dataclasses.dataclass(frozen=True, eq=False)
class UserUplinks:
    """What became of all uplinks of some users.

    Attributes:
      users: `[n] int32`, ascending, each with a record that is sound by itself.
      rows: by field of a store, `[n, ...]` each: what is known of them now.
      newest: `[n] int32`, as the replay window has it.
      seen: `[n] uint64`, the same.
      received: number of records that were sound by themselves.
      read: number of sound uplinks.
      first: when the oldest of these was made, in whole seconds since 1970; None without any.
      last: the same of the newest.
      rejected: records whose rounds are not new, by file and offset.
    """

    users: npt.NDArray[np.int32]
    rows: Mapping[str, npt.NDArray[Any]]
    newest: npt.NDArray[np.int32]
    seen: npt.NDArray[np.uint64]
    received: int
    read: int
    first: int | None
    last: int | None
    rejected: Sequence[Rejected]


def newest_of_users(
    blocks: Iterable[Block],
    *,
    known: RowFiles,
    window: ReplayWindow,
    files: Sequence[LogFile],
    contract: LogContract,
) -> UserUplinks:
    """Reads all uplinks of some users, as a job of one process reads those of all.

    Args:
      blocks: the records of these users that are sound by themselves, in any order.
      known: what was known of all users before.
      window: which of their rounds had been seen; it is not altered.
      files: the list of files.
      contract: that the records satisfy.
    """
    blocks = list(blocks)
    users = np.unique(np.concatenate([block.users for block in blocks]))
    builder = KnowledgeBuilder(known.of(users))
    part = window.of(users)
    rejected: list[Rejected] = []
    times: list[int] = []
    read = 0
    for found in admitted_blocks(blocks, part, files=files, contract=contract):
        own = np.searchsorted(users, found.uplinks.users).astype(np.int32)
        builder.add(dataclasses.replace(found.uplinks, users=own))
        rejected += found.rejected
        read += len(own)
        times += _span(found.uplinks.created_at_seconds)
    seen = part.window.to_arrays()
    return UserUplinks(
        users=users,
        rows=builder.rows(),
        newest=seen["newest"],
        seen=seen["seen"],
        received=sum(len(block.users) for block in blocks),
        read=read,
        first=min(times, default=None),
        last=max(times, default=None),
        rejected=rejected,
    )


def _span(times: npt.NDArray[np.int64]) -> Iterator[int]:
    if len(times):
        yield int(times.min())
        yield int(times.max())
