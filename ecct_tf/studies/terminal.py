"""A study's table on the terminal."""

from rich.console import Console

from ecct_tf.reporting.columns import Column, console_for, fitting, table_of
from ecct_tf.studies.result import StudyResult
from ecct_tf.studies.table import grid_table
from ecct_tf.terminal import prose

__all__ = ["print_grid"]


def print_grid(result: StudyResult, *, console: Console | None = None) -> None:
    """Prints each point with its models; what is too wide for the terminal is left out and named.

    Args:
      result: of the study.
      console: where to; by default the terminal, or as wide as needed where there is none.
    """
    table = grid_table(result)
    columns = [
        Column(heading, tuple(row[n] for row in table.rows), n, right=n >= table.names)
        for n, heading in enumerate(table.headings)
    ]
    console = console or console_for(columns)
    shown = fitting(columns, console.width)
    ends, row = [], -1
    for point in result.points[:-1]:
        row += len(point.models)
        ends.append(row)
    console.print(
        table_of(
            shown,
            title=f"{result.study.name}, seeds {', '.join(map(str, result.seeds))}",
            bold=[model.kind == "ECCT" for _, model in result.rows()],
            ends=ends,
        )
    )
    left_out = [column.heading for column in columns if column not in shown]
    if left_out:
        prose(f"The window is too narrow for {'; '.join(left_out)}. study.csv has them.", console)
