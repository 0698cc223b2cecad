"""A study's page, as Markdown and as one HTML file, with its figures and tables."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecct_tf.errors import ConfigError
from ecct_tf.files import write_text
from ecct_tf.reporting.comparison_files import escaped
from ecct_tf.reporting.html import render, write_page
from ecct_tf.reporting.pictures import picture_of
from ecct_tf.reporting.plots import save_figure
from ecct_tf.reporting.provenance import origins_of
from ecct_tf.reporting.run import Run
from ecct_tf.reporting.spread import plural
from ecct_tf.reporting.theme import PAPER, SCREEN, SCREEN_VARIABLES
from ecct_tf.studies.result import StudyResult
from ecct_tf.studies.study import Drawing, Table
from ecct_tf.studies.table import as_csv, grid_table, table_csv

__all__ = ["write_study"]


def write_study(result: StudyResult, folder: Path) -> tuple[Path, ...]:
    """Writes `study.csv`, further tables, the figures, `study.md` and `study.html`.

    Returns:
      The files, the page last.

    Raises:
      ConfigError: a file cannot be written.
    """
    drawings = [drawn for draw in result.study.drawings if (drawn := draw(result)) is not None]
    further = [table for fill in result.study.tables if (table := fill(result)) is not None]
    grid = grid_table(result)
    written = []
    try:
        texts = {"study.csv": as_csv(result)}
        texts.update({f"{table.name}.csv": table_csv(table) for table in further})
        texts["study.md"] = _markdown(result, drawings=drawings, tables=[grid, *further])
        for name, content in texts.items():
            write_text(folder / name, content)
            written.append(folder / name)
        for each in drawings:
            draw_on_paper = functools.partial(each.draw, PAPER)
            written += save_figure(draw_on_paper, folder / "plots", each.name, ("png", "svg"))
    except OSError as error:
        raise ConfigError(f"cannot write the study to {folder}: {error.strerror}") from error
    text = _html(result, drawings=drawings, grid=grid, tables=further)
    return (*written, write_page(text, folder / "study.html", what="study"))


def _runs(result: StudyResult) -> list[Run]:
    return [run for point in result.points for run in point.comparison.runs]


def _facts(result: StudyResult) -> str:
    run = _runs(result)[0]
    seeds = ", ".join(map(str, result.seeds))
    return (
        f"{run.data_title} · {str(run.config['data.split']).replace('_', '-')} split · "
        f"{run.candidates} candidates · {plural(len(result.points), 'point')} · seeds {seeds}"
    )


def _notes(result: StudyResult) -> list[str]:
    notes = [result.study.note] if result.study.note else []
    return [*notes, *dict.fromkeys(n for p in result.points for n in p.comparison.notes)]


def _markdown(result: StudyResult, *, drawings: Sequence[Drawing], tables: Sequence[Table]) -> str:
    study = result.study
    lines = [f"# Study: {study.name}", "", escaped(study.question), "", escaped(_facts(result))]
    for note in _notes(result):
        lines += ["", escaped(note)]
    for each in drawings:
        alt = escaped(each.description)
        lines += ["", f"![{alt}](plots/{each.name}.png)", "", escaped(each.caption)]
    for table in tables:
        lines += ["", f"## {escaped(table.title)}", "", *_table_lines(table)]
        lines += ["", escaped(table.note)] if table.note else []
    lines += ["", "## Points", "", *_table_lines(_points(result))]
    lines += ["", "## How to reproduce", "", "```sh", result.command, "```"]
    return "\n".join(lines) + "\n"


def _table_lines(table: Table) -> list[str]:
    head = [escaped(heading) for heading in table.headings]
    lines = [
        "| " + " | ".join(head) + " |",
        "|---" * table.names + "|---:" * (len(head) - table.names) + "|",
    ]
    return lines + ["| " + " | ".join(map(escaped, row)) + " |" for row in table.rows]


def _points(result: StudyResult) -> Table:
    rows = tuple(
        (point.point.label, " ".join(point.point.overrides) or "as it is")
        for point in result.points
    )
    return Table("points", "Points", ("point", "settings"), rows, names=2)


def _html(
    result: StudyResult, *, drawings: Sequence[Drawing], grid: Table, tables: Sequence[Table]
) -> str:
    pictures: list[Any] = [
        picture_of(
            each.name,
            each.draw,
            description=each.description,
            caption=each.caption,
            legend=tuple(
                (name, SCREEN_VARIABLES[SCREEN.colour(place)], side)
                for name, place, side in each.legend
            ),
        )
        for each in drawings
    ]
    return render(
        "study.html",
        study=result.study,
        facts=_facts(result),
        notes=_notes(result),
        pictures=pictures,
        tables=[grid, *tables],
        points=_points(result),
        command=result.command,
        origins=origins_of(_runs(result)),
    )
