"""Whether any round makes a side worse than it was: mixed models, failing and late devices."""

from ecct_tf.reporting.run import Run
from ecct_tf.studies.drawings import quality_by_point
from ecct_tf.studies.study import Measure, Point, Study

__all__ = ["largest_fall", "stability", "worst_round"]


def stability() -> Study:
    """Both sides measured after every round, where devices differ, fail and are late."""
    return Study(
        name="stability",
        question="Does any round make the edge or the cloud worse than it was before?",
        axis="devices",
        points=(
            Point("as shipped", methods=("ecct", "cloud-only")),
            Point("mixed models", ("edge.tiers={linear: 0.34, mlp: 0.33, attention: 0.33}",)),
            Point("30 % fail", ("participation.dropout=0.3",)),
            Point("up to five rounds late", ("participation.delay.max_rounds=5",)),
        ),
        methods=("ecct",),
        settings=("evaluation.every=1",),
        reference="as shipped",
        measures=(
            Measure("largest_fall", "largest fall", largest_fall),
            Measure("worst_round", "in round", worst_round, digits=0),
        ),
        drawings=(quality_by_point,),
        note="Largest fall: how far a side's NDCG on validation items was below its best of an "
        "earlier round, at most, averaged over the seeds; study.csv has each seed's. The start, "
        "before the first round, does not count.",
    )


def largest_fall(run: Run, side: str) -> float | None:
    """How far a side's validation NDCG was below its best so far, at most; 0 if it never was."""
    falls = _falls(run, side)
    return None if falls is None else max(falls.values())


def worst_round(run: Run, side: str) -> float | None:
    """The round of the largest fall; None where there was no fall."""
    falls = _falls(run, side)
    if falls is None or not max(falls.values()):
        return None
    return float(max(falls, key=lambda number: falls[number]))


def _falls(run: Run, side: str) -> dict[int, float] | None:
    """By how much each measured round lies below the best until then; None without rounds."""
    name = f"{side}_ndcg"
    if run.metrics is None or name not in run.metrics:
        return None
    measured = run.metrics[["round", name]].dropna()
    if measured.empty:
        return None
    falls = measured[name].cummax() - measured[name]
    return {int(number): float(fall) for number, fall in zip(measured["round"], falls, strict=True)}
