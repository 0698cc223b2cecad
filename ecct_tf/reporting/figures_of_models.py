"""Figures of final quality: models with their spread, the ablation, gains of devices."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ecct_tf.reporting.comparison import Model
from ecct_tf.reporting.gains import Gains
from ecct_tf.reporting.spread import Spread, signed
from ecct_tf.reporting.theme import Theme, canvas, room_for

__all__ = ["ablation_figure", "activity_figure", "gains_figure", "quality_figure"]

_MAX_POINTS = 400


def quality_figure(models: Sequence[Model], *, quality: str, label: str, theme: Theme) -> Figure:
    """One line per model: mean, standard deviation, and a small mark for each seed.

    Args:
      models: those that have the figure, at least one.
      quality: its name, such as `hr`.
      label: how it is written, such as `HR@10`.
      theme: colours and width.
    """
    names = [model.name for model in models]
    places = _with_gaps([model.kind for model in models])
    figure, axes = _lines(names, theme=theme, label=f"{label}, test", places=places)
    for row, model in zip(places, models, strict=True):
        spread = model.quality[quality]
        if spread is None:
            continue
        ours = model.kind == "ECCT"
        colour = theme.accent if ours else theme.muted
        _mark(axes, row, spread, colour=colour, filled=model.side != "cloud")
        axes.annotate(
            f"{spread.mean:.3f}", (1, row), xycoords=("axes fraction", "data"), xytext=(10, 0),
            textcoords="offset points", va="center_baseline", annotation_clip=False,
            color=theme.ink, weight="bold" if ours else "normal",
        )  # fmt: skip
    return figure


def ablation_figure(
    rows: Sequence[tuple[str, Spread | None, Spread | None]], *, label: str, theme: Theme
) -> Figure:
    """Edge and cloud quality of each variant of the exchange.

    Args:
      rows: name, edge, cloud.
      label: how the figure is written.
      theme: colours and width.
    """
    figure, axes = _lines(
        [name for name, _, _ in rows],
        theme=theme,
        label=f"{label}, test:  ● edge   □ cloud",
    )
    for row, (_, edge, cloud) in enumerate(rows):
        if cloud is not None:
            _mark(axes, row, cloud, colour=theme.muted, filled=False, marker="s")
        if edge is not None:
            _mark(axes, row, edge, colour=theme.accent, filled=True)
    return figure


def gains_figure(gains: Gains, *, label: str, theme: Theme) -> Figure:
    """Devices in the order of their gain, from the greatest gain to the greatest loss.

    Args:
      gains: what to draw.
      label: how the figure is written, such as `NDCG@10`.
      theme: colours and width.
    """
    figure, axes = canvas(
        theme, height=230 if theme.narrow else 280, left=48, right=24, top=28, bottom=46
    )
    ordered = np.sort(gains.by_device)[::-1]
    # The quantiles at evenly spaced shares: as many as the eye can tell.
    count = min(len(ordered), _MAX_POINTS)
    picked = ordered[np.linspace(0, len(ordered) - 1, count).round().astype(int)]
    edges = np.linspace(0, 100, count + 1)
    heights = np.append(picked, picked[-1:])
    for part, colour in ((heights.clip(min=0), theme.accent), (heights.clip(max=0), theme.loss)):
        axes.fill_between(edges, 0, part, step="post", color=colour, linewidth=0, alpha=0.85)
    axes.axhline(0, color=theme.muted, linewidth=1)
    axes.set_xlim(0, 100)
    limit = max(float(np.abs(ordered).max()) * 1.05, 0.05)
    axes.set_ylim(-limit, limit)
    axes.yaxis.set_major_locator(MaxNLocator(5, symmetric=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(value, 2)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))
    axes.grid(False, axis="x")
    axes.text(0, 1.05, f"gain in {label}", transform=axes.transAxes, color=theme.muted)
    axes.set_xlabel("devices, by their gain", color=theme.muted)
    return figure


def activity_figure(gains: Gains, *, label: str, theme: Theme) -> Figure:
    """Mean gain of each activity group with its confidence interval.

    Args:
      gains: what to draw.
      label: how the figure is written.
      theme: colours and width.
    """
    names = [
        f"{group.fewest}–{group.most} interactions" if group.most > group.fewest
        else f"{group.fewest} interactions"
        for group in gains.groups
    ]  # fmt: skip
    figure, axes = _lines(names, theme=theme, label=f"mean gain in {label}, 95 % interval")
    axes.axvline(0, color=theme.muted, linewidth=1)
    for row, group in enumerate(gains.groups):
        gain = group.gain
        if gain.low is not None and gain.high is not None:
            axes.plot([gain.low, gain.high], [row, row], color=theme.accent, linewidth=2)
        axes.plot([gain.mean], [row], color=theme.accent, marker="o", markersize=7)
        axes.annotate(
            signed(gain.mean), (1, row), xycoords=("axes fraction", "data"), xytext=(10, 0),
            textcoords="offset points", va="center_baseline", annotation_clip=False,
            color=theme.ink,
        )  # fmt: skip
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(value)))
    return figure


def _with_gaps(kinds: Sequence[str]) -> list[float]:
    """Places of lines with some room wherever the kind changes."""
    places, place = [], 0.0
    for before, kind in zip([kinds[0], *kinds], kinds, strict=False):
        place += 0.5 * (kind != before)
        places.append(place)
        place += 1
    return places


def _lines(
    names: Sequence[str], *, theme: Theme, label: str, places: Sequence[float] | None = None
) -> tuple[Figure, Axes]:
    """Axes with one line per name; on a phone the name stands above its line."""
    step = 40 if theme.narrow else 28
    places = range(len(names)) if places is None else places
    figure, axes = canvas(
        theme,
        height=step * (places[-1] + 1) + 62,
        left=12 if theme.narrow else min(room_for(names) + 16, 320),
        right=58,
        top=30,
        bottom=32,
    )
    axes.set_ylim(places[-1] + 0.5, -0.5 - 0.15 * theme.narrow)
    axes.set_yticks(places, [""] * len(names) if theme.narrow else list(names))
    axes.tick_params(axis="y", labelcolor=theme.ink)
    if theme.narrow:
        for row, name in zip(places, names, strict=True):
            axes.annotate(
                name, (0, row), xycoords=("axes fraction", "data"), xytext=(0, 6),
                textcoords="offset points", va="bottom", color=theme.ink,
            )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(4 if theme.narrow else 6))
    axes.grid(True, axis="both", color=theme.grid)
    axes.margins(x=0.08)
    axes.annotate(
        label, (0, 1), xycoords="axes fraction", xytext=(0, 10), textcoords="offset points",
        color=theme.muted, annotation_clip=False,
    )  # fmt: skip
    return figure, axes


def _mark(
    axes: Axes, row: float, spread: Spread, *, colour: str, filled: bool, marker: str = "o"
) -> None:
    if spread.deviation is not None:
        reach = [spread.mean - spread.deviation, spread.mean + spread.deviation]
        axes.plot(reach, [row, row], color=colour, linewidth=2)
        axes.plot(
            spread.values, [row] * len(spread.values), linestyle="none", marker="|",
            markersize=9, color=colour, alpha=0.7,
        )  # fmt: skip
    axes.plot(
        [spread.mean], [row], marker=marker, markersize=7, color=colour,
        markerfacecolor=colour if filled else "none", markeredgewidth=1.6,
    )  # fmt: skip
