"""Colours, sizes and the canvas that all figures share."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = [
    "FONT_PIXELS",
    "PAPER",
    "SCREEN",
    "SCREEN_VARIABLES",
    "Theme",
    "canvas",
    "drawing",
    "room_for",
]

FONT_PIXELS = 12
# Generous: a browser's own font is rarely wider.
_PIXELS_PER_LETTER = 6.9


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colours by their role, and a width.

    Attributes:
      ink: text.
      muted: lesser text and marks.
      grid: lines behind the data.
      accent: what the page is about.
      soft: the accent, fainter.
      loss: devices that lose.
      series: for others, told apart also by people who see few colours.
      width_pixels: of a figure.
      narrow: whether it is for a phone.
    """

    ink: str
    muted: str
    grid: str
    accent: str
    soft: str
    loss: str
    series: tuple[str, ...]
    width_pixels: int = 800
    narrow: bool = False

    def for_phone(self) -> "Theme":
        """The same colours for a small screen."""
        return dataclasses.replace(self, width_pixels=350, narrow=True)

    def colour(self, place: int | None) -> str:
        """The colour of a model: the accent for None, else one of the series."""
        return self.accent if place is None else self.series[place % len(self.series)]


PAPER = Theme(
    ink="#1d2330",
    muted="#646c7a",
    grid="#e2e5ea",
    accent="#1f5fbf",
    soft="#6b97d6",
    loss="#b8520a",
    series=("#b8520a", "#0f7f64", "#8e4fb0", "#8a6d00", "#b0366f", "#1f7f97", "#5f6670"),
)

# Placeholders that become CSS variables in a page, so that light and dark need one figure.
SCREEN = Theme(
    ink="#010101",
    muted="#010102",
    grid="#010103",
    accent="#010104",
    soft="#010105",
    loss="#010106",
    series=tuple(f"#01011{place}" for place in range(7)),
)
SCREEN_VARIABLES = {
    SCREEN.ink: "--ink",
    SCREEN.muted: "--muted",
    SCREEN.grid: "--grid",
    SCREEN.accent: "--accent",
    SCREEN.soft: "--soft",
    SCREEN.loss: "--loss",
    **{colour: f"--series-{place}" for place, colour in enumerate(SCREEN.series)},
}


@contextlib.contextmanager
def drawing(salt: str = "ecct") -> Iterator[None]:
    """Settings of matplotlib for drawing and saving, the same on every machine.

    Args:
      salt: sets the identifiers of one SVG apart from another's on the same page.
    """
    settings: dict[Any, object] = {
        "axes.axisbelow": True,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": FONT_PIXELS,
        "path.simplify": True,
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        # Names of models and settings are no mathematics, whatever they contain.
        "text.parse_math": False,
    }
    with mpl.rc_context(mpl.rcParamsDefault), mpl.rc_context(settings):
        yield


def room_for(labels: Sequence[str]) -> float:
    """Pixels that the longest label needs."""
    return max((len(label) for label in labels), default=0) * _PIXELS_PER_LETTER


def canvas(
    theme: Theme, *, height: float, left: float, right: float, top: float, bottom: float
) -> tuple[Figure, Axes]:
    """A figure with one pair of quiet axes.

    Args:
      theme: colours and width.
      height: of the figure, in pixels.
      left: margin in pixels, like `right`, `top` and `bottom`.
      right: margin.
      top: margin.
      bottom: margin.
    """
    width = theme.width_pixels
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    figure.patch.set_alpha(0.0)
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, 1 - (top + bottom) / height)
    )
    axes.patch.set_alpha(0.0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, pad=6, labelcolor=theme.muted, labelsize=FONT_PIXELS)
    axes.grid(True, color=theme.grid, linewidth=1)
    return figure, axes
