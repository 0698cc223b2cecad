"""What it costs that few devices take part, that many fail, and that answers arrive late."""

from ecct_tf.reporting.run import Run
from ecct_tf.studies.drawings import quality_by_point
from ecct_tf.studies.study import Measure, Point, Study

__all__ = ["asynchrony", "lost_answers", "mean_age", "under_way"]

# Rounds with all devices; the half-life is the default.
_ROUNDS, _FEDAVG_ROUNDS, _HALF_LIFE = 10, 40, 5
_BUFFER = 1000
_TENTH = "participation.share=0.1"
_HALF = "participation.dropout=0.5"
_LATE = "participation.delay.max_rounds=20"


def _rounds(times: int) -> tuple[str, ...]:
    """As many device updates as with all devices, of which one in `times` answers in a round."""
    return (
        f"rounds={_ROUNDS * times}",
        f"federated_baseline.rounds={_FEDAVG_ROUNDS * times}",
        f"cloud.staleness_half_life={_HALF_LIFE * times}",
    )


_BUFFERS = (
    f"server.buffer={_BUFFER}",
    f"cloud.buffer={_BUFFER}",
    f"federated_baseline.server.buffer={_BUFFER}",
)


def asynchrony() -> Study:
    """All devices at once, and ever fewer, less reliable and later ones."""
    late = (_TENTH, _HALF, _LATE, *_rounds(20))
    day = (
        "participation.availability.rounds_per_day=24",
        "participation.availability.awake_share=0.33",
    )
    turnover = (
        "participation.membership.late_share=0.2",
        "participation.membership.late_rounds=100",
        "participation.membership.leave_share=0.2",
        "participation.membership.leave_rounds=100",
    )
    return Study(
        name="asynchrony",
        question="What does it cost that few devices take part in a round, that half of them fail, "
        "and that answers arrive up to 20 rounds later?",
        axis="who takes part, and when it arrives",
        points=(
            Point("all devices", _rounds(1)),
            Point("a tenth", (_TENTH, *_rounds(10))),
            Point("half of them fail", (_TENTH, _HALF, *_rounds(20))),
            Point("up to 20 rounds late", late),
            Point("late with buffers", (*late, *_BUFFERS)),
            Point("late and asleep by night", (*late, *_BUFFERS, *day)),
            Point("late with turnover", (*late, *_BUFFERS, *turnover)),
        ),
        methods=("ecct", "fedavg"),
        settings=("evaluation.every=10", "checkpoint.every=10"),
        reference="all devices",
        measures=(
            Measure("mean_age", "age", mean_age, digits=1),
            Measure("under_way", "under way", under_way, digits=0),
            Measure("lost_answers", "lost", lost_answers, digits=0),
        ),
        drawings=(quality_by_point,),
        note="All points have as many device updates. Age: mean rounds that answers were under way "
        "when they arrived. Under way: answers that had not arrived when the rounds ended. Lost: "
        "answers that were sent and neither arrived nor are under way.",
    )


def mean_age(run: Run, side: str) -> float | None:
    """Mean rounds that answers were under way, over all that arrived."""
    del side
    if run.metrics is None or not run.metrics["arrived"].sum():
        return None
    ages, arrived = run.metrics["mean_age"].fillna(0.0), run.metrics["arrived"]
    return float((ages * arrived).sum() / arrived.sum())


def under_way(run: Run, side: str) -> float | None:
    """Answers that had not arrived when the rounds ended."""
    del side
    return None if run.metrics is None else float(run.metrics["under_way"].iloc[-1])


def lost_answers(run: Run, side: str) -> float | None:
    """Answers that were sent, did not arrive and are not under way."""
    left = under_way(run, side)
    if run.metrics is None or left is None:
        return None
    return float(run.metrics["devices"].sum() - run.metrics["arrived"].sum()) - left
