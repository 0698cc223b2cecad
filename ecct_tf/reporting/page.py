"""The report: one HTML file that needs no network."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecct_tf.errors import ConfigError
from ecct_tf.reporting.audit import audits_of
from ecct_tf.reporting.comparison import KINDS, Comparison, Model, compare_runs
from ecct_tf.reporting.curves import curves_of
from ecct_tf.reporting.gains import Gains, device_gains, gain_since_start, served_by_start
from ecct_tf.reporting.groups import group_quality
from ecct_tf.reporting.html import render, write_page
from ecct_tf.reporting.pairs import MEASURES, gain_interval
from ecct_tf.reporting.pictures import Pictures, Variant
from ecct_tf.reporting.provenance import commands_of, origins_of, settings_of
from ecct_tf.reporting.run import CATALOG, QUALITY, Run
from ecct_tf.reporting.story import Story, tell
from ecct_tf.reporting.targets import target_rows

__all__ = ["render_report", "write_report"]

# ECCT, embeddings only, logits only, down only, up only, no exchange.
_VARIANTS = 6


def write_report(
    runs: Sequence[Run],
    out: Path,
    *,
    named: Sequence[Path] = (),
    against: str | None = None,
) -> Path:
    """Writes the report of runs.

    Args:
      runs: at least one complete run; all on the same data.
      out: the HTML file; it is replaced, and appears whole or not at all.
      named: folders as a user named them, for the command in the report; the runs' by default.
      against: name of the baseline to begin with, also for gains; None for the strongest.

    Returns:
      The file.

    Raises:
      ConfigError: the runs cannot be compared, `against` is none of their models, or the file
        cannot be written.
      RunFolderError: none is complete, or a file is damaged.
    """
    text = render_report(compare_runs(runs), named=named, against=against)
    return write_page(text, out, what="report")


def render_report(
    comparison: Comparison, *, named: Sequence[Path] = (), against: str | None = None
) -> str:
    """The page as text; the same runs give the same text. See `write_report`."""
    story = tell(comparison, against=against)
    return render(
        "report.html",
        comparison=comparison,
        story=story,
        quality=QUALITY,
        catalog=CATALOG,
        report_command=shlex.join(
            [
                "ecct",
                "report",
                *map(str, named or [run.path for run in comparison.runs]),
                *([] if against is None else ["--against", against]),
            ]
        ),
        **_content(comparison, story, against=against),
    )


def _content(comparison: Comparison, story: Story, *, against: str | None) -> dict[str, Any]:
    pictures = Pictures(comparison)
    curves = curves_of(comparison, "hr")
    ablation = _ablation(comparison)
    gains, no_gains = _gains(comparison, story, against=against)
    sending = [model for model in comparison.models if model.traffic and model.side == "edge"]
    # Ablations have a section of their own, unless there is nothing else.
    beside = [model for model in comparison.models if model.kind != KINDS[1]]
    beside = beside or list(comparison.models)
    kinds = list(dict.fromkeys(model.kind for model in beside))
    run = story.subject.runs[0]
    origins = origins_of(comparison.runs)
    return {
        "run": run,
        "rounds_picture": pictures.course(curves, by_bytes=False) if curves else None,
        "bytes_picture": (
            pictures.course(moving, by_bytes=True)
            if (moving := [curve for curve in curves if curve.transmitted_bytes[0] > 0])
            else None
        ),
        "models_picture": pictures.quality(beside),
        "groups": [(kind, [m for m in beside if m.kind == kind]) for kind in kinds],
        "equal_seeds": len({model.seeds for model in beside}) == 1,
        "paired": _paired(comparison),
        "since_start": gain_since_start(story.subject),
        "served_by_start": served_by_start(story.subject),
        "targets": target_rows(story.subject.runs),
        "by_group": group_quality(_served(comparison, story)),
        "ablation": ablation,
        "ablation_picture": pictures.ablation(ablation) if len(ablation) > 1 else None,
        "ablation_is_whole": len(ablation) >= _VARIANTS,
        "gains": gains,
        "no_gains": no_gains,
        "gains_picture": pictures.gains(gains) if gains else None,
        "activity_picture": pictures.activity(gains) if gains else None,
        "sending": sending,
        "traffic_picture": pictures.traffic(sending) if sending else None,
        "audits": audits_of(comparison.runs),
        "audit_command": _audit_command(comparison),
        "settings": settings_of(comparison),
        "origins": origins,
        "origin": next(each for each in origins if each.run is run),
        "environments": len({(each.machine, each.packages) for each in origins}),
        "commands": commands_of(comparison.runs),
        "baselines_command": _baselines_command(run),
    }


def _paired(comparison: Comparison) -> dict[str, Any]:
    """The subject's differences to every other model that has ranks, by measure."""
    subject = comparison.subject
    rows = []
    for model in comparison.models:
        gains = [gain_interval(subject, model, measure) for measure in MEASURES]
        if model is not subject and gains[0] is not None:
            rows.append((model, gains))
    # The sampled figures are always there; those over the catalog where somebody has them.
    shown = [
        number
        for number, measure in enumerate(MEASURES)
        if not measure.startswith("catalog") or any(gains[number] for _, gains in rows)
    ]
    return {
        "names": [comparison.label(MEASURES[number]) for number in shown],
        "rows": [(model, [gains[number] for number in shown]) for model, gains in rows],
    }


def _served(comparison: Comparison, story: Story) -> list[Model]:
    """Whose quality is shown by groups: the subject, its other side, and whom it is compared to."""
    subject = story.subject
    both = [
        model
        for model in comparison.models
        if model.name_without_side == subject.name_without_side and model is not subject
    ]
    return list(dict.fromkeys([subject, *both, *(each.model for each in story.rivalries)]))


def _ablation(comparison: Comparison) -> list[Variant]:
    """ECCT and its ablations, by what they are called without a side."""
    found: dict[str, dict[str, Model]] = {}
    for model in comparison.models:
        if model.kind in KINDS[:2]:
            found.setdefault(model.name_without_side, {})[model.side] = model
    return [Variant(name, sides.get("edge"), sides.get("cloud")) for name, sides in found.items()]


def _gains(
    comparison: Comparison, story: Story, *, against: str | None
) -> tuple[Gains | None, str]:
    """Gains over the first rival whose devices can be paired, or why there are none."""
    others = [model for model in comparison.models if model.runs and model.side != "cloud"]
    others += [model for model in comparison.models if model.runs]
    rivals = [each.model for each in story.rivalries]
    rivals += [model for model in others if model.method != story.subject.method]
    reason = "No baseline has its own run here."
    for number, rival in enumerate(rivals[:1] if against is not None else rivals):
        try:
            return device_gains(story.subject, rival), ""
        except ConfigError as error:
            reason = f"{error}." if not number else reason
    return None, reason


def _baselines_command(run: Run) -> str:
    """What makes runs of ECCT, all baselines and ablations on a run's data."""
    return shlex.join(["ecct", "baselines", "--config", f"{run.path}/config.yaml"])


def _audit_command(comparison: Comparison) -> str | None:
    """What audits the first run whose cloud received uplinks; None where there is none."""
    for run in comparison.runs:
        if run.method == "ecct" and run.config["exchange.up"]:
            return shlex.join(["ecct", "audit", str(run.path)])
    return None
