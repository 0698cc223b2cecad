"""The downlinks of all users made by a pipeline: files in parallel."""

import functools
import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cloud.array_files import read_arrays, write_arrays
from cloud.pipelines.running import build_options, import_beam, run
from cloud.published_files import PARTS_NAME
from cloud.recommender import CloudRecommender
from cloud.user_shards import ShardPlan, UserShard, UserShards
from cloud.version_files import StoredCloud
from ecct_tf.errors import WorkerError
from ecct_tf.wire import PublishedFile

__all__ = ["make_by_beam"]

_SETTING = "--beam"


def make_by_beam(plan: ShardPlan, stored: StoredCloud, *, options: tuple[str, ...]) -> UserShards:
    """The engine `beam`.

    All workers must see the folders of the registry and of the publication under the same paths.

    Raises:
      MissingPartError: Apache Beam is not installed.
      ConfigError: the pipeline's options are not known, or there is no such runner.
      WorkerError: the pipeline failed; what was current stays so.
    """
    del stored  # Each worker reads it.
    beam = import_beam(_SETTING)
    settings = build_options(options, setting=_SETTING)
    parts = (plan.out / PARTS_NAME).absolute()
    shutil.rmtree(parts, ignore_errors=True)

    def make(first: int) -> Iterator[None]:
        _make(plan, parts, first)
        yield from ()

    def build(pipeline: Any) -> None:
        firsts = pipeline | "Files" >> beam.Create([*plan.firsts])
        firsts | "Spread" >> beam.Reshuffle() | "MakeFile" >> beam.FlatMap(make)

    try:
        run(build, settings, doing="making downlinks")
        return UserShards.of(plan, (_read(parts, first) for first in plan.firsts))
    finally:
        shutil.rmtree(parts, ignore_errors=True)


def _make(plan: ShardPlan, parts: Path, first: int) -> None:
    shard = plan.make(_recommender(plan.folder), first)
    told = json.dumps(vars(shard.file)).encode()
    # Two workers that do the same write files of their own, of which one is read.
    write_arrays(
        parts / f"{first:010d}.{secrets.token_hex(4)}.npz",
        {
            "file": np.frombuffer(told, np.uint8),
            "embeddings": shard.embeddings,
            "queries": shard.queries,
        },
        private=True,
    )


@functools.lru_cache(maxsize=1)
def _recommender(folder: Path) -> CloudRecommender:
    """Of a version whose files were checked before; read once in each process."""
    return StoredCloud.read(folder).recommender()


def _read(parts: Path, first: int) -> UserShard:
    found = sorted(parts.glob(f"{first:010d}.*.npz"))
    if not found:
        raise WorkerError(
            f"making downlinks: expected those from user {first} on in {parts}, there are none; "
            "all workers must see the folder of the publication under this path. Give the command "
            "again"
        )
    arrays = read_arrays(found[0])
    file = PublishedFile(**json.loads(arrays["file"].tobytes()))
    return UserShard(file, arrays["embeddings"], arrays["queries"])
