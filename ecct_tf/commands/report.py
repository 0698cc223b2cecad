"""`ecct report`."""

from pathlib import Path

import click

from ecct_tf.commands.options import examples

__all__ = ["report"]


@click.command(
    epilog=examples(
        "ecct report runs/mine",
        "ecct report runs/baselines --out report.html --against FedAvg",
    )
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="HTML file; by default report.html in the run folder, or here for several.",
)
@click.option(
    "--against",
    metavar="MODEL",
    help="Baseline to begin with, by its name in the report; by default the strongest.",
)
def report(runs: tuple[Path, ...], out: Path | None, against: str | None) -> None:
    """Write the results of runs as one HTML file that needs no network.

    RUN is a run folder, or a folder of run folders. ECCT's runs over several seeds, together
    with those of `ecct baselines`, give the whole report.
    """
    from ecct_tf.reporting import read_runs, write_report
    from ecct_tf.reporting.comparison import missing_files, reason_left_out

    found = read_runs(runs)
    if out is None:
        out = (found[0].path if len(found) == 1 else Path()) / "report.html"
    path = write_report(found, out, named=runs, against=against)
    for run in found:
        if not run.complete:
            click.echo(f"Left out: {run.path}, {reason_left_out(run)}", err=True)
        else:
            for words in missing_files(run):
                click.echo(f"Missing: {words}", err=True)
    click.echo(f"Report: {path}")
