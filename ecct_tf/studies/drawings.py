"""Figures that several studies have: quality by point, and by bytes."""

from ecct_tf.reporting.axis_figures import Mark, Series, axis_figure, bytes_figure
from ecct_tf.reporting.comparison import KINDS, Model
from ecct_tf.reporting.figures_of_models import ablation_figure
from ecct_tf.reporting.spread import Spread, bytes_text
from ecct_tf.studies.result import StudyResult
from ecct_tf.studies.study import Drawing

__all__ = ["quality_by_bytes", "quality_by_point", "quality_of_points"]


def quality_by_point(result: StudyResult) -> Drawing | None:
    """A line for each model along the axis; None with fewer than two points."""
    series = _series(result)
    if len(result.points) < 2 or not series:
        return None
    label, axis = result.label("hr"), result.study.axis
    ticks = [(_place(result, n), p.point.label) for n, p in enumerate(result.points)]
    values = "; ".join(f"{each.name} {each.mean[0]:.3f} to {each.mean[-1]:.3f}" for each in series)
    return Drawing(
        name="quality_by_point",
        draw=lambda theme: axis_figure(
            series,
            ticks=ticks,
            axis=axis,
            label=label,
            theme=theme,
            logarithmic=result.study.logarithmic and _numeric(result),
            connected=_numeric(result),
        ),
        description=f"Test {label} along {axis}, from the first point to the last: {values}.",
        caption="Mean over the seeds; bars: one standard deviation."
        if len(result.seeds) > 1
        else "One seed.",
        legend=tuple((each.name, each.place, each.side) for each in series),
    )


def quality_of_points(result: StudyResult) -> Drawing | None:
    """Edge and cloud of ECCT at each point, one line a point; None without ECCT."""
    rows: list[tuple[str, Spread | None, Spread | None]] = []
    for point in result.points:
        ours = {model.side: model.quality["hr"] for model in point.models if model.runs}
        if ours.keys() & {"edge", "cloud"}:
            rows.append((point.point.label, ours.get("edge"), ours.get("cloud")))
    if not rows:
        return None
    label = result.label("hr")
    values = "; ".join(
        f"{name}: edge {'-' if edge is None else edge.text()}, "
        f"cloud {'-' if cloud is None else cloud.text()}"
        for name, edge, cloud in rows
    )
    return Drawing(
        name="quality_of_points",
        draw=lambda theme: ablation_figure(rows, label=label, theme=theme),
        description=f"Test {label} at each point: {values}.",
        caption="Bars: mean ± standard deviation over the seeds; ticks: single seeds."
        if len(result.seeds) > 1
        else "One seed.",
    )


def quality_by_bytes(result: StudyResult) -> Drawing | None:
    """A mark for each point and model that has rounds; None where nothing is transmitted."""
    edges = [model for _, model in result.rows() if model.side == "edge" and model.traffic]
    places = _colours(edges)
    marks, told = [], []
    for point, model in result.rows():
        traffic, quality = model.traffic, model.quality["hr"]
        if model.side != "edge" or traffic is None or quality is None or not traffic.total.mean:
            continue
        several = sum(each.side == "edge" for each in point.models) > 1
        name = f"{point.point.label}, {model.name}" if several else point.point.label
        size = traffic.total.mean
        marks.append(Mark(name, size, quality.mean, quality.deviation, places[model.name]))
        told.append(f"{name} {quality.mean:.3f} at {bytes_text(size)}")
    if not marks:
        return None
    label = result.label("hr")
    return Drawing(
        name="quality_by_bytes",
        draw=lambda theme: bytes_figure(marks, label=label, theme=theme),
        description=f"Test {label} by the bytes of one device: {'; '.join(told)}.",
        caption="Everything that one device transmits in all rounds, both ways, as encoded: item "
        "table with starting weights where there are any, shared weights, embeddings and logits; "
        "logarithmic scale.",
        legend=tuple(
            (f"{number} {mark.name}", mark.place, "edge")
            for number, mark in enumerate(marks, start=1)
        ),
    )


def _series(result: StudyResult) -> list[Series]:
    places = _colours([model for _, model in result.rows()])
    found: dict[str, list[tuple[float, Spread, Model]]] = {}
    for number, point in enumerate(result.points):
        for model in point.models:
            quality = model.quality["hr"]
            if quality is not None and model.runs:
                place = _place(result, number)
                found.setdefault(model.name, []).append((place, quality, model))
    return [
        Series(
            name=name,
            side=rows[0][2].side,
            place=places[name],
            x=tuple(x for x, _, _ in rows),
            mean=tuple(quality.mean for _, quality, _ in rows),
            deviation=tuple(quality.deviation for _, quality, _ in rows),
        )
        for name, rows in found.items()
    ]


def _colours(models: list[Model]) -> dict[str, int | None]:
    """A colour for each model; both sides of ECCT have the accent, of others their own."""
    places: dict[str, int | None] = {}
    others: dict[str, int] = {}
    for model in models:
        if model.kind == KINDS[0]:
            places[model.name] = None
        else:
            places[model.name] = others.setdefault(model.name_without_side, len(others))
    return places


def _numeric(result: StudyResult) -> bool:
    return all(point.point.at is not None for point in result.points)


def _place(result: StudyResult, number: int) -> float:
    at = result.points[number].point.at
    return float(number) if at is None or not _numeric(result) else at
