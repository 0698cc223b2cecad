"""Whether a stored version takes the place of the promoted one."""

import dataclasses
import logging
from collections.abc import Mapping

from cloud.registry import Registry, Version
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
      quality: of the new version on the held-out items.
      before: of the version that was promoted when the job began; None when there was none.
    """

    version: int
    promoted: bool
    reason: str
    metric: str
    quality: float
    before: float | None


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
    quality, before = _qualities(version.manifest.metrics, metric)
    passed, reason = verdict(config, quality=quality, before=before)
    if anyway and not passed:
        passed, reason = True, f"promoted on request, although {reason}"
    if passed:
        try:
            registry.promote(version.number, expected=parent, note=reason)
        except PromotionConflictError as error:
            passed, reason = False, str(error)
    _log.info("version %d: %s", version.number, reason)
    return JobResult(version.number, passed, reason, metric, quality, before)


def verdict(config: JobConfig, *, quality: float, before: float | None) -> tuple[bool, str]:
    """Whether the gate lets a version through, and why.

    Args:
      config: the job.
      quality: of the new version.
      before: of the promoted one on the same items; None when there is none.
    """
    metric, gate = config.validation.metric, config.gate
    if not gate.promote:
        return False, "gate.promote is false"
    if before is None:
        return True, "it is the first version"
    least = before + gate.minimum_gain
    passed = quality >= least
    return passed, (
        f"its validation {metric} is {quality:.4f}, "
        f"{'at' if passed else 'not at'} least {least:.4f} ({before:.4f} of the promoted version "
        f"and gate.minimum_gain {gate.minimum_gain:g})"
    )


def _qualities(metrics: Mapping[str, float], metric: str) -> tuple[float, float | None]:
    return metrics[f"validation/cloud_{metric}"], metrics.get(f"before/cloud_{metric}")
