"""Plots as files: in a run's own folder, and of a comparison."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ecct_tf.files import naming
from ecct_tf.reporting.comparison import Comparison, Model
from ecct_tf.reporting.curves import Curve, curve_of, curves_of
from ecct_tf.reporting.figures import course_figure, parts_figure
from ecct_tf.reporting.figures_of_models import quality_figure
from ecct_tf.reporting.pictures import colour_places
from ecct_tf.reporting.run import Run, read_run
from ecct_tf.reporting.theme import PAPER, drawing
from ecct_tf.reporting.traffic import traffic_of

__all__ = ["save_figure", "write_comparison_plots", "write_plots"]

_log = logging.getLogger(__name__)

_DOTS_PER_INCH = 144
_NO_METADATA = {
    "png": {"Software": None},
    "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
}


def write_plots(path: Path) -> tuple[Path, ...]:
    """Writes the plots of one run into its folder, complete or not.

    Args:
      path: the run folder.

    Returns:
      `plots/quality_by_round.png`, `quality_by_bytes.png` and `traffic.png`, those of them
      for which the run has data: none for a method without rounds.

    Raises:
      RunFolderError: a file of the folder is missing or damaged.
    """
    run = read_run(path)
    if run.metrics is None:
        return ()
    models = _sides(run)
    curves = [curve for model in models if (curve := curve_of(model, "hr")) is not None]
    label = f"HR@{run.k}"
    places = {curve.name: None for curve in curves}
    written = _courses(curves, places=places, label=label, folder=path / "plots", forms=("png",))
    traffic = traffic_of([run])
    if traffic is not None and traffic.total.mean:
        written += save_figure(
            lambda: parts_figure(traffic, theme=PAPER), path / "plots", "traffic", ("png",)
        )
    return tuple(written)


def write_comparison_plots(comparison: Comparison, folder: Path) -> tuple[Path, ...]:
    """Writes the plots of a comparison, each as PNG and SVG.

    Args:
      comparison: the models.
      folder: where to.
    """
    forms = ("png", "svg")
    label = comparison.label("hr")
    written = save_figure(
        lambda: quality_figure(comparison.models, quality="hr", label=label, theme=PAPER),
        folder,
        "quality_by_model",
        forms,
    )
    curves = curves_of(comparison, "hr")
    drawn = {curve.name for curve in curves}
    places = colour_places([model for model in comparison.models if model.name in drawn])
    return (*written, *_courses(curves, places=places, label=label, folder=folder, forms=forms))


def _sides(run: Run) -> list[Model]:
    """A run's own models as far as its rounds tell, also before it has results."""
    sides = [
        side
        for side in ("edge", "cloud", "everything")
        if run.metrics is not None and run.metrics[f"{side}_hr"].notna().any()
    ]
    return [
        Model(
            name=side,
            method=run.method,
            kind="",
            side=side,
            sees="",
            model=side,
            seeds=(run.seed,),
            quality={},
            runs=(run,),
        )
        for side in sides
    ]


def _courses(
    curves: Sequence[Curve],
    *,
    places: Mapping[str, int | None],
    label: str,
    folder: Path,
    forms: Sequence[str],
) -> list[Path]:
    written = []
    moving = [curve for curve in curves if curve.transmitted_bytes[0] > 0]
    for name, chosen, by_bytes in (
        ("quality_by_round", curves, False),
        ("quality_by_bytes", moving, True),
    ):
        if not chosen:
            _log.info("no %s: nothing was measured", name)
            continue

        def draw(chosen: Sequence[Curve] = chosen, by_bytes: bool = by_bytes) -> Figure:
            return course_figure(chosen, theme=PAPER, places=places, label=label, by_bytes=by_bytes)

        written += save_figure(draw, folder, name, forms)
    return written


def save_figure(
    draw: Callable[[], Figure], folder: Path, name: str, forms: Sequence[str]
) -> list[Path]:
    """Writes a figure on white, the same bytes on every machine with the same fonts.

    Args:
      draw: draws it.
      folder: where to; it is made.
      name: of the file, without its ending.
      forms: `png`, `svg`, or both.

    Raises:
      OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for form in forms:
        path = folder / f"{name}.{form}"
        with drawing(name), naming(path):
            figure = draw()
            figure.patch.set(alpha=1.0, facecolor="white")
            figure.savefig(path, format=form, dpi=_DOTS_PER_INCH, metadata=_NO_METADATA[form])
        written.append(path)
    return written
