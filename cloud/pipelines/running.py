"""Builds and runs pipelines of Apache Beam, with messages that say what to do."""

import contextlib
import importlib
import io
from collections.abc import Callable, Sequence
from typing import Any

from ecct_tf.errors import ConfigError, MissingPartError, WorkerError
from ecct_tf.installation import install_command

__all__ = ["build_options", "import_beam", "run"]

# Beam repeats an error for each process that it came through.
_LONGEST = 600
# What runs pipelines in processes of this machine. Under its usual name Beam would first download
# another program for it.
_HERE = "FnApiRunner"
_USUAL = ("DirectRunner", "direct", "SwitchingDirectRunner")


def import_beam(by: str) -> Any:
    """The package `apache_beam`.

    Args:
      by: the setting or option that needs it.

    Raises:
      MissingPartError: it is not installed.
    """
    try:
        return importlib.import_module("apache_beam")
    except ModuleNotFoundError as error:
        if error.name != "apache_beam":
            raise
        raise MissingPartError(
            f"{by} needs ECCT-TF's part `beam`; this installation lacks Apache Beam. To add it:\n"
            f"  {install_command('beam')}"
        ) from error


def build_options(flags: Sequence[str], *, setting: str) -> Any:
    """The options of a pipeline; without a runner it runs on this machine.

    Args:
      flags: as on a command line of Beam.
      setting: where they stand, for messages.

    Raises:
      ConfigError: Beam has no such option or runner, or a value does not fit.
    """
    beam = import_beam(setting)
    module = importlib.import_module("apache_beam.options.pipeline_options")
    said = io.StringIO()
    try:
        # Beam ends the program after a word to the terminal.
        with contextlib.redirect_stderr(said):
            options = module.PipelineOptions([*flags])
            known = options.get_all_options()
            every = options.get_all_options(retain_unknown_options=True)
    except SystemExit as error:
        told = said.getvalue().strip().rpartition("error: ")[2]
        raise ConfigError(
            f"{setting}: expected options of Apache Beam, got {' '.join(flags)}: {told}"
        ) from error
    standard = options.view_as(module.StandardOptions)
    runner = standard.runner or _HERE
    if runner in _USUAL:
        runner = _HERE
    standard.runner = runner
    unknown = sorted(every.keys() - known.keys())
    # Others hand options on to programs that Beam's Python does not know.
    if runner == _HERE and unknown:
        raise ConfigError(
            f"{setting}: Apache Beam {beam.__version__} has no option "
            f"{', '.join(f'--{name}' for name in unknown)}; leave it out or correct it"
        )
    try:
        importlib.import_module("apache_beam.runners.runner").create_runner(runner)
    except (ValueError, ImportError, AttributeError) as error:
        raise ConfigError(f"{setting}: --runner={runner}: {error}") from error
    return options


def run(build: Callable[[Any], None], options: Any, *, doing: str) -> None:
    """Runs a pipeline to its end.

    Args:
      build: adds the steps to a pipeline.
      options: from `build_options`.
      doing: what it does, for messages.

    Raises:
      WorkerError: it failed.
    """
    beam = import_beam(doing)
    try:
        with beam.Pipeline(options=options) as pipeline:
            build(pipeline)
    # A runner wraps what happened in a worker in errors of its own.
    except Exception as error:
        words = " ".join(str(error).split())
        text = words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"
        raise WorkerError(
            f"{doing} failed: {type(error).__name__}: {text}. Nothing of it counts; fix the cause "
            "and give the same command again"
        ) from error
