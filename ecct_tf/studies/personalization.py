"""Who gains by ECCT, over what, and who loses."""

from ecct_tf.errors import ConfigError
from ecct_tf.reporting.comparison import KINDS, Model
from ecct_tf.reporting.figures_of_models import activity_figure, gains_figure
from ecct_tf.reporting.gains import Gains, device_gains
from ecct_tf.studies.gains import gain_of, groups_of, user_gains
from ecct_tf.studies.result import StudyResult
from ecct_tf.studies.study import Drawing, Point, Study, Table
from ecct_tf.studies.table import interval_text

__all__ = ["gains_by_activity", "gains_by_device", "groups_table", "personalization"]

_FEDAVG = "FedAvg"


def personalization() -> Study:
    """One point; who gains is in the groups."""
    return Study(
        name="personalization",
        question="Which users gain by ECCT over the cloud, over FedAvg, over no exchange and over "
        "the start of their own device, and which lose?",
        axis="users",
        points=(Point("as it is"),),
        methods=("ecct", "no-exchange", "fedavg", "fine-tuning"),
        drawings=(gains_by_device, gains_by_activity),
        tables=(groups_table,),
    )


def groups_table(result: StudyResult) -> Table | None:
    """Gain, share better and share worse of each group of users over each rival."""
    subject = _subject(result)
    if subject is None:
        return None
    models = result.points[0].models
    rivals: list[tuple[str, Model | None]] = [
        (model.name, model) for model in models if model is not subject and model.runs
    ]
    rows = []
    for name, rival in [*rivals, ("its own start", None)]:
        table = user_gains(subject, rival)
        if table is None:
            continue
        for group, members in groups_of(table, subject.runs[0]):
            gain = members["gain"]
            rows.append(
                (
                    name,
                    group,
                    f"{len(members) / len(subject.seeds):.0f}",
                    interval_text(gain_of(members)),
                    f"{(gain > 0).mean():.0%}",
                    f"{(gain < 0).mean():.0%}",
                )
            )
    if not rows:
        return None
    return Table(
        name="groups",
        title=f"Who gains: {subject.name}",
        headings=(
            "over",
            "users",
            "number",
            f"gain in {result.label('ndcg')}, 95 %",
            "better",
            "worse",
        ),
        rows=tuple(rows),
        note="Paired user by user and seed by seed. Better and worse: share of users whose own "
        "figure is higher or lower; the others are equal.",
        names=2,
    )


def gains_by_device(result: StudyResult) -> Drawing | None:
    """Each user's gain over FedAvg, in order."""
    gains = _gains(result)
    if gains is None:
        return None
    label = result.label("ndcg")
    return Drawing(
        name="gains_by_device",
        draw=lambda theme: gains_figure(gains, label=label, theme=theme),
        description=f"Users by their gain in {label} over {gains.baseline}: {gains.better:.0%} "
        f"gain, {gains.worse:.0%} lose.",
        caption=f"{gains.subject} over {gains.baseline}; each user is the mean over the seeds.",
    )


def gains_by_activity(result: StudyResult) -> Drawing | None:
    """Mean gain over FedAvg by activity."""
    gains = _gains(result)
    if gains is None:
        return None
    label = result.label("ndcg")
    return Drawing(
        name="gains_by_activity",
        draw=lambda theme: activity_figure(gains, label=label, theme=theme),
        description=f"Mean gain in {label} over {gains.baseline} by training interactions.",
        caption=f"{gains.subject} over {gains.baseline}, in quartiles of training interactions.",
    )


def _subject(result: StudyResult) -> Model | None:
    subject = result.points[0].comparison.subject
    return subject if subject.kind == KINDS[0] else None


def _gains(result: StudyResult) -> Gains | None:
    subject, rival = _subject(result), result.points[0].model(_FEDAVG)
    if subject is None or rival is None:
        return None
    try:
        return device_gains(subject, rival)
    except ConfigError:
        return None
