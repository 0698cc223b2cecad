"""Whether what a job's parts run on is there, before the job reads or trains anything."""

from cloud.pipelines.running import build_options
from cloud.retraining.engine_config import EngineConfig
from cloud.retraining.ingestion import find_ingest
from cloud.user_rows import find_row_engine

__all__ = ["check_engines"]

_BEAM = "beam"


def check_engines(config: EngineConfig) -> None:
    """Refuses engines that could not run: a job that has trained cannot take others any more.

    Raises:
      ConfigError: an engine is not known or cannot be imported, or an option is wrong.
      MissingPartError: Apache Beam is not installed.
    """
    find_ingest(config.ingest)
    find_row_engine(config.users)
    if _BEAM in (config.ingest, config.users):
        build_options(config.beam, setting="engine.beam")
