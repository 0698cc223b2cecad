"""`ecct compare`."""

from pathlib import Path

import click

from ecct_tf.commands.options import examples

__all__ = ["compare"]


@click.command(
    epilog=examples(
        "ecct compare runs/mine runs/private",
        "ecct compare runs/baselines --format markdown --out comparison",
    )
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv"]),
    default="table",
    show_default=True,
    help="Output format.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for compare.csv, compare.md and plots; by default nothing is written.",
)
def compare(runs: tuple[Path, ...], form: str, out: Path | None) -> None:
    """Compare runs, each model over its seeds.

    RUN is a run folder, or a folder of run folders. The figures are mean ± standard
    deviation over the seeds on the test items. Runs on other data are refused, and runs
    that are not complete are left out.
    """
    from ecct_tf.reporting import compare_runs, read_runs, write_comparison
    from ecct_tf.reporting.comparison_files import as_csv, as_markdown
    from ecct_tf.reporting.comparison_table import print_table

    comparison = compare_runs(read_runs(runs))
    for run, reason in comparison.left_out:
        click.echo(f"Left out: {run.path}, {reason}", err=True)
    if form == "table":
        print_table(comparison)
    else:
        click.echo((as_csv if form == "csv" else as_markdown)(comparison), nl=False)
    if out is not None:
        for path in write_comparison(comparison, out):
            click.echo(path, err=True)
