"""What a study found, read from its run folders."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from ecct_tf.evaluation import Interval
from ecct_tf.reporting.comparison import KINDS, Comparison, Model, compare_runs
from ecct_tf.reporting.pairs import Measure as RankMeasure
from ecct_tf.reporting.pairs import gain_interval
from ecct_tf.reporting.run import SIDES, read_run
from ecct_tf.reporting.spread import Spread
from ecct_tf.studies.plan import StudyPlan
from ecct_tf.studies.study import Measure, Point, Study, slug_of

__all__ = ["PointResult", "StudyResult", "measured", "read_study"]


@dataclasses.dataclass(frozen=True, eq=False)
class PointResult:
    """The runs of one point, side by side.

    Attributes:
      point: of the study.
      comparison: its models over the seeds.
    """

    point: Point
    comparison: Comparison

    @property
    def models(self) -> tuple[Model, ...]:
        """All models by kind, ECCT's first; the order is the same at every point."""
        return tuple(sorted(self.comparison.models, key=_order))

    def model(self, name: str) -> Model | None:
        """The model of this name; None where it was not run here."""
        return next((model for model in self.models if model.name == name), None)


@dataclasses.dataclass(frozen=True, eq=False)
class StudyResult:
    """The whole grid.

    Attributes:
      study: what was asked.
      points: in the study's order.
      seeds: of the runs.
      command: that makes it again.
    """

    study: Study
    points: tuple[PointResult, ...]
    seeds: tuple[int, ...]
    command: str

    @property
    def names(self) -> tuple[str, ...]:
        """Of all models, in the order of their first appearance."""
        return tuple(dict.fromkeys(model.name for _, model in self.rows()))

    @property
    def reference(self) -> PointResult | None:
        """The point that the others are compared with, if it was run."""
        return next((p for p in self.points if p.point.label == self.study.reference), None)

    def rows(self) -> Iterator[tuple[PointResult, Model]]:
        """Each point with each of its models."""
        for point in self.points:
            for model in point.models:
                yield point, model

    def label(self, quality: str) -> str:
        """How a figure of quality is written, such as `HR@10`."""
        return self.points[0].comparison.label(quality)

    def gain(
        self, point: PointResult, model: Model, measure: RankMeasure = "hr"
    ) -> Interval | None:
        """The point's first ECCT model over another, paired; None for itself, and without ECCT."""
        subject = point.comparison.subject
        if model is subject or subject.kind != KINDS[0]:
            return None
        return gain_interval(subject, model, measure)

    def change(
        self, point: PointResult, model: Model, measure: RankMeasure = "hr"
    ) -> Interval | None:
        """A model less its counterpart at the reference, paired over users and seeds.

        The counterpart has the same name; or, where the axis changes names, it is the only model
        of the same method and side. None at the reference itself, and without a counterpart.

        Raises:
          RunFolderError: the points were tested on other interactions.
        """
        reference = self.reference
        if reference is None or reference is point:
            return None
        before = _counterpart(model, point, reference)
        return None if before is None else gain_interval(model, before, measure)


def _order(model: Model) -> tuple[int, str, int]:
    return KINDS.index(model.kind), model.name_without_side, SIDES.index(model.side)


def _counterpart(model: Model, point: PointResult, reference: PointResult) -> Model | None:
    named = reference.model(model.name)
    if named is not None:
        return named
    kin, theirs = (
        [m for m in each.models if m.runs and (m.method, m.side) == (model.method, model.side)]
        for each in (point, reference)
    )
    return theirs[0] if len(kin) == len(theirs) == 1 else None


def measured(measure: Measure, model: Model) -> Spread | None:
    """A measure of a model over its seeds; None where a run has none."""
    values = [measure.of(run, model.side) for run in model.runs]
    kept = [value for value in values if value is not None]
    return Spread.of(kept) if len(kept) == len(values) else None


def read_study(plan: StudyPlan, out: Path, *, command: str) -> StudyResult:
    """Reads the runs of a study that is complete.

    Raises:
      RunFolderError: a run is missing, damaged or not complete.
    """
    points = []
    for point in plan.points:
        prefix = f"{slug_of(point.label)}/"
        runs = [read_run(out / name) for name in plan.runs if name.startswith(prefix)]
        points.append(PointResult(point, compare_runs(runs)))
    return StudyResult(plan.study, tuple(points), plan.seeds, command)
