"""Devices of different strength in one run: mixed tiers beside each single tier."""

from ecct_tf.reporting.comparison import KINDS, Model
from ecct_tf.reporting.pairs import gain_interval
from ecct_tf.studies.drawings import quality_by_point
from ecct_tf.studies.gains import gain_of, tiers_of, user_gains
from ecct_tf.studies.result import PointResult, StudyResult
from ecct_tf.studies.study import Point, Study, Table
from ecct_tf.studies.table import interval_text

__all__ = ["mixes_table", "models", "tiers_table"]

_NO_EXCHANGE = "no exchange edge"


def models() -> Study:
    """Each tier alone and two mixes, with the exchange and without."""
    return Study(
        name="models",
        question="Do devices with weak and strong models help each other, and what does a mix lose "
        "against the best single tier?",
        axis="edge models of the devices",
        points=(
            Point("linear", _tiers(linear=1)),
            Point("mlp", _tiers(mlp=1)),
            Point("attention", _tiers(attention=1)),
            Point("thirds", _tiers(linear=0.34, mlp=0.33, attention=0.33)),
            Point("mostly linear", _tiers(linear=0.7, mlp=0.2, attention=0.1)),
        ),
        methods=("ecct", "no-exchange"),
        reference="mlp",
        drawings=(quality_by_point,),
        tables=(mixes_table, tiers_table),
        note="The seed assigns tiers to devices, in the shares of the point.",
    )


def mixes_table(result: StudyResult) -> Table | None:
    """Each mix against the best single tier; None without both."""
    single = [(point, model) for point, model in _edges(result) if not _is_mix(point)]
    mixes = [(point, model) for point, model in _edges(result) if _is_mix(point)]
    if not single or not mixes:
        return None
    best, model = max(single, key=lambda each: _hr(each[1]))
    rows = tuple(
        (
            point.point.label,
            f"{_hr(mix):.3f}",
            f"{best.point.label}, {_hr(model):.3f}",
            interval_text(gain_interval(mix, model)),
        )
        for point, mix in mixes
    )
    label = result.label("hr")
    return Table(
        name="mixes",
        title="A mix against the best single tier",
        headings=("mix", label, f"best single tier, {label}", "difference, 95 %"),
        rows=rows,
        note="ECCT's edge, all devices, paired over users and seeds.",
    )


def tiers_table(result: StudyResult) -> Table | None:
    """The devices of each tier, with the exchange and without; None where tiers are not told."""
    rows = []
    for point, model in _edges(result):
        without = point.model(_NO_EXCHANGE)
        if without is None:
            continue
        table = user_gains(model, without, quality="hr")
        if table is None:
            continue
        tiers = {run.seed: tiers_of(run) for run in model.runs}
        if any(found is None for found in tiers.values()):
            return None
        told = [
            str(tiers[seed].loc[user])  # type: ignore[union-attr]  # None was left above
            for seed, user in zip(table["seed"], table["user"], strict=True)
        ]
        for tier in dict.fromkeys(sorted(told)):
            mine = table[[each == tier for each in told]]
            rows.append(
                (
                    point.point.label,
                    tier,
                    f"{len(mine) / len(model.seeds):.0f}",
                    f"{mine['subject'].mean():.3f}",
                    f"{mine['baseline'].mean():.3f}",
                    interval_text(gain_of(mine)),
                )
            )
    if not rows:
        return None
    label = result.label("hr")
    return Table(
        name="tiers",
        title="Each tier with the exchange and without",
        headings=(
            "point",
            "tier",
            "devices",
            f"{label}, ECCT",
            f"{label}, no exchange",
            "gain, 95 %",
        ),
        rows=tuple(rows),
        note="Of the devices that have the tier; gains are paired over users and seeds.",
        names=2,
    )


def _tiers(**shares: float) -> tuple[str, ...]:
    listed = ", ".join(f"{tier}: {share:g}" for tier, share in shares.items())
    return (f"edge.tiers={{{listed}}}",)


def _is_mix(point: PointResult) -> bool:
    shares = point.comparison.runs[0].config["edge.tiers"]
    return sum(share > 0 for share in shares.values()) > 1


def _edges(result: StudyResult) -> list[tuple[PointResult, Model]]:
    """ECCT's edge model at each point."""
    return [
        (point, model)
        for point, model in result.rows()
        if model.kind == KINDS[0] and model.side == "edge" and model.runs
    ]


def _hr(model: Model) -> float:
    quality = model.quality["hr"]
    return float("-inf") if quality is None else quality.mean
