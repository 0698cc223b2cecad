"""The final table on the terminal."""

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from ecct_tf.simulation.methods import display_name
from ecct_tf.simulation.simulate import SimulationResult

__all__ = ["print_results"]


def print_results(result: SimulationResult, *, out: Path) -> None:
    """Prints the result table, what crossed the network, and where everything lies."""
    config = result.experiment.config
    name = display_name(config)
    k = config.evaluation.k
    split = {"leave_one_out": "Leave-one-out", "temporal": "Temporal split"}[config.data.split]
    name_of_data = result.experiment.dataset.name
    table = Table(title=f"{split} on {name_of_data}, test items, seed {config.seed}")
    table.add_column("model")
    table.add_column("sees")
    for name in (f"HR@{k}", f"NDCG@{k}", "MRR", "AUC", "GAUC", "log loss"):
        table.add_column(name, justify="right")
    for row in result.rows:
        metrics = row.metrics
        ours = row.model.startswith(name)
        loose = (metrics.auc, metrics.log_loss) if row.calibrated else (None, None)
        values = (metrics.hr, metrics.ndcg, metrics.mrr, loose[0], metrics.gauc, loose[1])
        cells = ["-" if value is None else f"{value:.4f}" for value in values]
        table.add_row(row.model, row.sees, *cells, style="bold" if ours else None)
    # A pipe has no width; a table folded at 80 columns would be of no use in a log.
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    console.print(table)
    if (out / "metrics.csv").exists():
        console.print(_traffic(result, out), highlight=False)
    console.print(f"Run folder: {out}", highlight=False)


def _traffic(result: SimulationResult, out: Path) -> str:
    metrics = pd.read_csv(out / "metrics.csv")
    devices = max(result.algorithm.num_devices, 1)
    totals = {
        name: int(metrics[f"{name}_bytes"].sum()) / devices / 1024
        for name in ("downlink", "uplink", "weights", "item_table")
    }
    shares = ", ".join(f"{name.replace('_', ' ')} {kib:,.1f}" for name, kib in totals.items())
    return f"Transmitted per device in {len(metrics)} rounds, KiB: {shares}"
