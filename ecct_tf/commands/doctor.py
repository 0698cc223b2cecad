"""`ecct doctor`."""

import sys

import click

__all__ = ["doctor"]


@click.command()
def doctor() -> None:
    """Check the installation: versions, what is missing or wrong, and the mend."""
    from rich.console import Console
    from rich.table import Table

    from ecct_tf.doctor import diagnose

    checks = diagnose()
    styles = {"ok": "green", "warning": "yellow", "error": "red"}
    table = Table("check", "status", "found", "mend", title="ecct doctor")
    for check in checks:
        status = f"[{styles[check.status]}]{check.status}[/]"
        table.add_row(check.name, status, check.found, check.remedy)
    Console().print(table)
    if any(check.status == "error" for check in checks):
        sys.exit(1)
