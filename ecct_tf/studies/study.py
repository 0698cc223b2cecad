"""A study is a value: a question, an axis of settings along which it is asked, what it shows."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ecct_tf.errors import ConfigError
from ecct_tf.reporting.run import Run
from ecct_tf.reporting.theme import Theme

if TYPE_CHECKING:
    from ecct_tf.studies.result import StudyResult

__all__ = ["Drawing", "Measure", "Point", "Study", "Table", "slug_of"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def slug_of(label: str) -> str:
    """The folder of a point.

    >>> slug_of("alpha 0.1"), slug_of("no exchange")
    ('alpha-0.1', 'no-exchange')
    """
    return re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-.") or "point"


@dataclasses.dataclass(frozen=True)
class Point:
    """A place on a study's axis.

    Attributes:
      label: what it is called in tables, figures and `--points`; without commas.
      overrides: settings of its runs, each `section.key=value`.
      at: its place on a numeric axis; None for one without numbers.
      methods: what is run here instead of the study's methods; None for those.
    """

    label: str
    overrides: tuple[str, ...] = ()
    at: float | None = None
    methods: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.label.strip() or "," in self.label:
            raise ConfigError(
                f"a point's label: expected a text without commas, which separate the labels of "
                f"--points, got {self.label!r}"
            )
        for override in self.overrides:
            if not override.partition("=")[0] or "=" not in override:
                raise ConfigError(
                    f"point {self.label!r}: expected overrides as section.key=value, got "
                    f"{override!r}"
                )

    @property
    def keys(self) -> tuple[str, ...]:
        """The settings that it decides, by dotted key."""
        return tuple(override.partition("=")[0] for override in self.overrides)


@dataclasses.dataclass(frozen=True)
class Measure:
    """A figure of a run beside its quality and bytes: a column of the table and of `study.csv`.

    Attributes:
      name: in `study.csv`.
      label: heading of its column.
      of: the figure of a complete run's model on a side (`edge`, `cloud`, `everything`); None where
        it has none.
      digits: behind the point, in the table.
    """

    name: str
    label: str
    of: Callable[[Run, str], float | None]
    digits: int = 3


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure of a study's page.

    Attributes:
      name: of its files, such as `quality_by_point`.
      draw: draws it for a theme.
      description: what it shows, for people who do not see it.
      caption: below it.
      legend: name, colour as an index of the theme's series (None is the accent) and side of each
        curve, shown where the figure has no room for names.
    """

    name: str
    draw: Callable[[Theme], Figure]
    description: str
    caption: str
    legend: tuple[tuple[str, int | None, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a study's page, also written as a CSV file.

    Attributes:
      name: of its file.
      title: its heading.
      headings: of its columns.
      rows: as many cells as headings, each.
      note: what its columns mean.
      names: how many of the first columns hold names; the others hold figures.
    """

    name: str
    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    names: int = 1


@dataclasses.dataclass(frozen=True)
class Study:
    """What one command answers: every point by every method by every seed is a run.

    Attributes:
      name: lower-case letters, digits and `_`; part of the name of its folder.
      question: what it answers, a sentence.
      axis: what the points differ in, such as `concentration of tastes`.
      points: at least one, in the order of the axis; labels differ.
      methods: what is run at each point, as `ecct baselines --methods` takes them.
      settings: of all runs, each `section.key=value`; `--set` comes after them, points last.
      reference: label of the point that the others are compared with, or None.
      measures: further columns.
      drawings: figures of the page, each from the result; None where there is nothing to draw.
      tables: further tables, likewise.
      note: what a reader has to know of how it is measured.
      logarithmic: whether a numeric axis is drawn so.
      after: what else is made of each complete run, in its folder, before figures are read; it is
        called again with the study, and leaves alone what it has made.
    """

    name: str
    question: str
    axis: str
    points: tuple[Point, ...]
    methods: tuple[str, ...]
    settings: tuple[str, ...] = ()
    reference: str | None = None
    measures: tuple[Measure, ...] = ()
    drawings: tuple[Callable[["StudyResult"], Drawing | None], ...] = ()
    tables: tuple[Callable[["StudyResult"], Table | None], ...] = ()
    note: str = ""
    logarithmic: bool = False
    after: Callable[[Path], None] | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"a study's name: expected lower-case letters, digits and _, got {self.name!r}"
            )
        labels = [point.label for point in self.points]
        if not labels or len({slug_of(label) for label in labels}) < len(labels):
            raise ConfigError(
                f"study {self.name}: expected at least one point, and labels that differ in "
                f"letters and digits, which name folders; got {labels}"
            )
        if self.reference is not None and self.reference not in labels:
            raise ConfigError(
                f"study {self.name}: reference: expected one of its points, {', '.join(labels)}, "
                f"got {self.reference!r}"
            )
        if not all(point.methods or self.methods for point in self.points):
            raise ConfigError(f"study {self.name}: expected a method at each point, got none")
