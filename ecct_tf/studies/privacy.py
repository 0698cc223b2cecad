"""What a curious cloud learns in each mode of the exchange, and what noise costs."""

import statistics
from pathlib import Path
from typing import Any

from ecct_tf.audit import audit_run, write_audit
from ecct_tf.errors import RunFolderError
from ecct_tf.reporting.audit import RunAudit, audits_of
from ecct_tf.reporting.run import Run, read_run
from ecct_tf.reporting.spread import signed
from ecct_tf.studies.drawings import quality_of_points
from ecct_tf.studies.result import StudyResult
from ecct_tf.studies.study import Measure, Point, Study, Table

__all__ = ["audit_once", "epsilon", "learned", "privacy"]

_PROBE = "logistic regression"
# An uplink log holds rows; of sums the run folder keeps all.
_SUMS = ("exchange.rows=item", "exchange.uplink_log=null", "exchange.item_sums.keep=true")


def privacy() -> Study:
    """The exchange whole, with less in it, with noise, and of sums alone; each run is audited."""
    return Study(
        name="privacy",
        question="What does a curious cloud learn from what devices send, and what does it cost to "
        "send less, or to add noise?",
        axis="what devices send",
        points=(
            Point("whole"),
            Point("embeddings only", ("exchange.logits=false",)),
            Point("8 answers", ("exchange.queries=8",)),
            Point("noise 0.3", ("exchange.noise_multiplier=0.3",)),
            Point("noise 1", ("exchange.noise_multiplier=1",)),
            Point("noise 4", ("exchange.noise_multiplier=4",)),
            Point("sums", _SUMS),
            Point("sums with noise 3.8", (*_SUMS, "exchange.item_sums.noise_multiplier=3.8")),
        ),
        methods=("ecct",),
        # So that the audit sees what a cloud that keeps everything has.
        settings=("exchange.uplink_log=run:uplinks",),
        reference="whole",
        measures=(Measure("epsilon", "ε", epsilon, digits=1),),
        drawings=(quality_of_points,),
        tables=(learned,),
        after=audit_once,
        note="ε counts all uplinks of a device over all rounds that have noise; shared weights, "
        "if any cross, are sums without noise. Every run is audited by `ecct audit` once it is "
        "complete.",
    )


def audit_once(path: Path) -> None:
    """Audits the run in `path`, unless that was done already; other methods than ECCT have none."""
    run = read_run(path)
    if run.method != "ecct":
        return
    try:
        done = any(not audit.stale for audit in audits_of([run]))
    except RunFolderError:
        done = False
    if not done:
        write_audit(audit_run(path), path)


def epsilon(run: Run, side: str) -> float | None:
    """The ε of a run's uplinks; None without noise."""
    del side
    found = next((audit.values.get("epsilon") for audit in audits_of([run])), None)
    return None if found is None else float(found)


def learned(result: StudyResult) -> Table | None:
    """What each guess reaches at each point; None where nothing was audited."""
    rows = []
    for point in result.points:
        runs = [run for run in point.comparison.runs if run.method == "ecct"]
        for cells in _guesses(audits_of(runs)):
            rows.append((point.point.label, *cells))
    if not rows:
        return None
    return Table(
        name="learned",
        title="What a curious cloud learns",
        headings=("point", "guess", "measure", "knew", "both", "uplinks add", "95 %", "leaks"),
        rows=tuple(rows),
        note="By logistic regression: from what the cloud knew anyway, and with uplinks; the "
        "interval of what they add is paired over users; over several seeds, from the lowest end "
        "to the highest. Leaks: number of seeds in which the whole interval is above zero.",
        names=3,
    )


def _guesses(audits: list[RunAudit]) -> list[tuple[str, ...]]:
    """A row for each guess and measure, meaned over the seeds that have it."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for audit in audits:
        for finding in audit.values["findings"]:
            if finding["method"] == _PROBE and None not in (finding["known"], finding["added"]):
                found.setdefault((finding["target"], finding["measure"]), []).append(finding)
    rows = list[tuple[str, ...]]()
    for (target, measure), each in found.items():
        known, both, added = (
            statistics.fmean(finding[name]["value"] for finding in each)
            for name in ("known", "both", "added")
        )
        low = min(finding["added"]["low"] for finding in each)
        high = max(finding["added"]["high"] for finding in each)
        leaks = sum(finding["leaks"] for finding in each)
        rows.append(
            (
                *(target, measure, f"{known:.3f}", f"{both:.3f}", signed(added)),
                *(f"{signed(low)} to {signed(high)}", f"{leaks} of {len(each)}"),
            )
        )
    return rows
