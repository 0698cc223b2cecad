"""`ecct recommend`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecct_tf.commands.options import counted, examples, existing_run, prepare

if TYPE_CHECKING:
    from ecct_tf.runs.recommendations import Recommendations

__all__ = ["recommend"]


@click.command(
    epilog=examples(
        "ecct recommend runs/mine --user 42",
        "ecct recommend runs/mine --user 42 --k 5 --side cloud --json",
    )
)
@click.argument("run", type=existing_run)
@click.option("--user", required=True, metavar="ID", help="Whom for, by the id in the data.")
@click.option(
    "--k", default=10, show_default=True, type=click.IntRange(min=1), help="How many items."
)
@click.option(
    "--side",
    type=click.Choice(["edge", "cloud", "everything"]),
    help="Whose model; by default the edge, or the one that RUN has. That of a method with all "
    "data in one place, such as ease, is everything.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; by default a table.")
def recommend(run: Path, user: str, k: int, side: str | None, as_json: bool) -> None:
    """List the best items of the whole catalog for a user of RUN.

    By the model on the user's own device, or by the cloud's, as at the moment of the test. What
    the user had met before is left out of the list and shown next to it, the newest first. A user
    with too few interactions to have a device in RUN is served as a new device would be, which is
    said below the list.
    """
    prepare("cloud")
    from ecct_tf.runs.run import open_run

    found = open_run(run).recommend(user, k=k, side=side)
    if as_json:
        click.echo(json.dumps(found.as_dict(), ensure_ascii=False))
        return
    _print(found)


def _print(found: "Recommendations") -> None:
    from itertools import zip_longest

    from rich.table import Table

    from ecct_tf.terminal import open_console, print_table, prose

    console = open_console()
    titled = any(found.titles) or any(each.title for each in found.history)
    table = Table(title=f"{found.model}, after {counted(found.rounds, 'round')}: user {found.user}")
    for heading in ("", "item", *(["title"] if titled else []), "score"):
        table.add_column(heading, justify="right" if heading in ("", "score") else "left")
    table.add_column("met before")
    rows = zip_longest(found.items, found.titles, found.scores, found.history[: max(len(found), 1)])
    for rank, (item, title, score, met) in enumerate(rows, start=1):
        best = ["", "", ""] if item is None else [str(rank), item, f"{score:.3f}"]
        before = "" if met is None else met.title or met.item
        table.add_row(*best[:2], *([title or ""] if titled else []), best[2], before)
    print_table(table, console)
    met, shown = len(found.history), min(len(found.history), max(len(found), 1))
    left_out = "which is left out" if met == 1 else "which are left out"
    newest = f"; the newest {shown} {'is' if shown == 1 else 'are'} shown" if met > 1 else ""
    prose(
        f"{counted(met, 'item')} met before, {left_out}{newest}." if met else "Nothing met before.",
        console,
    )
    if found.note:
        prose(found.note, console)
