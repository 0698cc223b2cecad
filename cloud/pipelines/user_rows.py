"""Rows of all users made by a pipeline: parts in parallel."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.pipelines.running import build_options, import_beam, run
from cloud.user_rows import UserRows, planned, put_together

__all__ = ["make_rows_by_beam"]


def make_rows_by_beam(rows: UserRows, *, options: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """The engine `beam`.

    All workers must see the folders of the job and of the registry under the same paths.

    Raises:
      MissingPartError: Apache Beam is not installed.
      ConfigError: the pipeline's options are not known, or there is no such runner.
      WorkerError: the pipeline failed; nothing was stored.
    """
    beam = import_beam("engine.users=beam")
    settings = build_options(options, setting="engine.beam")
    plan = planned(rows)

    def make(first: int) -> Iterator[None]:
        plan.make(first)
        yield from ()

    def build(pipeline: Any) -> None:
        firsts = pipeline | "Parts" >> beam.Create([*plan.firsts])
        firsts | "Spread" >> beam.Reshuffle() | "MakeRows" >> beam.FlatMap(make)

    run(build, settings, doing=f"engine.users=beam: making the {rows.name}")
    return put_together(plan, rows)
