"""`ecct doctor`."""

import sys

import click

__all__ = ["doctor"]


@click.command()
@click.option(
    "--deadline",
    type=click.FloatRange(min=1),
    default=120,
    show_default=True,
    metavar="SECONDS",
    help="Longest time for the first computation, imports included.",
)
def doctor(deadline: float) -> None:
    """Check the installation: versions, what is missing or wrong, and the mend.

    The last rows come from a small computation in TFF's worker, in a process of its own.
    """
    from rich.console import Console
    from rich.table import Table

    from ecct_tf.doctor import diagnose
    from ecct_tf.trial import try_out

    checks = diagnose()
    click.echo(f"Trying a first computation, for at most {deadline:g} s ...", err=True)
    checks += try_out(deadline_seconds=deadline)
    styles = {"ok": "green", "warning": "yellow", "error": "red"}
    table = Table("check", "status", "found", "mend", title="ecct doctor")
    for check in checks:
        status = f"[{styles[check.status]}]{check.status}[/]"
        table.add_row(check.name, status, check.found, check.remedy)
    Console().print(table)
    if any(check.status == "error" for check in checks):
        sys.exit(1)
