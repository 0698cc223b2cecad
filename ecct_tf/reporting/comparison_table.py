"""A comparison on the terminal."""

from rich.console import Console

from ecct_tf.reporting.columns import Column, console_for, fitting, table_of
from ecct_tf.reporting.comparison import KINDS, Comparison
from ecct_tf.reporting.comparison_files import cells, explanation, headings
from ecct_tf.terminal import prose

__all__ = ["print_table"]

# Of the columns of `headings`: which stay longest where the terminal is narrow.
_RANKS = (0, 1, 3, 2, 4, 5, 8, 9, 10, 11, 6, 7)


def print_table(comparison: Comparison, *, console: Console | None = None) -> None:
    """Prints the models by kind; what is too wide for the terminal is left out and named.

    Args:
      comparison: the models.
      console: where to; by default the terminal, or as wide as needed where there is none.
    """
    models = [model for kind in KINDS for model in comparison.of_kind(kind)]
    rows = [cells(model, comparison) for model in models]
    heads = headings(comparison)
    # Without figures over the catalog the last columns are not there.
    ranks = _RANKS[: len(heads)]
    columns = [
        Column(heading, tuple(row[place] for row in rows), rank, right=place > 0)
        for place, (heading, rank) in enumerate(zip(heads, ranks, strict=True))
    ]
    console = console or console_for(columns)
    shown = fitting(columns, console.width)
    run = comparison.runs[0]
    ends = [
        number for number, model in enumerate(models[:-1]) if model.kind != models[number + 1].kind
    ]
    console.print(
        table_of(
            shown,
            title=f"{run.data_title}, {run.config['data.split'].replace('_', '-')} split, test "
            f"items among {run.candidates} candidates",
            bold=[model.kind == KINDS[0] for model in models],
            ends=ends,
        )
    )
    left_out = [column.heading for column in columns if column not in shown]
    notes = [explanation(comparison)]
    if left_out:
        notes.append(f"The window is too narrow for {'; '.join(left_out)}. --format csv has them.")
    for note in (*notes, *comparison.notes):
        prose(note, console)
