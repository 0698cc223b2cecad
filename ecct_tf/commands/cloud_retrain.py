"""`ecct cloud retrain`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecct_tf.commands.options import counted, examples, prepare, set_option
from ecct_tf.stopping import going_on, same_command

if TYPE_CHECKING:
    from cloud.registry.manifest import Manifest
    from cloud.retraining import JobConfig, JobResult

__all__ = ["retrain"]

_MOST_LEFT_OUT = 5

_NOT_PROMOTED = 3


@click.command(
    epilog=examples(
        "ecct cloud retrain --config job.yaml --out jobs/1",
        "ecct cloud retrain --config job.yaml --out jobs/2 --must-promote",
    )
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="YAML file of the job; by default none, each setting has its own default.",
)
@set_option
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the job; with that of a stopped job, the command resumes it.",
)
@click.option(
    "--promote-anyway", is_flag=True, help="Promote even if the new version is not better."
)
@click.option(
    "--must-promote", is_flag=True, help="End with exit code 3 if the version is not promoted."
)
def retrain(
    config_path: Path | None,
    overrides: tuple[str, ...],
    out: Path,
    promote_anyway: bool,
    must_promote: bool,
) -> None:
    """Train the next version of the cloud from history and uplinks, and promote it if it is better.

    The same --out resumes a job after a kill, and ends with the same weights.

    The exit code is 0 when the job ended, whether its version was promoted or not; 2 when it could
    not run, with the reason; 4 when more of the log was refused than uplink_log.max_refused
    allows; 130 after Ctrl-C, 143 after SIGTERM.
    """
    prepare("cloud")
    from cloud.registry import Registry
    from cloud.retraining import load_job_config
    from cloud.retraining import retrain as run
    from ecct_tf.plain_text import fold

    began = time.monotonic()
    config = load_job_config(config_path, overrides=overrides)
    ended_before = (out / "result.json").exists()
    with going_on(lambda: f"Stopped. What was finished is kept; resume with: {same_command()}"):
        result = run(config, out, promote_anyway=promote_anyway)
    if result is None:
        click.echo("This worker has done its part; the first one writes the version.")
        return
    if ended_before:
        took = (
            f"the job in {out} had ended before, nothing was run; another job needs another --out"
        )
    else:
        took = f"{_duration(time.monotonic() - began)} in this process"
    manifest = Registry(config.registry).version(result.version).manifest
    for name, text in _summary(config, result, manifest, out=out, took=took):
        click.echo(fold(f"{name:<10}{text}", sys.stdout, indent=" " * 10))
    if must_promote and not result.promoted:
        click.get_current_context().exit(_NOT_PROMOTED)


def _summary(
    config: JobConfig, result: JobResult, manifest: Manifest, *, out: Path, took: str
) -> list[tuple[str, str]]:
    parents = ", ".join(map(str, manifest.parents))
    origin = f"{manifest.data['start']}, from version {parents}" if parents else "the first one"
    lines = [
        ("Version", f"{result.version} in {config.registry} ({origin})"),
        (
            "Verdict",
            f"{'promoted' if result.promoted else 'stored, not promoted'}: {result.reason}",
        ),
        ("Quality", _quality(config, result)),
    ]
    lines += _uplinks(
        config, manifest.data["uplinks"], heard=manifest.data["users_heard_of"], out=out
    )
    starts = manifest.data.get("edge_starts")
    if starts:
        lines.append(("Starts", "; ".join(_start(tier, about) for tier, about in starts.items())))
    return [*lines, ("Took", took)]


def _start(tier: str, about: dict[str, Any]) -> str:
    origin = "trained" if about["kept_from"] is None else f"kept from version {about['kept_from']}"
    return f"{tier}, {about['weights']:,} weights, {origin}"


def _quality(config: JobConfig, result: JobResult) -> str:
    at = "" if result.metric == "mrr" else f"@{config.validation.k}"
    name = f"{result.metric.upper()}{at} of held-out interactions"
    if result.before is None:
        return f"{name} {result.quality:.4f}; there is no version to compare with"
    gain = result.quality - result.before
    interval = ""
    if result.low is not None and result.high is not None:
        share = f"{100 * config.gate.confidence:g} %"
        interval = f", {share} interval {result.low:+.4f} to {result.high:+.4f}"
    return f"{name} {result.quality:.4f}, before {result.before:.4f} ({gain:+.4f}{interval})"


def _uplinks(
    config: JobConfig, uplinks: dict[str, Any], *, heard: int, out: Path
) -> list[tuple[str, str]]:
    if config.uplinks is None:
        return [("Uplinks", "none: the job names no log")]
    left_out: list[dict[str, str]] = uplinks["left_out"]
    omitted = [
        ("Left out", f"{entry['name']}: {entry['why']}") for entry in left_out[:_MOST_LEFT_OUT]
    ]
    if len(left_out) > _MOST_LEFT_OUT:
        omitted.append(("", f"and {len(left_out) - _MOST_LEFT_OUT:,} more"))
    if not uplinks["new_files"]:
        return [("Uplinks", f"none: there is no new file in {config.uplinks}"), *omitted]
    taken = f"{uplinks['read']:,} read from {counted(uplinks['new_files'], 'new file')}"
    newest = f"the newest of each user counts, {counted(heard, 'user')} heard of"
    lines = [("Uplinks", f"{taken}; {newest}")]
    rejected: dict[str, int] = uplinks["rejected"]
    if rejected:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in rejected.items())
        lines.append(("Refused", f"{sum(rejected.values()):,}: {reasons}"))
        lines.append(("", f"they are in {out / 'quarantine' / 'rejected.sqlite'}"))
    return lines + omitted


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
