"""Which engine computes a run, said and checked when the run begins or is resumed."""

import dataclasses
import functools
import logging

from ecct_tf.config import EngineName, RunConfig, RuntimeConfig
from ecct_tf.federated import chosen_engine
from ecct_tf.simulation.run_log import LINES

__all__ = ["report_engine", "with_engine"]

_log = logging.getLogger(__name__)

# Settings of TFF's worker, which the local engine has none of.
_OF_THE_WORKER = ("threads", "round_deadline_seconds", "workers", "workers_tls")


def with_engine(config: RunConfig, engine: EngineName | None) -> RunConfig:
    """The configuration with another engine; None leaves it as it is."""
    if engine is None:
        return config
    runtime = dataclasses.replace(config.runtime, engine=engine)
    return dataclasses.replace(config, runtime=runtime)


@functools.cache
def _say_local() -> None:
    """Says it once in a process, which may do many runs."""
    _log.warning(
        "TFF is not installed: rounds run as TensorFlow functions in this process "
        "(runtime.engine=local)"
    )


def report_engine(runtime: RuntimeConfig, *, before: str | None) -> None:
    """Says which engine computes the rounds where that is not the default.

    Args:
      runtime: the settings.
      before: the engine that computed the run so far; None for a new run.
    """
    engine = chosen_engine(runtime.engine)
    LINES.info("engine: %s", engine)
    if engine == "local":
        if runtime.engine is None:
            _say_local()
        default = RuntimeConfig()
        moot = [name for name in _OF_THE_WORKER if getattr(runtime, name) != getattr(default, name)]
        if moot:
            _log.warning(
                "%s: a setting of TFF's worker, without effect with the engine local",
                ", ".join(f"runtime.{name}" for name in moot),
            )
    if before not in (None, engine):
        _log.warning(
            "the engine %s computed the run so far, %s resumes it: the result is that of an "
            "undisturbed run up to rounding",
            before,
            engine,
        )
