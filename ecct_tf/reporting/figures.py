"""Figures of a course: quality by round and by transmitted byte; what is transmitted."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ecct_tf.reporting.comparison import Model
from ecct_tf.reporting.curves import Curve
from ecct_tf.reporting.spread import bytes_text
from ecct_tf.reporting.theme import FONT_PIXELS, Theme, canvas, room_for
from ecct_tf.reporting.traffic import Traffic

__all__ = ["DASHES", "apart", "bytes_axis", "course_figure", "parts_figure", "traffic_figure"]

DASHES: Mapping[str, str | tuple[int, tuple[int, ...]]] = {
    "edge": "-",
    "cloud": (0, (5, 3)),
    "everything": (0, (1, 2)),
}
_MIB = 2**20
_LABEL_PIXELS = 15


def course_figure(
    curves: Sequence[Curve],
    *,
    theme: Theme,
    places: Mapping[str, int | None],
    label: str,
    by_bytes: bool = False,
) -> Figure:
    """Quality against rounds, or against what a device has transmitted.

    Args:
      curves: what to draw, at least one.
      theme: colours and width. On a phone there is no room for names: the page has a legend.
      places: colour of each curve by name.
      label: of the vertical axis, such as `HR@10`.
      by_bytes: whether the horizontal axis is transmitted MiB, logarithmic.
    """
    names = [curve.name for curve in curves]
    figure, axes = canvas(
        theme,
        height=250 if theme.narrow else 340,
        left=44,
        right=14 if theme.narrow else min(room_for(names) + 22, 260),
        top=26,
        bottom=46,
    )
    for curve in reversed(curves):
        x = _x(curve, by_bytes)
        colour = theme.colour(places[curve.name])
        ours = places[curve.name] is None
        if curve.deviation is not None:
            low, high = curve.mean - curve.deviation, curve.mean + curve.deviation
            axes.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0)
        axes.plot(
            x,
            curve.mean,
            color=colour,
            linestyle=DASHES[curve.side],
            linewidth=2.4 if ours else 1.6,
        )
        axes.plot(x[-1:], curve.mean[-1:], color=colour, marker="o", markersize=5)
    axes.text(
        0, 1.04, f"{label}, validation", transform=axes.transAxes, color=theme.muted, ha="left"
    )
    axes.margins(x=0.02)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(False, axis="x")
    if by_bytes:
        bytes_axis(axes)
        axes.set_xlabel("MiB transmitted per device (log scale)", color=theme.muted)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5 if theme.narrow else 8, integer=True))
        axes.set_xlabel("round", color=theme.muted)
        _mark_stage_2(axes, curves, theme)
    if not theme.narrow:
        _name_ends(axes, curves, theme=theme, places=places, by_bytes=by_bytes)
    return figure


def _x(curve: Curve, by_bytes: bool) -> npt.NDArray[np.float64]:
    return curve.transmitted_bytes / _MIB if by_bytes else curve.rounds


def bytes_axis(axes: Axes) -> None:
    """Makes the horizontal axis logarithmic, with ticks that people read."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    if high / low < 5:
        # Too short a stretch for powers of ten and their halves.
        axes.xaxis.set_major_locator(MaxNLocator(5))
    else:
        wide = high / low > 100
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)


def _mark_stage_2(axes: Axes, curves: Sequence[Curve], theme: Theme) -> None:
    starts = {curve.stage_2 for curve in curves if curve.stage_2 is not None}
    if len(starts) != 1:
        return
    start = starts.pop()
    axes.axvline(start, color=theme.muted, linewidth=1, linestyle=(0, (1, 3)))
    axes.annotate(
        "logits too",
        (start, 0),
        xycoords=("data", "axes fraction"),
        xytext=(5, 5),
        textcoords="offset points",
        color=theme.muted,
        fontsize=FONT_PIXELS - 1,
    )


