"""The uplink log read by a pipeline: files in parallel, then users in parallel."""

from collections.abc import Iterable, Iterator
from typing import Any

from cloud.pipelines.running import build_options, import_beam, run
from cloud.retraining.ingestion import Ingested, Ingestion
from cloud.retraining.ingestion_parts import put_together
from cloud.retraining.ingestion_plan import planned
from cloud.uplink_log.by_user import Block

__all__ = ["ingest_by_beam"]


def ingest_by_beam(given: Ingestion) -> Ingested:
    """The engine `beam`.

    All workers must see the folder of the log and `given.work` under the same paths.

    Raises:
      MissingPartError: Apache Beam is not installed.
      ConfigError: the pipeline's options are not known, or there is no such runner.
      WorkerError: the pipeline failed; nothing counts as read.
    """
    beam = import_beam("engine.ingest=beam")
    options = build_options(given.options, setting="engine.beam")
    plan, tasks = planned(given)

    def keep(found: tuple[int, Iterable[Block]]) -> Iterator[None]:
        plan.keep(*found)
        yield from ()

    def build(pipeline: Any) -> None:
        blocks = pipeline | "Tasks" >> beam.Create(tasks) | "Spread" >> beam.Reshuffle()
        by_users = blocks | "ReadFiles" >> beam.FlatMap(plan.read) | "Group" >> beam.GroupByKey()
        by_users | "KeepNewest" >> beam.FlatMap(keep)

    run(build, options, doing="engine.ingest=beam: reading the uplink log")
    return put_together(plan.folder, given, tasks=len(tasks))
