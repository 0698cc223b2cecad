"""A comparison as tables: CSV with every figure, Markdown for people, and files of both."""

import csv
import html
import io
import re
from pathlib import Path

from ecct_tf.errors import ConfigError
from ecct_tf.evaluation import Interval
from ecct_tf.reporting.comparison import Comparison, Model
from ecct_tf.reporting.pairs import MEASURES, Measure, gain_interval, interval_of
from ecct_tf.reporting.plots import write_comparison_plots
from ecct_tf.reporting.run import CATALOG, QUALITY
from ecct_tf.reporting.spread import Spread, bytes_text, seconds_text, signed

__all__ = [
    "as_csv",
    "as_markdown",
    "cells",
    "escaped",
    "explanation",
    "headings",
    "write_comparison",
]


def headings(comparison: Comparison) -> list[str]:
    """Of the columns that `cells` fills."""
    names = [comparison.label(name) for name in _shown(comparison)]
    subject = comparison.subject.name
    hr, ndcg, *catalog = ([name, f"over it, {name}"] for name in names)
    return [
        *("model", hr[0], "95 % interval", f"{subject} over it"),
        *ndcg,
        comparison.label("gauc"),
        *("seeds", "per device, round", "duration"),
        *(heading for pair in catalog for heading in pair),
    ]


def cells(model: Model, comparison: Comparison) -> list[str]:
    """A model's row for people; `-` where there is nothing to tell."""
    traffic, seconds = model.traffic, model.seconds
    hr, ndcg, *catalog = (
        [_text(model.quality[name]), _gain(model, comparison, name)] for name in _shown(comparison)
    )
    return [
        model.name,
        hr[0],
        _ends(interval_of(model)),
        hr[1],
        *ndcg,
        _text(model.quality["gauc"]),
        str(len(model.seeds)),
        "-" if traffic is None else bytes_text(traffic.per_round.mean),
        "-" if seconds is None else seconds_text(seconds.mean),
        *(cell for pair in catalog for cell in pair),
    ]


def explanation(comparison: Comparison) -> str:
    """What the columns of `cells` mean; of what is in no cell nothing is said."""
    rows = [cells(model, comparison) for model in comparison.models]
    several = any("±" in cell for row in rows for cell in row)
    spread = "±: standard deviation over seeds. " if several else "One seed of each model. "
    # The gain in the hit rate, with its interval.
    paired = any("(" in row[3] for row in rows)
    gains = "; of gains paired, each user's rank by both models" if paired else ""
    return (
        f"{spread}Interval: 95 % of the bootstrap over users, of {comparison.label('hr')}{gains}."
    )


def as_csv(comparison: Comparison) -> str:
    """Every figure, one row per model; a cell is empty where there is no such figure."""
    rows = [_row(model, comparison) for model in comparison.models]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_markdown(comparison: Comparison) -> str:
    """A table for a README or a pull request."""
    head = headings(comparison)
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for model in comparison.models:
        row = cells(model, comparison)
        lines.append("| " + " | ".join(escaped(cell) for cell in row) + " |")
    notes = (explanation(comparison), *comparison.notes)
    lines += ["", *(escaped(note) for note in notes)]
    return "\n".join(lines).rstrip() + "\n"


def write_comparison(comparison: Comparison, folder: Path) -> tuple[Path, ...]:
    """Writes `compare.csv`, `compare.md` and the plots.

    Raises:
      ConfigError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tables = {"compare.csv": as_csv(comparison), "compare.md": as_markdown(comparison)}
        for name, text in tables.items():
            (folder / name).write_text(text, encoding="utf-8")
        plots = write_comparison_plots(comparison, folder)
    except OSError as error:
        raise ConfigError(f"cannot write the comparison to {folder}: {error.strerror}") from error
    return (*(folder / name for name in tables), *plots)


def _row(model: Model, comparison: Comparison) -> dict[str, object]:
    row: dict[str, object] = {
        "model": model.name,
        "method": model.method,
        "kind": model.kind,
        "side": model.side,
        "sees": model.sees,
        "seeds": " ".join(map(str, model.seeds)),
    }
    for name in (*QUALITY, *CATALOG):
        row.update(_columns(name, model.quality[name]))
    subject = comparison.subject
    for measure in MEASURES:
        row.update(_interval_columns(measure, interval_of(model, measure)))
    gains = {
        measure: None if model is subject else gain_interval(subject, model, measure)
        for measure in MEASURES
    }
    row["gain_of"] = "" if gains["hr"] is None else subject.name
    for measure, gain in gains.items():
        row[f"gain_{measure}"] = "" if gain is None else gain.mean
        row.update(_interval_columns(f"gain_{measure}", gain))
    traffic = model.traffic
    parts = ("downlink", "uplink", "weights")
    for part in parts:
        row[f"{part}_bytes_per_round"] = "" if traffic is None else traffic.parts[part]
    row.update(_columns("bytes_per_round", None if traffic is None else traffic.per_round))
    row["item_table_bytes"] = "" if traffic is None else traffic.item_table
    row["sums_bytes"] = "" if traffic is None else traffic.sums
    row.update(_columns("bytes_total", None if traffic is None else traffic.total))
    row.update(_columns("seconds", model.seconds))
    return row


def _columns(name: str, spread: Spread | None) -> dict[str, object]:
    if spread is None:
        return {f"{name}_mean": "", f"{name}_std": ""}
    deviation = spread.deviation
    return {f"{name}_mean": spread.mean, f"{name}_std": "" if deviation is None else deviation}


def _interval_columns(name: str, interval: Interval | None) -> dict[str, object]:
    ends = (None, None) if interval is None else (interval.low, interval.high)
    return {
        f"{name}_{end}": "" if value is None else value
        for end, value in zip(("low", "high"), ends, strict=True)
    }


def _text(spread: Spread | None) -> str:
    return "-" if spread is None else spread.text()


def _ends(interval: Interval | None) -> str:
    if interval is None or interval.low is None or interval.high is None:
        return "-"
    return f"{interval.low:.3f} to {interval.high:.3f}"


def _shown(comparison: Comparison) -> tuple[Measure, ...]:
    """What a person compares: the catalog's figure too, where it was measured."""
    sampled: tuple[Measure, ...] = ("hr", "ndcg")
    return (*sampled, "catalog_ndcg") if comparison.over_catalog else sampled


def _gain(model: Model, comparison: Comparison, measure: Measure) -> str:
    subject = comparison.subject
    gain = None if model is subject else gain_interval(subject, model, measure)
    if gain is None:
        return "-"
    if gain.low is None or gain.high is None:
        return signed(gain.mean)
    return f"{signed(gain.mean)} ({signed(gain.low)} to {signed(gain.high)})"


def escaped(text: str) -> str:
    """Without meaning in Markdown, nor in the HTML that it may contain."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(text, quote=False))
