"""How well further heads, such as for likes, tell targets apart: `targets.json` of runs."""

import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecct_tf.errors import RunFolderError
from ecct_tf.reporting.run import Run

__all__ = ["TargetRow", "target_rows"]

_NAME = "targets.json"


@dataclasses.dataclass(frozen=True)
class TargetRow:
    """A further target; means over the seeds.

    Attributes:
      name: of it.
      auc: by the logit of its own head; None where the labels were of one class.
      ranking_auc: by the logit that ranks.
      rows: tested interactions with a label.
      positives: of them, those with a label of at least one half.
    """

    name: str
    auc: float | None
    ranking_auc: float | None
    rows: float
    positives: float


def target_rows(runs: Sequence[Run]) -> list[TargetRow]:
    """The further targets of runs of one model; none for runs without any.

    Raises:
      RunFolderError: a run's `targets.json` is damaged.
    """
    told = [_read(run.path / _NAME) for run in runs if (run.path / _NAME).exists()]
    names = dict.fromkeys(name for each in told for name in each)
    return [_row(name, [each[name] for each in told if name in each]) for name in names]


def _row(name: str, found: Sequence[dict[str, Any]]) -> TargetRow:
    def mean(field: str) -> float | None:
        values = [float(each[field]) for each in found if each[field] is not None]
        return statistics.fmean(values) if values else None

    return TargetRow(
        name, mean("auc"), mean("ranking_auc"), mean("rows") or 0.0, mean("positives") or 0.0
    )


def _read(file: Path) -> dict[str, dict[str, Any]]:
    fields = ("auc", "ranking_auc", "rows", "positives")
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        for each in told.values():
            for name in fields:
                if each[name] is not None:
                    float(each[name])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(
            f"{file}: expected {', '.join(fields)} of each further target: {error!r}; it was "
            "damaged, copy the run folder again"
        ) from error
    return dict(told)
