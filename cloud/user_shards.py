"""The downlinks of all users, file by file: each is made by itself, wherever that is."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.chunks import first_users, users_from
from cloud.published_files import put
from cloud.recommender import CloudRecommender
from cloud.version_files import StoredCloud
from ecct_tf.config import CodecName
from ecct_tf.config.part_names import PartNames
from ecct_tf.errors import RegistryError
from ecct_tf.knowledge import CloudRows, build_codec
from ecct_tf.plugins import find_function
from ecct_tf.wire import DownlinkFile, PublishedFile

__all__ = [
    "ENTRY_POINTS",
    "MakeShards",
    "ShardPlan",
    "UserShard",
    "UserShards",
    "find_maker",
    "make_here",
]

ENTRY_POINTS = "ecct_tf.publication_engines"
"""The group of entry points under which packages register engines that make downlinks."""

_NAMES = PartNames(
    "an engine",
    ENTRY_POINTS,
    {
        "local": "cloud.user_shards:make_here",
        "beam": "cloud.pipelines.publication:make_by_beam",
    },
    "local, beam, or module:name such as my_pkg.engines:by_spark",
    setting="engine",
)


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """What downlinks are made of, and how many users a file has.

    Attributes:
      version: number of the version.
      folder: of its files.
      users: how many there are.
      users_in_file: of more, they are in several files of so many each.
      round_number: from which the queries are drawn.
      codec: of user embeddings.
      table_sha256: of the item table that they fit, in hexadecimal.
      out: folder of the publication.
    """

    version: int
    folder: Path
    users: int
    users_in_file: int
    round_number: int
    codec: CodecName
    table_sha256: str
    out: Path

    @property
    def firsts(self) -> tuple[int, ...]:
        """The first user of each file."""
        return first_users(self.users, size=self.users_in_file)

    def make(self, recommender: CloudRecommender, first: int) -> "UserShard":
        """The file that begins with a user, written into the folder of the publication.

        Args:
          recommender: of the version.
          first: one of `firsts`.

        Raises:
          RegistryError: the version's cloud sends rows.
          CodecError: embeddings are not finite.
        """
        users = users_from(first, users=self.users, size=self.users_in_file)
        embeddings = recommender.downlinks(users, round_number=self.round_number)
        if isinstance(embeddings, CloudRows):
            raise RegistryError(
                f"version {self.version}: its cloud sends rows, which files of downlinks do not "
                "hold; publish a version of two towers"
            )
        queries = recommender.queries(users, round_number=self.round_number)
        file = self.file(users, embeddings, queries, of_users=True)
        stem = f"downlinks-{self.version:06d}"
        return UserShard(put(self.out, stem, ".ecdn", file.to_bytes()), embeddings, queries)

    def file(
        self,
        keys: npt.NDArray[np.int32],
        embeddings: npt.NDArray[np.float32],
        queries: npt.NDArray[np.int32],
        *,
        of_users: bool,
    ) -> DownlinkFile:
        """The downlinks of users or of segments as a file.

        Args:
          keys: `[n]`, ascending.
          embeddings: `[n, d_c]`.
          queries: `[n, Q]`.
          of_users: whether the keys are users, not segments.
        """
        encoded = build_codec(self.codec).encode(tf.constant(embeddings))
        return DownlinkFile.build(
            keys_are="users" if of_users else "segments",
            cloud_version=self.version,
            round_number=self.round_number,
            table_sha256=self.table_sha256,
            codec=self.codec,
            keys=keys,
            embeddings=tuple(np.asarray(part) for part in encoded),
            queries=queries,
            cloud_dim=embeddings.shape[1],
        )


@dataclasses.dataclass(frozen=True, eq=False)
class UserShard:
    """One file of downlinks.

    Attributes:
      file: of the publication.
      embeddings: `[n, d_c] float32`, of its users, before any codec.
      queries: `[n, Q] int32`.
    """

    file: PublishedFile
    embeddings: npt.NDArray[np.float32]
    queries: npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True, eq=False)
class UserShards:
    """All files of downlinks, in the order of their users.

    Attributes:
      files: of the publication.
      embeddings: `[users, d_c] float32`, before any codec.
      queries: `[users, Q] int32`.
    """

    files: tuple[PublishedFile, ...]
    embeddings: npt.NDArray[np.float32]
    queries: npt.NDArray[np.int32]

    @classmethod
    def of(cls, plan: ShardPlan, shards: Iterator[UserShard]) -> "UserShards":
        """Out of one after the other, so that nothing is in memory twice."""
        files: list[PublishedFile] = []
        embeddings, queries = np.zeros((0, 0), np.float32), np.zeros((0, 0), np.int32)
        for first, shard in zip(plan.firsts, shards, strict=True):
            if not files:
                embeddings = np.empty((plan.users, shard.embeddings.shape[1]), np.float32)
                queries = np.empty((plan.users, shard.queries.shape[1]), np.int32)
            files.append(shard.file)
            embeddings[first : first + plan.users_in_file] = shard.embeddings
            queries[first : first + plan.users_in_file] = shard.queries
        return cls(tuple(files), embeddings, queries)


class MakeShards(Protocol):
    """Makes the files of a plan. Whatever the engine, they are the same."""

    def __call__(
        self, plan: ShardPlan, stored: StoredCloud, *, options: tuple[str, ...]
    ) -> UserShards:
        """Makes all files.

        Args:
          plan: of what.
          stored: the version.
          options: of the engine.
        """
        ...


def find_maker(name: str) -> MakeShards:
    """The engine of a name; imports its module.

    Raises:
      ConfigError: there is none of that name, or it cannot be imported.
    """
    return find_function(_NAMES.target_of(name), what=f"engine {name!r}")


def make_here(plan: ShardPlan, stored: StoredCloud, *, options: tuple[str, ...]) -> UserShards:
    """The engine `local`: this process, file after file."""
    del options  # It has none.
    recommender = stored.recommender()
    return UserShards.of(plan, (plan.make(recommender, first) for first in plan.firsts))
