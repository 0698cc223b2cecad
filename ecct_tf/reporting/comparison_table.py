"""A comparison on the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ecct_tf.reporting.comparison import KINDS, Comparison
from ecct_tf.reporting.comparison_files import cells, headings

__all__ = ["print_table"]


def print_table(comparison: Comparison, *, console: Console | None = None) -> None:
    """Prints the models by kind.

    Args:
      comparison: the models.
      console: where to; by default the terminal, or 120 columns where there is none.
    """
    if console is None:
        console = Console()
        # A pipe has no width; a table folded at 80 columns would be of no use in a log.
        if not console.is_terminal:
            console = Console(width=120)
    run = comparison.runs[0]
    data = run.config.get("data.name") or run.config["data.dataset"]
    table = Table(
        title=Text(
            f"{data}, {run.config['data.split'].replace('_', '-')} split, "
            f"test items among {run.candidates} candidates"
        ),
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    first, *others = headings(comparison)
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    for kind in KINDS:
        models = comparison.of_kind(kind)
        for model in models:
            # As text, not markup: a name may contain brackets.
            row = [Text(cell) for cell in cells(model)]
            table.add_row(*row, style="bold" if kind == KINDS[0] else None)
        if models:
            table.add_section()
    console.print(table)
    for note in comparison.notes:
        console.print(Text(note))
