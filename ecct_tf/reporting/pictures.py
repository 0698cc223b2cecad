"""The figures of a page: each drawn twice, for a desk and for a phone."""

import dataclasses
from collections.abc import Callable, Sequence

from markupsafe import Markup
from matplotlib.figure import Figure

from ecct_tf.reporting.comparison import Comparison, Model
from ecct_tf.reporting.curves import Curve
from ecct_tf.reporting.figures import course_figure, traffic_figure
from ecct_tf.reporting.figures_of_models import (
    ablation_figure,
    activity_figure,
    gains_figure,
    quality_figure,
)
from ecct_tf.reporting.gains import Gains
from ecct_tf.reporting.spread import Spread, bytes_text, plural, signed
from ecct_tf.reporting.svg import inline_svg
from ecct_tf.reporting.theme import SCREEN, SCREEN_VARIABLES, Theme, drawing

__all__ = ["Picture", "Pictures", "Variant", "colour_places", "picture_of"]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
      wide: SVG for a desk and for paper.
      narrow: SVG for a phone.
      caption: below it.
      legend: name, CSS variable of the colour and side of each curve, for the phone.
    """

    wide: Markup
    narrow: Markup
    caption: str
    legend: tuple[tuple[str, str, str], ...] = ()


def colour_places(models: Sequence[Model]) -> dict[str, int | None]:
    """A colour for each model, the same in all figures; None is the accent."""
    others = [model.name for model in models if model.kind != "ECCT"]
    places: dict[str, int | None] = {model.name: None for model in models}
    places.update({name: place for place, name in enumerate(others)})
    return places


@dataclasses.dataclass(frozen=True, eq=False)
class Variant:
    """A variant of the exchange: its name and the models of its two sides."""

    name: str
    edge: Model | None
    cloud: Model | None


class Pictures:
    """Draws the figures of one comparison.

    Args:
      comparison: the models.
    """

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison

    def course(self, curves: Sequence[Curve], *, by_bytes: bool) -> Picture:
        """Validation quality by round, or by transmitted byte."""
        label = self._comparison.label("hr")
        drawn = {curve.name for curve in curves}
        places = colour_places([model for model in self._comparison.models if model.name in drawn])
        horizontal = "MiB transmitted per device" if by_bytes else "round"
        ends = ", ".join(f"{curve.name} {curve.mean[-1]:.3f}" for curve in curves)
        caption = "Lines: mean over the seeds; bands: one standard deviation."
        if all(curve.deviation is None for curve in curves):
            caption = "One seed."
        if by_bytes:
            caption += (
                " Everything that crosses: item table with starting weights where there are any,"
                " sums of items, shared weights, embeddings and logits; logarithmic scale."
            )
        return picture_of(
            "bytes" if by_bytes else "rounds",
            lambda theme: course_figure(
                curves, theme=theme, places=places, label=label, by_bytes=by_bytes
            ),
            description=f"Line chart of validation {label} by {horizontal}. At the end: {ends}.",
            caption=caption,
            legend=tuple(
                (curve.name, SCREEN_VARIABLES[SCREEN.colour(places[curve.name])], curve.side)
                for curve in curves
            ),
        )

    def quality(self, models: Sequence[Model]) -> Picture:
        """Models with their spread."""
        label = self._comparison.label("hr")
        values = "; ".join(f"{m.name} {m.quality['hr'].text()}" for m in models if m.quality["hr"])
        many = any(len(model.seeds) > 1 for model in models)
        return picture_of(
            "models",
            lambda theme: quality_figure(models, quality="hr", label=label, theme=theme),
            description=f"Test {label} of each model: {values}.",
            caption="Filled: scored on the device or on everything; open: scored in the cloud."
            + (" Bars: mean ± standard deviation; ticks: single seeds." if many else " One seed."),
        )

    def ablation(self, variants: Sequence[Variant]) -> Picture:
        """Edge and cloud quality of each variant of the exchange."""
        label = self._comparison.label("hr")
        rows = [(each.name, _hr(each.edge), _hr(each.cloud)) for each in variants]
        values = "; ".join(
            f"{name}: edge {'-' if edge is None else edge.text()}, "
            f"cloud {'-' if cloud is None else cloud.text()}"
            for name, edge, cloud in rows
        )
        return picture_of(
            "ablation",
            lambda theme: ablation_figure(rows, label=label, theme=theme),
            description=f"Test {label} of variants of the exchange: {values}.",
            caption="What each direction and the logits are worth, on either side.",
        )

    def gains(self, gains: Gains) -> Picture:
        """Gain of each device."""
        label = self._comparison.label("ndcg")
        return picture_of(
            "gains",
            lambda theme: gains_figure(gains, label=label, theme=theme),
            description=f"Devices ordered by their gain in {label} over {gains.baseline}: "
            f"{gains.better:.0%} gain, {gains.worse:.0%} lose.",
            caption=f"{plural(len(gains.by_device), 'device')} from the greatest gain to the "
            "greatest loss; each is the mean over its test interactions and seeds.",
        )

    def activity(self, gains: Gains) -> Picture:
        """Gain by activity."""
        label = self._comparison.label("ndcg")
        values = "; ".join(
            f"{group.fewest} to {group.most} interactions {signed(group.gain.mean)}"
            for group in gains.groups
        )
        return picture_of(
            "activity",
            lambda theme: activity_figure(gains, label=label, theme=theme),
            description=f"Mean gain in {label} by training interactions: {values}.",
            caption="Devices in quartiles of their training interactions.",
        )

    def traffic(self, models: Sequence[Model]) -> Picture:
        """Bytes of a device and round."""
        values = "; ".join(
            f"{model.name} {bytes_text(model.traffic.per_round.mean)}"
            for model in models
            if model.traffic is not None
        )
        return picture_of(
            "traffic",
            lambda theme: traffic_figure(models, theme=theme),
            description=f"Bytes per device and round: {values}.",
            caption="Bytes of one device in one round, as encoded, without the item table.",
        )


def picture_of(
    name: str,
    draw: Callable[[Theme], Figure],
    *,
    description: str,
    caption: str,
    legend: tuple[tuple[str, str, str], ...] = (),
) -> Picture:
    """Draws a figure for a page, for a desk and for a phone.

    Args:
      name: unique on the page.
      draw: draws it for a theme.
      description: what it shows, for people who do not see it.
      caption: below it.
      legend: name, CSS variable of the colour and side of each curve.
    """
    wide, narrow = (
        _svg(draw, theme, name=f"{name}-{width}", description=description)
        for theme, width in ((SCREEN, "wide"), (SCREEN.for_phone(), "narrow"))
    )
    return Picture(wide, narrow, caption, legend)


def _svg(draw: Callable[[Theme], Figure], theme: Theme, *, name: str, description: str) -> Markup:
    with drawing(name):
        return inline_svg(draw(theme), name=name, description=description)


def _hr(model: Model | None) -> Spread | None:
    return None if model is None else model.quality["hr"]
