"""A comparison as tables: CSV with every figure, Markdown for people, and files of both."""

import csv
import html
import io
import re
from pathlib import Path

from ecct_tf.errors import ConfigError
from ecct_tf.reporting.comparison import Comparison, Model
from ecct_tf.reporting.plots import write_comparison_plots
from ecct_tf.reporting.run import QUALITY
from ecct_tf.reporting.spread import Spread, bytes_text, seconds_text

__all__ = ["as_csv", "as_markdown", "cells", "headings", "write_comparison"]

_SHOWN = ("hr", "ndcg", "gauc")


def headings(comparison: Comparison) -> list[str]:
    """Of the columns that `cells` fills."""
    labels = [comparison.label(name) for name in _SHOWN]
    return ["model", *labels, "seeds", "per device, round", "duration"]


def cells(model: Model) -> list[str]:
    """A model's row for people; `-` where there is nothing to tell."""
    traffic, seconds = model.traffic, model.seconds
    return [
        model.name,
        *(_mean_and_deviation(model.quality[name]) for name in _SHOWN),
        str(len(model.seeds)),
        "-" if traffic is None else bytes_text(traffic.per_round.mean),
        "-" if seconds is None else seconds_text(seconds.mean),
    ]


def as_csv(comparison: Comparison) -> str:
    """Every figure, one row per model; a cell is empty where there is no such figure."""
    rows = [_row(model) for model in comparison.models]
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
        lines.append("| " + " | ".join(_escaped(cell) for cell in cells(model)) + " |")
    lines += ["", *(_escaped(note) for note in comparison.notes)]
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


def _row(model: Model) -> dict[str, object]:
    row: dict[str, object] = {
        "model": model.name,
        "method": model.method,
        "kind": model.kind,
        "side": model.side,
        "sees": model.sees,
        "seeds": " ".join(map(str, model.seeds)),
    }
    for name in QUALITY:
        row.update(_columns(name, model.quality[name]))
    traffic = model.traffic
    parts = ("downlink", "uplink", "weights")
    for part in parts:
        row[f"{part}_bytes_per_round"] = "" if traffic is None else traffic.parts[part]
    row.update(_columns("bytes_per_round", None if traffic is None else traffic.per_round))
    row["item_table_bytes"] = "" if traffic is None else traffic.item_table
    row.update(_columns("bytes_total", None if traffic is None else traffic.total))
    row.update(_columns("seconds", model.seconds))
    return row


def _columns(name: str, spread: Spread | None) -> dict[str, object]:
    if spread is None:
        return {f"{name}_mean": "", f"{name}_std": ""}
    deviation = spread.deviation
    return {f"{name}_mean": spread.mean, f"{name}_std": "" if deviation is None else deviation}


def _mean_and_deviation(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return spread.text() if spread.deviation is not None else f"{spread.text()} ± -"


def _escaped(text: str) -> str:
    """Without meaning in Markdown, nor in the HTML that it may contain."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(text, quote=False))
