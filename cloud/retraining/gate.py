"""Whether a stored version takes the place of the promoted one."""

import dataclasses
import logging
import math
from collections.abc import Mapping

from cloud.registry import Registry, Version
from cloud.retraining.comparison import Comparison
from cloud.retraining.config import JobConfig
from ecct_tf.errors import PromotionConflictError

__all__ = ["JobResult", "decide", "verdict"]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class JobResult:
    """What a job came to.

    Attributes:
      version: the number of the version that it stored.
      promoted: whether the job put it in force.
      reason: why it did, or did not.
      metric: `validation.metric`.
      quality: of the new version on the items that were held out for the gate.
      before: of the version that was promoted when the job began; None when there was none.
      low: the lower end of the interval of the difference, user by user; None where there was
        no version, or were too few users for an interval.
      high: its upper end.
      room: the largest loss that the gate would have let through.
    """

    version: int
    promoted: bool
    reason: str
    metric: str
    quality: float
    before: float | None
    low: float | None = None
    high: float | None = None
    room: float | None = None


def decide(
    config: JobConfig, registry: Registry, version: Version, *, parent: int | None, anyway: bool
) -> JobResult:
    """Promotes `version`, or leaves it stored.

    Args:
      config: the job.
      registry: where the version is.
      version: what the job stored.
      parent: what was promoted when the job began, with which the version was compared.
      anyway: promotes whatever the gate says.
    """
    metric = config.validation.metric
    quality, comparison = _compared(version.manifest.metrics, metric)
    passed, reason = verdict(config, comparison)
    if passed and comparison is None and parent is not None:
        passed, reason = (
            False,
            (
                f"it could not be compared with version {parent}, whose model this release cannot "
                "build; `ecct cloud promote` puts it in force"
            ),
        )
    if anyway and not passed:
        passed, reason = True, f"promoted on request, although {reason}"
    if passed:
        try:
            registry.promote(version.number, expected=parent, note=reason)
        except PromotionConflictError as error:
            passed, reason = False, str(error)
    _log.info("version %d: %s", version.number, reason)
    return _result(version.number, passed, reason, metric, quality, comparison)


def verdict(config: JobConfig, comparison: Comparison | None) -> tuple[bool, str]:
    """Whether the gate lets a version through, and why.

    Args:
      config: the job.
      comparison: with the promoted version; None when there is none.
    """
    metric, gate = config.validation.metric, config.gate
    if not gate.promote:
        return False, "gate.promote is false"
    if comparison is None:
        return True, "it is the first version"
    passed = comparison.passes(minimum_gain=gate.minimum_gain)
    found, room = comparison.interval, comparison.room
    told = (
        f"its held-out {metric} is {comparison.quality:.4f}, {found.mean:+.4f} against "
        f"{comparison.before:.4f} of the promoted version"
    )
    if math.isfinite(found.half_width):
        told += (
            f" ({100 * gate.confidence:g} % interval {found.mean - found.half_width:+.4f} to "
            f"{found.mean + found.half_width:+.4f} over {found.count:,} users)"
        )
    if comparison.carried:
        told += f", and {comparison.carried:.4f} were lost since the best version before"
    if gate.minimum_gain:
        told += f"; gate.minimum_gain is {gate.minimum_gain:g}"
    room_is = f"the room of {room:.4f} that chance needs"
    if room < found.half_width:
        room_is = f"the room of {room:.4f}, which gate.largest_loss bounds"
    return passed, f"{told}: {'within' if passed else 'beyond'} {room_is}"


def _compared(metrics: Mapping[str, float], metric: str) -> tuple[float, Comparison | None]:
    quality, before = metrics[f"validation/cloud_{metric}"], metrics.get(f"before/cloud_{metric}")
    if before is None:
        return quality, None
    return quality, Comparison.read(metrics, metric, quality=quality, before=before)


def _result(
    version: int,
    promoted: bool,
    reason: str,
    metric: str,
    quality: float,
    comparison: Comparison | None,
) -> JobResult:
    if comparison is None:
        return JobResult(version, promoted, reason, metric, quality, before=None)
    found = comparison.interval
    known = math.isfinite(found.half_width)
    return JobResult(
        version,
        promoted,
        reason,
        metric,
        quality,
        before=comparison.before,
        low=found.mean - found.half_width if known else None,
        high=found.mean + found.half_width if known else None,
        room=comparison.room,
    )
