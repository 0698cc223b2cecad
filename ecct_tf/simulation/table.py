"""The final table on the terminal."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from ecct_tf.evaluation import Interval, hits, paired_interval
from ecct_tf.reporting.columns import Column, console_for, fitting, table_of
from ecct_tf.reporting.spread import plural
from ecct_tf.simulation.methods import model_name
from ecct_tf.simulation.results import CatalogResult, ResultRow, start_line
from ecct_tf.simulation.simulate import SimulationResult
from ecct_tf.terminal import prose

__all__ = ["print_results"]


def print_results(
    result: SimulationResult, *, out: Path | None, console: Console | None = None
) -> None:
    """Prints the result table, what crossed the network, and where everything lies.

    The rows of what was run have a `>` before them. Where the terminal is narrow, the columns
    that fit are shown whole, and the others named.

    Args:
      result: of the run.
      out: the run folder; None for a run in memory.
      console: where to; by default the terminal, or whatever width the table needs in a pipe.
    """
    config = result.experiment.config
    columns = _columns(result)
    console = console or console_for(columns)
    shown = fitting(columns, console.width)
    split = {"leave_one_out": "Leave-one-out", "temporal": "Temporal split"}[config.data.split]
    own = _own(result)
    console.print(
        table_of(
            shown,
            title=f"{split} on {result.experiment.dataset.name}, test items, seed {config.seed}",
            bold=[row.model in own for row in result.rows],
        )
    )
    catalog = _print_catalog(result, own, console)
    notes = [f"> marks this run's own models. Interval: over {_users(result)}."]
    left_out = [column.heading for column in columns if column not in shown]
    if left_out:
        where = "" if out is None else f"; {out / 'results.csv'} has them"
        notes.append(f"The window is too narrow for the columns {', '.join(left_out)}{where}.")
    notes += catalog
    notes += _standing(result.rows, own, result)
    notes += [line for line in map(start_line, result.rows) if line]
    notes += result.notes
    if out is not None and (out / "metrics.csv").exists():
        notes.append(_traffic(result, out))
    if out is not None:
        notes.append(f"Run folder: {out}")
    for note in notes:
        prose(note, console)


def _print_catalog(result: SimulationResult, own: set[str], console: Console) -> list[str]:
    """Prints what was ranked over the whole catalog, if anything; returns notes on it."""
    measured = [(row, row.catalog) for row in result.rows if row.catalog is not None]
    if not measured:
        return []
    found: list[CatalogResult] = [catalog for _, catalog in measured]
    k, items = found[0].metrics.k, found[0].metrics.num_items
    names = tuple(f"{'>' if row.model in own else ' '} {row.model}" for row, _ in measured)
    bits = tuple(f"{each.metrics.novelty:.2f}" for each in found)
    columns = [
        Column("  model", names, 0, right=False),
        Column(f"HR@{k}", _numbers(each.metrics.hr for each in found), 1),
        Column("95 % interval", tuple(_ends(each.hr) for each in found), 4),
        Column(f"NDCG@{k}", _numbers(each.metrics.ndcg for each in found), 2),
        Column("MRR", _numbers(each.metrics.mrr for each in found), 5),
        Column("coverage", tuple(f"{each.metrics.coverage:.1%}" for each in found), 3),
        Column("novelty", bits, 6),
    ]
    if any(each.metrics.recall != each.metrics.hr for each in found):
        recall = _numbers(each.metrics.recall for each in found)
        columns.append(Column(f"Recall@{k}", recall, 7))
    shown = fitting(columns, console.width)
    console.print()
    console.print(
        table_of(
            shown,
            title=f"Among all {items:,} items but those met before",
            bold=[row.model in own for row, _ in measured],
        )
    )
    coverage = f"Coverage: share of the items in anyone's first {k}. Novelty: in bits."
    left_out = [column.heading for column in columns if column not in shown]
    if left_out:
        coverage += f" The window is too narrow for {', '.join(left_out)}."
    return [coverage]


def _columns(result: SimulationResult) -> list[Column]:
    """All columns, in the order in which they are shown."""
    rows, own, k = result.rows, _own(result), result.experiment.config.evaluation.k
    loose = [(row.metrics.auc, row.metrics.log_loss) if row.calibrated else None for row in rows]
    names = tuple(f"{'>' if row.model in own else ' '} {row.model}" for row in rows)
    return [
        Column("  model", names, 0, right=False),
        Column("sees", tuple(row.sees for row in rows), 7, right=False),
        Column(f"HR@{k}", _numbers(row.metrics.hr for row in rows), 1),
        Column("95 % interval", tuple(_ends(row.hr) for row in rows), 2),
        Column(f"NDCG@{k}", _numbers(row.metrics.ndcg for row in rows), 3),
        Column("MRR", _numbers(row.metrics.mrr for row in rows), 5),
        Column("AUC", _numbers(None if pair is None else pair[0] for pair in loose), 6),
        Column("GAUC", _numbers(row.metrics.gauc for row in rows), 4),
        Column("log loss", _numbers(None if pair is None else pair[1] for pair in loose), 8),
    ]


def _numbers(values: Iterable[float | None]) -> tuple[str, ...]:
    return tuple("-" if value is None else f"{value:.4f}" for value in values)


def _ends(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return "-"
    return f"{interval.low:.3f} to {interval.high:.3f}"


def _own(result: SimulationResult) -> set[str]:
    """Names of the models of the run itself."""
    config = result.experiment.config
    return {model_name(config, side) for side in ("edge", "cloud", "everything")}


def _users(result: SimulationResult) -> str:
    return plural(max(row.metrics.num_users for row in result.rows), "user")


def _standing(rows: Sequence[ResultRow], own: set[str], result: SimulationResult) -> list[str]:
    """How the run stands against the strongest of the others, paired over users."""
    ours = sorted((row for row in rows if row.model in own), key=lambda row: row.side != "edge")
    others = [row for row in rows if row.model not in own]
    if not ours or not others:
        return []
    subject, rival = ours[0], max(others, key=lambda row: row.metrics.hr)
    k = subject.metrics.k
    gain = paired_interval(
        hits(subject.places, k), hits(rival.places, k), users=result.experiment.test.users
    )
    told = f"{subject.model} against the strongest of the others, {rival.model}: {gain.mean:+.4f}"
    if gain.low is None or gain.high is None:
        return [f"{told} HR@{k}."]
    sure = "" if gain.excludes_zero else "; that may be chance"
    return [f"{told} HR@{k}, 95 % interval {gain.low:+.4f} to {gain.high:+.4f}, paired{sure}."]


def _traffic(result: SimulationResult, out: Path) -> str:
    metrics = pd.read_csv(out / "metrics.csv")
    devices = max(result.algorithm.num_devices, 1)
    totals = {
        name: int(metrics[f"{name}_bytes"].sum()) / devices / 1024
        for name in ("downlink", "uplink", "weights", "item_table")
    }
    told = [f"{name.replace('_', ' ')} {kib:,.1f}" for name, kib in totals.items()]
    sums = getattr(result.algorithm, "sums", None)
    if sums is not None and sums.uplink_bytes:
        once = sums.uplink_bytes / devices / 1024
        told.append(f"sums {once:,.1f} (once, {sums.told_of})")
    shares = ", ".join(told)
    return f"Transmitted per device in {plural(len(metrics), 'round')}, KiB: {shares}"
