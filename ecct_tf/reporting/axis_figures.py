"""Figures of several comparisons: quality along an axis of settings, and quality by bytes."""

import dataclasses
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from ecct_tf.reporting.figures import DASHES, apart, bytes_axis
from ecct_tf.reporting.theme import FONT_PIXELS, Theme, canvas, room_for

__all__ = ["Mark", "Series", "axis_figure", "bytes_figure"]

_KIB = 1024
_LABEL_PIXELS = 15


@dataclasses.dataclass(frozen=True)
class Series:
    """One model along an axis.

    Attributes:
      name: the model's.
      side: `edge`, `cloud` or `everything`.
      place: its colour as an index of the theme's series; None is the accent.
      x: places on the axis, ascending.
      mean: at each place, over the seeds.
      deviation: at each place, over the seeds; None for one seed.
    """

    name: str
    side: str
    place: int | None
    x: tuple[float, ...]
    mean: tuple[float, ...]
    deviation: tuple[float | None, ...]


def axis_figure(
    series: Sequence[Series],
    *,
    ticks: Sequence[tuple[float, str]],
    axis: str,
    label: str,
    theme: Theme,
    logarithmic: bool = False,
    connected: bool = True,
) -> Figure:
    """Means and bars of one standard deviation for each model along an axis.

    Args:
      series: at least one.
      ticks: places of the points with their labels.
      axis: what the points differ in.
      label: of the vertical axis, such as `HR@10`.
      theme: colours and width. On a phone there is no room for names: the page has a legend.
      logarithmic: whether the axis is.
      connected: whether a line joins a model's points; not where the axis has no order.
    """
    names = [each.name for each in series]
    width = theme.width_pixels - (66 if theme.narrow else 330)
    turned = sum(room_for([words]) + 10 for _, words in ticks) > width
    figure, axes = canvas(
        theme,
        height=270 if theme.narrow else 340,
        left=48,
        right=18 if theme.narrow else min(room_for(names) + 26, 280),
        top=28,
        bottom=50 + 0.45 * turned * room_for([words for _, words in ticks]),
    )
    if logarithmic:
        axes.set_xscale("log")
    for each in reversed(series):
        colour = theme.colour(each.place)
        line = DASHES[each.side] if connected else "none"
        axes.plot(
            each.x, each.mean, color=colour, linestyle=line, marker="o",
            markersize=5, linewidth=2.4 if each.place is None else 1.6,
            markerfacecolor=colour if each.side != "cloud" else "none",
        )  # fmt: skip
        for x, mean, deviation in zip(each.x, each.mean, each.deviation, strict=True):
            if deviation is not None:
                reach = [mean - deviation, mean + deviation]
                axes.plot([x, x], reach, color=colour, linewidth=1.2, alpha=0.6)
    axes.margins(x=0.05, y=0.1)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks([x for x, _ in ticks], [words for _, words in ticks])
    if turned:
        axes.tick_params(axis="x", labelrotation=30, labelsize=FONT_PIXELS - 2)
        for tick in axes.get_xticklabels():
            tick.set(horizontalalignment="right", rotation_mode="anchor")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"{axis} (log scale)" if logarithmic else axis, color=theme.muted)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(False, axis="x")
    _heading(axes, f"{label}, test", theme)
    if not theme.narrow:
        _name_ends(axes, series, theme)
    return figure


@dataclasses.dataclass(frozen=True)
class Mark:
    """A run's model by what it transmits.

    Attributes:
      name: beside it.
      size_bytes: of one device, in all rounds.
      mean: quality over the seeds.
      deviation: over the seeds; None for one seed.
      place: its colour; None is the accent.
      filled: whether it is; open for a cloud's.
    """

    name: str
    size_bytes: float
    mean: float
    deviation: float | None
    place: int | None
    filled: bool = True


def bytes_figure(marks: Sequence[Mark], *, label: str, theme: Theme) -> Figure:
    """A mark for each model: quality against what a device transmits, logarithmic.

    Args:
      marks: at least one.
      label: of the vertical axis, such as `HR@10`.
      theme: colours and width. On a phone numbers stand for names: the page has a legend.
    """
    figure, axes = canvas(
        theme,
        height=300 if theme.narrow else 380,
        left=48,
        right=18 if theme.narrow else min(room_for([mark.name for mark in marks]) + 18, 300),
        top=28,
        bottom=46,
    )
    for number, mark in enumerate(marks, start=1):
        colour, x = theme.colour(mark.place), mark.size_bytes / _KIB
        if mark.deviation is not None:
            reach = [mark.mean - mark.deviation, mark.mean + mark.deviation]
            axes.plot([x, x], reach, color=colour, linewidth=1.2, alpha=0.6)
        axes.plot(
            [x], [mark.mean], linestyle="none", marker="o", markersize=7, color=colour,
            markerfacecolor=colour if mark.filled else "none", markeredgewidth=1.6,
        )  # fmt: skip
        if theme.narrow:
            axes.annotate(
                str(number), (x, mark.mean), xytext=(5, 4), textcoords="offset points",
                color=colour, fontsize=FONT_PIXELS - 2,
            )  # fmt: skip
    axes.margins(x=0.08, y=0.1)
    bytes_axis(axes)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("KiB of one device in all rounds, as encoded", color=theme.muted)
    _heading(axes, f"{label}, test", theme)
    if not theme.narrow:
        _name_marks(axes, marks, theme)
    return figure


def _heading(axes: Axes, words: str, theme: Theme) -> None:
    axes.annotate(
        words, (0, 1), xycoords="axes fraction", xytext=(0, 10), textcoords="offset points",
        color=theme.muted, annotation_clip=False,
    )  # fmt: skip


def _name_ends(axes: Axes, series: Sequence[Series], theme: Theme) -> None:
    """Writes each name at the right border, beside the end of its line, moved apart."""
    low, high = axes.get_ylim()
    height = axes.get_window_extent().height
    order = sorted(series, key=lambda each: each.mean[-1])
    wanted = [(each.mean[-1] - low) / (high - low) * height for each in order]
    for each, pixels in zip(order, apart(wanted, gap=_LABEL_PIXELS), strict=True):
        axes.annotate(
            each.name, (1, pixels / height), xycoords="axes fraction", xytext=(7, 0),
            textcoords="offset points", va="center_baseline", annotation_clip=False,
            color=theme.colour(each.place), weight="bold" if each.place is None else "normal",
        )  # fmt: skip


def _name_marks(axes: Axes, marks: Sequence[Mark], theme: Theme) -> None:
    """Writes names in a column at the right border, each with a thin line to its mark."""
    low, high = axes.get_ylim()
    height = axes.get_window_extent().height
    order = sorted(marks, key=lambda mark: (mark.mean, mark.size_bytes))
    wanted = [(mark.mean - low) / (high - low) * height for mark in order]
    for mark, pixels in zip(order, apart(wanted, gap=_LABEL_PIXELS), strict=True):
        axes.annotate(
            mark.name, (mark.size_bytes / _KIB, mark.mean), xycoords="data",
            xytext=(1.02, pixels / height), textcoords="axes fraction", va="center_baseline",
            color=theme.colour(mark.place),
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": theme.colour(mark.place), "alpha": 0.35,
                "linewidth": 0.8, "shrinkB": 5, "shrinkA": 2,
            },
        )  # fmt: skip
