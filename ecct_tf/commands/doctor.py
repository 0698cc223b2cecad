"""`ecct doctor`."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import click

from ecct_tf.commands.options import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecct_tf.doctor import Check

__all__ = ["doctor"]


@click.command(
    epilog=examples(
        "ecct doctor",
        "ecct doctor --lock",
    )
)
@click.option(
    "--deadline",
    type=click.FloatRange(min=1),
    default=120,
    show_default=True,
    metavar="SECONDS",
    help="Longest time for the first computation, imports included.",
)
@click.option(
    "--lock", is_flag=True, help="Print the path of the lock file for this Python, nothing else."
)
def doctor(deadline: float, lock: bool) -> None:
    """Check the installation: versions, what is missing or wrong, and how to fix it.

    The last rows come from a small computation in TFF's worker, in a separate process.
    The exit code is 1 when something will not work.
    """
    if lock:
        click.echo(_lock_file())
        return
    from rich.table import Table
    from rich.text import Text

    from ecct_tf.doctor import diagnose
    from ecct_tf.terminal import open_console, print_table
    from ecct_tf.trial import try_out

    checks = diagnose()
    click.echo(f"Trying a first computation, for at most {deadline:g} s ...", err=True)
    checks += try_out(deadline_seconds=deadline)
    styles = {"ok": "green", "warning": "yellow", "error": "red"}
    table = Table("check", "status", "found", title="ecct doctor")
    for check in checks:
        table.add_row(check.name, Text(check.status, styles[check.status]), check.found)
    print_table(table, open_console())
    _print_remedies(checks)
    statuses = {check.status for check in checks}
    if "error" in statuses:
        click.echo("\nSomething will not work: fix what is listed above, then run this again.")
        sys.exit(1)
    left = ", within the limits that are listed above" if "warning" in statuses else ""
    click.echo(f"\nThe installation works{left}.")


def _print_remedies(checks: Sequence[Check]) -> None:
    """Each once, below the table: a command to copy must not be broken up."""
    names: dict[str, list[str]] = {}
    for check in checks:
        if check.remedy:
            names.setdefault(check.remedy, []).append(check.name)
    width = shutil.get_terminal_size().columns
    for remedy, of in names.items():
        # A command is whole on its line; what quotes one is prose.
        prose = click.wrap_text(remedy, width, "  ", "  ") if "`" in remedy else f"  {remedy}"
        click.echo(f"\n{', '.join(of)}:\n{prose}")


def _lock_file() -> str:
    import platform

    from ecct_tf.errors import MissingPartError
    from ecct_tf.installation import lock_for, this_installation

    path = lock_for(this_installation())
    if path is None:
        raise MissingPartError(
            "there are lock files for Python 3.11 and 3.12 on Linux x86_64; this is Python "
            f"{platform.python_version()} on {platform.system()} {platform.machine()}"
        )
    return str(path)
