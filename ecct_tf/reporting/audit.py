"""What `ecct audit` left in run folders, read and checked."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ecct_tf.errors import RunFolderError
from ecct_tf.reporting.run import Run

__all__ = ["RunAudit", "audits_of"]

_FORMAT = 1
_FIGURES = ("known", "received", "both", "added")
_TEXTS = ("attack", "target", "method", "measure")


@dataclasses.dataclass(frozen=True)
class RunAudit:
    """The audit of a run.

    Attributes:
      run: which.
      values: `audit.json`, checked.
    """

    run: Run
    values: Mapping[str, Any]

    @property
    def stale(self) -> bool:
        """Whether the run went on since."""
        return bool(self.values["rounds"] != self.run.rounds_done)

    @property
    def leaks(self) -> int:
        """Figures in which uplinks add to what the cloud knew, by the whole interval."""
        return sum(finding["leaks"] for finding in self.values["findings"])


def audits_of(runs: Sequence[Run]) -> list[RunAudit]:
    """The audits of those runs that have one, in their order.

    Raises:
      RunFolderError: a file is damaged, or of another format.
    """
    return [RunAudit(run, values) for run in runs if (values := _read(run)) is not None]


def _read(run: Run) -> dict[str, Any] | None:
    file = run.path / "audit.json"
    if not file.exists():
        return None
    again = f"write it anew: `ecct audit {run.path}`"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values["format"] != _FORMAT:
            raise RunFolderError(
                f"{file}: expected format {_FORMAT}, got {values['format']!r}; another version of "
                f"ECCT-TF wrote it, {again}"
            )
        for name, kind in (("rounds", int), ("users", int), ("uplinks", int), ("privacy", str)):
            if not isinstance(values[name], kind):
                raise TypeError(f"{name}: expected {kind.__name__}, got {values[name]!r}")
        dict(values["not_measured"]).items()
        for finding in values["findings"]:
            _check(finding)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(f"{file}: expected an audit, cannot read it: {error}; {again}") from (
            error
        )
    return dict(values)


def _check(finding: Mapping[str, Any]) -> None:
    for name in _TEXTS:
        if not isinstance(finding[name], str):
            raise TypeError(f"{name}: expected a text, got {finding[name]!r}")
    if not isinstance(finding["leaks"], bool):
        raise TypeError(f"leaks: expected true or false, got {finding['leaks']!r}")
    numbers = [finding["prior"]]
    for name in _FIGURES:
        figure = finding[name]
        if figure is not None:
            numbers += [figure["value"], figure["low"], figure["high"]]
    if not all(isinstance(each, int | float) for each in numbers):
        raise TypeError(f"expected numbers, got {numbers}")
