"""What runs the parts of a job that one process may be too small for."""

import dataclasses

from cloud.user_rows import ENGINES
from ecct_tf.config.part_names import PartNames

__all__ = ["ENTRY_POINTS", "EngineConfig", "ingest_target"]

ENTRY_POINTS = "ecct_tf.ingestion_engines"
"""The group of entry points under which packages register engines that read uplink logs."""

_NAMES = PartNames(
    "an engine",
    ENTRY_POINTS,
    {
        "local": "cloud.retraining.ingestion:ingest_here",
        "beam": "cloud.pipelines.ingestion:ingest_by_beam",
    },
    "local, beam, or module:name such as my_pkg.engines:by_spark",
    setting="engine.ingest",
)

ingest_target = _NAMES.target_of
"""`(name, *, setting) -> str`: its `module:name`, or a `ConfigError` that lists what there is."""


@dataclasses.dataclass(frozen=True)
class EngineConfig:
    """What runs the parts of a job that one process may be too small for.

    Attributes:
      ingest: what reads the uplink log: `local`, this process; `beam`, a pipeline of Apache Beam;
        a name that a package registers, or `module:name`. All give the same version.
      users: what makes, in the version and its SavedModel, the states and the embeddings of all
        users: likewise.
      beam: options of the pipeline, as on a command line of Beam, such as
        `[--runner=FlinkRunner, --flink_master=host:8081]`; empty runs it on this machine.
    """

    ingest: str = "local"
    users: str = "local"
    beam: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _NAMES.check_form(self.ingest)
        ENGINES.check_form(self.users)
