"""A line a round, for logs: in `run.log` of the run folder; some of them where no terminal is."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from ecct_tf.reporting.spread import bytes_text, plural, seconds_text
from ecct_tf.simulation.loop import RoundResult

__all__ = ["LINES", "round_line", "run_log"]

# Not shown on a terminal, which has a bar: what is said here has no handler but `run.log`.
LINES = logging.getLogger("ecct_tf.lines")
LINES.setLevel(logging.INFO)
LINES.propagate = False
LINES.addHandler(logging.NullHandler())

_PACKAGES = ("ecct_tf", "cloud", "mobile_export")


def round_line(
    result: RoundResult, *, name: str, rounds: int, k: int, seconds_left: float | None
) -> str:
    """What a round brought, in one line.

    Args:
      result: of the round.
      name: what is run.
      rounds: of the whole run.
      k: list length of HR and NDCG.
      seconds_left: expected until the last round is done; None where nothing is known.

    Returns:
      Name, round, stage, duration, devices, answers where some are late, bytes of all of them
      together, losses, ε and validation quality; what was not measured is left out.
    """
    report = result.report
    sizes = (report.downlink_bytes, report.uplink_bytes, report.weights_bytes)
    head = f"{name}: round {result.round_number} of {rounds}"
    parts = [head + (f", stage {report.stage}" if report.stage else "")]
    parts += [f"{result.seconds:.2f} s", plural(report.devices, "device")]
    if report.under_way or report.mean_age > 0:
        parts.append(f"{report.arrived} arrived, {report.under_way} under way")
    parts.append(bytes_text(sum(sizes) + report.item_table_bytes + report.sums_bytes))
    row = result.row()
    for title, column in (("train loss", "train_loss"), ("cloud loss", "cloud_loss")):
        if row[column] != "":
            parts.append(f"{title} {row[column]:.4f}")
    if result.epsilon is not None:
        parts.append(f"ε {result.epsilon:.4g}")
    for side, metrics in result.validation.items():
        parts.append(f"{side} validation HR@{k} {metrics.hr:.4f} NDCG@{k} {metrics.ndcg:.4f}")
    if seconds_left is not None and result.round_number < rounds:
        parts.append(f"about {seconds_text(seconds_left)} left")
    return ", ".join(parts)


@contextlib.contextmanager
def run_log(path: Path, *, about: str) -> Iterator[None]:
    """Writes what happens meanwhile to `path`, behind what it holds: a resumed run goes on in it.

    In it come the lines of the rounds, the packages' warnings, and how it ended, with the
    traceback of an error. A log that cannot be written harms no run.

    Args:
      path: the file.
      about: what is run.
    """
    handler = _HarmlessHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    loggers = [LINES, *map(logging.getLogger, _PACKAGES)]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        LINES.info("%s", about)
        yield
        LINES.info("complete")
    except KeyboardInterrupt:
        LINES.warning("interrupted")
        raise
    except BaseException as error:
        LINES.error("failed: %s", error, exc_info=True)
        raise
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()


class _HarmlessHandler(logging.FileHandler):
    """Passes over what the system refuses to write: a full disk stops the run by other files."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record where the file can be opened."""
        with contextlib.suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, as logging has it
        """Does nothing; by default it prints a traceback."""
        del record
