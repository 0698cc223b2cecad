"""A study's figures as tables: one for people, and `study.csv` with every run's."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from ecct_tf.evaluation import Interval
from ecct_tf.reporting.comparison import Model
from ecct_tf.reporting.run import CATALOG, QUALITY
from ecct_tf.reporting.spread import Spread, bytes_text, signed
from ecct_tf.reporting.traffic import Traffic, traffic_of
from ecct_tf.studies.result import PointResult, StudyResult, measured
from ecct_tf.studies.study import Table

__all__ = ["as_csv", "grid_table", "interval_text", "table_csv"]

BYTES = (
    *("downlink_bytes", "uplink_bytes", "weights_down_bytes", "weights_up_bytes"),
    *("once_bytes", "total_bytes"),
)


def grid_table(result: StudyResult) -> Table:
    """Each point with each of its models, over the seeds."""
    study = result.study
    moved = result.reference is not None
    headings = ("point", "model", *map(result.label, ("hr", "ndcg")), "ECCT over it, 95 %")
    if moved:
        headings += (f"against {study.reference}, 95 %",)
    headings += tuple(measure.label for measure in study.measures)
    headings += ("down", "up", "weights down", "weights up", "once", "in all")
    rows = []
    for point, model in result.rows():
        cells = [point.point.label, model.name]
        cells += [spread_text(model.quality[name]) for name in ("hr", "ndcg")]
        cells.append(interval_text(result.gain(point, model)))
        if moved:
            cells.append(interval_text(result.change(point, model)))
        for measure in study.measures:
            cells.append(spread_text(measured(measure, model), measure.digits))
        rows.append((*cells, *_bytes_cells(model)))
    return Table(
        name="grid",
        title="Every point and method",
        headings=headings,
        rows=tuple(rows),
        note=_note(result),
        names=2,
    )


def _note(result: StudyResult) -> str:
    seeds = "mean ± standard deviation over the seeds" if len(result.seeds) > 1 else "one seed"
    reference = result.reference
    moved = "" if reference is None else f", and of the row over itself at {reference.point.label}"
    return (
        f"Test quality, {seeds}. Intervals: 95 % of the bootstrap over users, of differences in "
        f"{result.label('hr')} paired user by user: of the point's first ECCT model over the row's"
        f"{moved}. Bytes of one device, as encoded: knowledge and shared weights down and up "
        "in a round, the item table with starting weights and sums of items once, and everything "
        "in all rounds."
    )


def as_csv(result: StudyResult) -> str:
    """Every figure of every run: one row for each point, model, seed and metric.

    Columns: `point`, `at` (its place on a numeric axis), `method`, `model`, `side`, `seed`,
    `metric`, `value`, then the bytes of one device: `downlink_bytes`, `uplink_bytes`,
    `weights_down_bytes` and `weights_up_bytes` in a round in which it takes part,
    `once_bytes` before the first (item table, starting weights and sums of items), `total_bytes`
    in all; empty without rounds.
    """
    head = ("point", "at", "method", "model", "side", "seed", "metric", "value", *BYTES)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=head, lineterminator="\n")
    writer.writeheader()
    for point, model in result.rows():
        writer.writerows(_rows(result, point, model))
    return text.getvalue()


def table_csv(table: Table) -> str:
    """A further table as a file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([table.headings, *table.rows])
    return text.getvalue()


def spread_text(spread: Spread | None, digits: int = 3) -> str:
    """Mean ± standard deviation; a dash for what was not measured."""
    return "–" if spread is None else spread.text(digits)


def interval_text(interval: Interval | None) -> str:
    """A difference with its interval; a dash for none."""
    if interval is None:
        return "–"
    if interval.low is None or interval.high is None:
        return signed(interval.mean)
    return f"{signed(interval.mean)} ({signed(interval.low)} to {signed(interval.high)})"


def _bytes_cells(model: Model) -> tuple[str, ...]:
    traffic = model.traffic
    if traffic is None:
        return ("–",) * len(BYTES)
    return tuple("–" if size is None else bytes_text(size) for size in _sizes(traffic))


def _sizes(traffic: Traffic) -> tuple[float | None, ...]:
    """In the order of `BYTES`; None where a run of an earlier release does not tell."""
    weights, sent = traffic.parts["weights"], traffic.weights_up
    return (
        traffic.parts["downlink"],
        traffic.parts["uplink"],
        None if sent is None else weights - sent,
        sent,
        traffic.once,
        traffic.total.mean,
    )


def _rows(result: StudyResult, point: PointResult, model: Model) -> Iterator[dict[str, Any]]:
    for number, seed in enumerate(model.seeds):
        run = model.runs[number] if model.runs else None
        traffic = None if run is None or model.side == "everything" else traffic_of([run])
        sizes: tuple[float | str, ...] = ("",) * len(BYTES)
        if traffic is not None:
            sizes = tuple("" if size is None else size for size in _sizes(traffic))
        start = {
            "point": point.point.label,
            "at": "" if point.point.at is None else point.point.at,
            "method": model.method,
            "model": model.name,
            "side": model.side,
            "seed": seed,
        }
        figures: dict[str, float | None] = {
            name: None if spread is None else spread.values[number]
            for name in (*QUALITY, *CATALOG)
            if (spread := model.quality[name]) is not None
        }
        if run is not None:
            for measure in result.study.measures:
                figures[measure.name] = measure.of(run, model.side)
        for metric, value in figures.items():
            if value is not None:
                yield {
                    **start, "metric": metric, "value": value,
                    **dict(zip(BYTES, sizes, strict=True)),
                }  # fmt: skip
