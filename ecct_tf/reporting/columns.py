"""Tables that fit their terminal: the columns that matter most are whole, the others are named."""

import dataclasses
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ecct_tf.terminal import open_console

__all__ = ["Column", "console_for", "fitting", "table_of"]

_PADDING = 2


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
      heading: its first line.
      cells: a text for each row.
      rank: where the terminal is narrow, the lowest stay; all ranks of a table differ.
      right: whether it holds numbers.
    """

    heading: str
    cells: tuple[str, ...]
    rank: int
    right: bool = True

    @property
    def width(self) -> int:
        """Letters that it needs, with the blanks beside it."""
        return max(map(len, (self.heading, *self.cells))) + _PADDING


def console_for(columns: Sequence[Column]) -> Console:
    """The terminal; or where there is none, one that is as wide as all columns."""
    return open_console(needed=sum(column.width for column in columns))


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that fit into `width` letters side by side, in their order.

    They are taken by rank; one that is too wide is passed over. The first always is taken: a
    terminal narrower than that folds it.

    >>> names = Column("model", ("ECCT edge",), 0, right=False)
    >>> [column.heading for column in fitting([names, Column("HR@10", ("0.7529",), 1)], 18)]
    ['model']
    >>> [column.heading for column in fitting([names, Column("HR@10", ("0.7529",), 1)], 19)]
    ['model', 'HR@10']
    """
    room, chosen = width, set[int]()
    for column in sorted(columns, key=lambda column: column.rank):
        if column.width > room and chosen:
            continue
        room -= column.width
        chosen.add(column.rank)
    return [column for column in columns if column.rank in chosen]


def table_of(
    columns: Sequence[Column], *, title: str, bold: Sequence[bool], ends: Sequence[int] = ()
) -> Table:
    """A table without frames, whose text is taken as it is.

    Args:
      columns: from `fitting`.
      title: above it.
      bold: for each row, whether it stands out.
      ends: rows after which a section ends.
    """
    # Two blanks between columns: one of padding, one in place of a line.
    table = Table(
        title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False,
        padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    for column in columns:
        table.add_column(
            Text(column.heading), justify="right" if column.right else "left", no_wrap=True
        )
    for number, stands_out in enumerate(bold):
        # As text, not markup: a name may contain brackets.
        cells = [Text(column.cells[number]) for column in columns]
        table.add_row(*cells, style="bold" if stands_out else None, end_section=number in ends)
    return table
