"""Ratios of rows, and whether all computed the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.peers.processes import RowResult

__all__ = [
    "AVERAGED",
    "REFERENCES",
    "agreement",
    "format_table",
    "goal_lines",
    "plot",
    "times_as_long",
]

REFERENCES = {
    "exchange": "ECCT, exchange, engine tff",
    "averaging": "ECCT, averaging alone, engine tff",
}
"""The rows that others are compared with, by what stands above their ratios."""
AVERAGED = {False: "ECCT, averaging alone, engine local", True: "tff.learning, with item table"}
"""The rows that others must agree with, without and with a table of items."""
GOALS = {
    "tff.learning, with item table": 45.0,
    "FedJAX, with item table": 7.0,
    "pfl, with item table": 20.0,
    "plain TensorFlow, exchange": 0.85,
}
"""How many times as long as ECCT's exchange a round of each is to take at least."""
LOSS_TOLERANCE = 1e-4
"""Relative, of the first round's loss."""
CHANGE_TOLERANCE = 5e-3
"""Relative, of what the first round adds to the weights: ours cross as float16."""


def times_as_long(row: RowResult, than: RowResult, *, processor: bool = False) -> float:
    """Median over cycles of the ratio of median round times, or of processor times."""

    def of(result: RowResult) -> list[float]:
        if processor:
            return [cycle.processor_seconds for cycle in result.cycles]
        return [float(np.median(cycle.seconds)) for cycle in result.cycles]

    # A row of fewer cycles is compared with the first ones.
    ratios = [own / other for own, other in zip(of(row), of(than), strict=False)]
    return float(np.median(ratios))


def median_seconds(row: RowResult) -> float:
    """Of all its rounds."""
    return float(np.median([second for cycle in row.cycles for second in cycle.seconds]))


def format_table(rows: Sequence[RowResult], *, devices: int) -> list[str]:
    """Lines: a row each, with ratios to `REFERENCES`."""
    width = max(len(row.name) for row in rows)
    by_name = {row.name: row for row in rows}
    references = [by_name[name] for name in REFERENCES.values()]
    above = "".join(f"{'ratio to ' + name:>21}" for name in REFERENCES)
    below = f"{'clock':>11}{'processor':>10}" * len(REFERENCES)
    lines = [
        f"{'':{width}} {'':>9} {'':>9} {'processor':>10}{above}",
        f"{'':{width}} {'s/round':>9} {'devices/s':>9} {'µs/device':>10}{below}",
    ]
    for row in rows:
        seconds = median_seconds(row)
        used = float(np.median([cycle.processor_seconds for cycle in row.cycles]))
        ratios = "".join(
            f"{times_as_long(row, than):>11.2f}{times_as_long(row, than, processor=True):>10.2f}"
            for than in references
        )
        per_device = 1e6 * used / devices
        lines.append(
            f"{row.name:{width}} {seconds:>9.3f} {devices / seconds:>9,.0f} "
            f"{per_device:>10,.0f}{ratios}"
        )
    return lines


def goal_lines(rows: Sequence[RowResult]) -> list[str]:
    """Which of `GOALS` were met, by the clock."""
    by_name = {row.name: row for row in rows}
    exchange = by_name[REFERENCES["exchange"]]
    lines = []
    for name, wanted in GOALS.items():
        if name in by_name:
            got = times_as_long(by_name[name], exchange)
            verdict = "met" if got >= wanted else "MISSED"
            lines.append(f"{name}: {got:.2f} times ECCT's, wanted {wanted:g}: {verdict}")
    return lines


def agreement(row: RowResult, reference: RowResult) -> tuple[bool, str]:
    """Whether the first rounds of two rows are the same, and a line that says so."""
    if row.loss is None or reference.loss is None:
        return True, f"{row.name}: other devices, nothing to compare"
    loss = abs(row.loss / reference.loss - 1)
    same = loss <= LOSS_TOLERANCE
    said = f"{row.name}: loss {row.loss:.6f} (differs by {loss:.1e})"
    if row.change is None or reference.change is None:
        return same, f"{said}; its weights are no plain mean"
    apart = float(np.linalg.norm(row.change - reference.change) / np.linalg.norm(reference.change))
    return same and apart <= CHANGE_TOLERANCE, f"{said}, change of weights differs by {apart:.1e}"


def plot(path: Path, results: Mapping[int, Sequence[RowResult]]) -> None:
    """Draws seconds of a round by participants, a line for each row."""
    # Only this needs it.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    for rows in zip(*results.values(), strict=True):
        axes.plot(list(results), list(map(median_seconds, rows)), marker="o", label=rows[0].name)
    axes.set(xscale="log", yscale="log", xlabel="devices in a round", ylabel="seconds a round")
    axes.set_xticks(list(results), list(map(str, results)))
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