def _name_ends(
    axes: Axes,
    curves: Sequence[Curve],
    *,
    theme: Theme,
    places: Mapping[str, int | None],
    by_bytes: bool,
) -> None:
    """Writes each name where its curve ends, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    height = axes.get_window_extent().height
    ends = {curve: float(_x(curve, by_bytes)[-1]) for curve in curves}
    early = [curve for curve in curves if _ends_early(axes, ends[curve])]
    late = [curve for curve in curves if curve not in early]
    for column in (*_columns(axes, {curve: ends[curve] for curve in early}), late):
        order = sorted(column, key=lambda curve: float(curve.mean[-1]))
        wanted = [float(curve.mean[-1] - low) / (high - low) * height for curve in order]
        for curve, pixels in zip(order, apart(wanted, gap=_LABEL_PIXELS), strict=True):
            place = (1.0 if curve in late else ends[curve], pixels / height)
            horizontal = "axes fraction" if curve in late else "data"
            coordinates = (horizontal, "axes fraction")
            _name(axes, curve, place, xycoords=coordinates, theme=theme, places=places)


def _columns(axes: Axes, ends: Mapping[Curve, float]) -> list[list[Curve]]:
    """Curves by where they end: those whose names would stand beside each other are together."""
    pixels = {curve: axes.transData.transform((x, 0.0))[0] for curve, x in ends.items()}
    columns: list[list[Curve]] = []
    for curve in sorted(pixels, key=lambda curve: pixels[curve]):
        before = columns[-1][-1] if columns else None
        if before is None or pixels[curve] - pixels[before] > room_for([before.name]):
            columns.append([])
        columns[-1].append(curve)
    return columns


def _name(
    axes: Axes,
    curve: Curve,
    place: tuple[float, float],
    *,
    xycoords: tuple[str, str],
    theme: Theme,
    places: Mapping[str, int | None],
) -> None:
    axes.annotate(
        curve.name,
        place,
        xycoords=xycoords,
        xytext=(7, 0),
        textcoords="offset points",
        va="center_baseline",
        color=theme.colour(places[curve.name]),
        weight="bold" if places[curve.name] is None else "normal",
        annotation_clip=False,
    )


def _ends_early(axes: Axes, x: float) -> bool:
    """Whether a curve that ends at `x` stops well before the right border."""
    (place, _), (border, _) = axes.transAxes.inverted().transform(
        axes.transData.transform([(x, 0.5), (axes.get_xlim()[1], 0.5)])
    )
    return bool(place < 0.7 * border)


def apart(wanted: Sequence[float], *, gap: float) -> list[float]:
    """The places nearest to ascending `wanted` ones that are `gap` apart (least squares)."""
    # With i * gap taken off, "gap apart" is "not falling": pool adjacent violators.
    blocks: list[list[float]] = []
    for index, place in enumerate(wanted):
        blocks.append([place - index * gap])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    level = [float(np.mean(block)) for block in blocks for _ in block]
    return [place + index * gap for index, place in enumerate(level)]


def traffic_figure(models: Sequence[Model], *, theme: Theme) -> Figure:
    """Bytes of a device and round as bars: knowledge down, knowledge up, weights.

    Args:
      models: those that have rounds, at least one.
      theme: colours and width.
    """
    rows = [(model, model.traffic) for model in models if model.traffic is not None]
    names = [model.name for model, _ in rows]
    step = 46 if theme.narrow else 34
    figure, axes = canvas(
        theme,
        height=step * len(rows) + 44,
        left=10 if theme.narrow else min(room_for(names) + 16, 280),
        right=84,
        top=34,
        bottom=10,
    )
    colours = {"downlink": theme.soft, "uplink": theme.accent, "weights": theme.series[-1]}
    longest = max(traffic.per_round.mean for _, traffic in rows) or 1.0
    for row, (model, traffic) in enumerate(rows):
        start = 0.0
        for part, size in traffic.parts.items():
            axes.barh(row, size, left=start, height=0.42, color=colours[part], linewidth=0)
            start += size
        _bar_label(axes, row, start, longest=longest, theme=theme)
        if theme.narrow:
            axes.text(0, row - 0.36, model.name, va="bottom", color=theme.muted)
    shown = [""] * len(names) if theme.narrow else names
    _bar_axes(axes, shown, longest=longest, theme=theme)
    _key(axes, [(part, colours[part]) for part in colours], theme)
    return figure


def parts_figure(traffic: Traffic, *, theme: Theme) -> Figure:
    """What one device transmits in a round and once, part by part.

    Args:
      traffic: of one model.
      theme: colours and width.
    """
    rows = [(f"{part}, mean of a round", size) for part, size in traffic.parts.items()]
    rows.append(("item table, once", traffic.item_table))
    if traffic.sums:
        rows.append(("sums of items, once", traffic.sums))
    names = [name for name, _ in rows]
    left = room_for(names) + 16
    figure, axes = canvas(theme, height=190, left=left, right=84, top=34, bottom=10)
    longest = max(size for _, size in rows) or 1.0
    for row, (name, size) in enumerate(rows):
        colour = theme.series[-1] if name.startswith("item") else theme.accent
        axes.barh(row, size, height=0.42, color=colour, linewidth=0)
        _bar_label(axes, row, size, longest=longest, theme=theme)
    _bar_axes(axes, names, longest=longest, theme=theme)
    axes.annotate(
        "bytes of one device", (0, 1), xycoords="axes fraction", xytext=(0, 12),
        textcoords="offset points", color=theme.muted, annotation_clip=False,
    )  # fmt: skip
    return figure


def _bar_label(axes: Axes, row: int, size: float, *, longest: float, theme: Theme) -> None:
    place = size + longest * 0.015
    axes.text(place, row, bytes_text(size), va="center_baseline", color=theme.ink)


def _bar_axes(axes: Axes, names: Sequence[str], *, longest: float, theme: Theme) -> None:
    axes.set_xlim(0, longest)
    axes.set_ylim(len(names) - 0.5, -0.6)
    axes.set_xticks([])
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", labelcolor=theme.ink)
    axes.grid(False)


def _key(axes: Axes, entries: Sequence[tuple[str, str]], theme: Theme) -> None:
    """Squares with their meaning, above the axes."""
    x = 0.0
    width = axes.get_window_extent().width
    for words, colour in entries:
        axes.annotate(
            "■", (x / width, 1), xycoords="axes fraction", xytext=(0, 12),
            textcoords="offset points", color=colour, annotation_clip=False,
        )  # fmt: skip
        axes.annotate(
            words, (x / width, 1), xycoords="axes fraction", xytext=(15, 12),
            textcoords="offset points", color=theme.muted, annotation_clip=False,
        )  # fmt: skip
        x += 14 + room_for([words]) + 16
