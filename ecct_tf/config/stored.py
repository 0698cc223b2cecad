"""Settings as run folders and versions of the cloud keep them, read by later releases.

What is stored has every setting that there was. A setting that is missing came later: it has the
meaning that held before there was one, which need not be today's default.
"""

import copy
import dataclasses
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from ecct_tf.config.run import RunConfig
from ecct_tf.config.yaml_text import resolved
from ecct_tf.errors import ConfigError

__all__ = ["complete_settings", "earlier_settings", "is_run_settings", "missing_settings"]

# What held before each setting. One that is added to `RunConfig` gets a line here.
_BEFORE: Mapping[str, Any] = {
    "attack.item": None,
    "attack.kind": "push",
    "attack.share": 0.0,
    "cloud.answer_ridge": 0.0,
    "cloud.answer_trim": 0.0,
    "cloud.answers_kept": 1,
    "cloud.buffer": 0,
    "cloud.downlink_rate": 1.0,
    "cloud.guard_room": 0.1,
    "cloud.guard_share": 0.0,
    "cloud.similarity.dense_items": 5000,
    "cloud.similarity.factors": 512,
    "cloud.item_places": False,
    "cloud.max_item_share": 1.0,
    "cloud.model": "ecct",
    "cloud.next_item.full_items": 2**62,
    "cloud.next_item.max_positions": 2**62,
    "cloud.next_item.min_steps": 0,
    "cloud.next_item.sampled_items": 4096,
    "cloud.popular_rows": 0.25,
    "cloud.rows": 64,
    "cloud.similarity.form": "dense",
    "cloud.symmetric_preference": False,
    "cloud.update_users": 2**62,
    "data.fingerprint": None,
    "data.keep_first": None,
    "data.keep_last": None,
    "data.max_item_share": 1.0,
    "data.name": None,
    "data.skew.keep": 1.0,
    "data.skew.missing_profiles": 0.0,
    "data.skew.quantity": 0.0,
    "data.skew.taste": None,
    "data.skew.tastes": 8,
    "edge.share_every": 1,
    "edge.start": "random",
    "evaluation.catalog": "none",
    "evaluation.cold_interactions": 10,
    "evaluation.devices": None,
    "exchange.answer_by": "item",
    "exchange.candidates.best": 512,
    "exchange.candidates.popular": 512,
    "exchange.candidates.touched": 256,
    "exchange.candidates.uniform": 512,
    "exchange.embeddings": True,
    "exchange.item_increments.bits": 9,
    "exchange.item_increments.clip_norm": 8.0,
    "exchange.item_increments.noise_multiplier": 0.0,
    "exchange.item_increments.positions": 0,
    "exchange.item_increments.rows": 4,
    "exchange.item_increments.width": 16384,
    "exchange.item_sums.bits": 12,
    "exchange.item_sums.clip_embeddings": 16.0,
    "exchange.item_sums.clip_logits": 8.0,
    "exchange.item_sums.embeddings": False,
    "exchange.item_sums.keep": False,
    "exchange.item_sums.noise_multiplier": 0.0,
    "exchange.item_sums.width": 4096,
    "exchange.item_table": None,
    "exchange.recent_popularity.max_growth": None,
    "exchange.recent_popularity.noise_multiplier": 0.0,
    "exchange.recent_popularity.positions": 0,
    "exchange.items": "table",
    "exchange.logits": True,
    "exchange.only_asked": False,
    "exchange.speak_above": 0.0,
    "exchange.rows": "user",
    "exchange.uplink_log": None,
    "features.clock": False,
    "features.context": {},
    "participation.availability.awake_share": 0.5,
    "participation.availability.rounds_per_day": 0,
    "participation.availability.trace": None,
    "participation.delay.distribution": "uniform",
    "participation.delay.max_rounds": 0,
    "participation.delay.mean_rounds": 2.0,
    "participation.membership.late_rounds": 5,
    "participation.membership.late_share": 0.0,
    "participation.membership.leave_rounds": 5,
    "participation.membership.leave_share": 0.0,
    "participation.sampling": "uniform",
    "participation.share": None,
    "privacy.delta": 1e-5,
    "privacy.max_epsilon": None,
    "runtime.engine": None,
    "runtime.real_devices": 0,
    "runtime.real_devices_runtime": "tensorflow",
    "runtime.round_deadline_seconds": 1800.0,
    "runtime.workers": [],
    "runtime.workers_tls": None,
    "samples.guard_positions": 0,
    "samples.grade.column": None,
    "samples.grade.negatives": 0.0,
    "samples.grade.unknown": 1.0,
    "samples.grade.values": {},
    "samples.half_life": 0,
    "samples.targets": {},
    "samples.weight.column": None,
    "samples.weight.unknown": 1.0,
    "samples.weight.values": {},
    "start.loss": "bce",
    "start.min_steps": 0,
    "edge_only.server.aggregator": "mean",
    "federated_baseline.pfedrec.server.aggregator": "mean",
    "federated_baseline.server.aggregator": "mean",
    "edge_only.server.buffer": 0,
    "edge_only.server.staleness_exponent": 0.5,
    "edge_only.server.stages": None,
    "federated_baseline.pfedrec.server.buffer": 0,
    "federated_baseline.pfedrec.server.staleness_exponent": 0.5,
    "federated_baseline.pfedrec.server.stages": None,
    "federated_baseline.server.buffer": 0,
    "federated_baseline.server.staleness_exponent": 0.5,
    "federated_baseline.server.stages": None,
    "server.aggregator": "mean",
    "server.buffer": 0,
    "server.staleness_exponent": 0.5,
    "server.stages": None,
    "training.distillation_loss": "tempered",
    "training.loss": "bce",
    "federated_baseline.loss": "bce",
    "federated_baseline.fedmd.loss": "bce",
    "centralized.loss": "bce",
}
# What nothing read before: with the settings above, or a method that there was, it has no effect.
_UNREAD = (
    "features.clock_",
    "start.",
    "dccl.",
    "federated_baseline.fedrecon.",
    "federated_baseline.fedmd.",
)
# Without the section `edge_only` that method took the settings of all others.
_EDGE_ONLY = {
    "rounds": "rounds",
    "learning_rate": "training.learning_rate",
    "private_learning_rate": "training.private_learning_rate",
    "server": "server",
}
# Rounds without logits where nobody said how many, also of a run that `edge.start=cloud` began.
_STAGE_1_ROUNDS = 5


def is_run_settings(path: Path) -> bool:
    """Whether `path` is the file in which a run folder keeps its settings."""
    beside = (path.with_name(name) for name in ("environment.json", "status.json"))
    return path.name == "config.yaml" and any(other.is_file() for other in beside)


def missing_settings(
    values: Mapping[str, Any], config: type[Any] = RunConfig, *, prefix: str = ""
) -> list[str]:
    """The settings of `config` that `values` lacks, by dotted key, sections as they are nested.

    >>> from ecct_tf.config import EdgeConfig
    >>> missing_settings({"tiers": {"mlp": 1.0}, "shared": "none", "heads": 2}, EdgeConfig)
    ['share_every', 'start', 'embedding_dim', 'hidden_dim', 'profile_dim']
    """
    found, hints = [], get_type_hints(config)
    for field in dataclasses.fields(config):
        inner, key = hints[field.name], f"{prefix}{field.name}"
        if dataclasses.is_dataclass(inner):
            part = values.get(field.name, {})
            if isinstance(part, Mapping) and isinstance(inner, type):
                found += missing_settings(part, inner, prefix=f"{key}.")
        elif field.name not in values:
            found.append(key)
    return found


def complete_settings(
    values: Mapping[str, Any], *, where: str, sections: Iterable[str] | None = None
) -> dict[str, Any]:
    """`values` with the settings that came later, as what held before.

    Args:
      values: settings nested as in YAML, with known keys.
      where: they are stored, for messages.
      sections: those of `RunConfig` that are stored there; None for all, and what is in none.

    Raises:
      ConfigError: a setting is missing that every release stored.

    Example:
      >>> stored = {"features": {"history_length": 30, "decays": [1.0], "last_items": 3}}
      >>> filled = complete_settings(stored, where="recommender.json", sections=["features"])
      >>> filled["features"]["clock"], filled["features"]["context"]
      (False, {})
    """
    filled = earlier_settings(values, sections=sections)
    lost = _missing(filled, sections)
    if lost:
        raise ConfigError(
            f"{where} lacks {', '.join(lost)}: expected every setting, as it was written. Restore "
            "the file from a copy, or start again with your own settings."
        )
    return filled


def earlier_settings(
    values: Mapping[str, Any], *, sections: Iterable[str] | None = None
) -> dict[str, Any]:
    """As `complete_settings`, but what is missing for another reason stays so.

    What nothing read then has today's default, so that runs of then and of today compare.

    >>> filled = earlier_settings({"method": "ecct"}, sections=["features"])["features"]
    >>> filled["clock"], filled["context"]
    (False, {})
    """
    filled: dict[str, Any] = copy.deepcopy(dict(values))
    missing = _missing(values, sections)
    if "edge_only" not in values and "edge_only.rounds" in missing:
        _keep_stage_1(filled)
        own = {name: copy.deepcopy(_at(filled, key)) for name, key in _EDGE_ONLY.items()}
        filled["edge_only"] = {name: value for name, value in own.items() if value is not None}
    for key in set(missing) & set(_BEFORE):
        _put(filled, key, _BEFORE[key])
    defaults = RunConfig()
    for key in missing_settings(values):
        if key.startswith(_chosen(sections)) and key.startswith(_UNREAD) and key not in _BEFORE:
            _put(filled, key, functools.reduce(getattr, key.split("."), defaults))
    return filled


def _missing(values: Mapping[str, Any], sections: Iterable[str] | None) -> list[str]:
    return [
        key
        for key in missing_settings(values)
        if key.startswith(_chosen(sections)) and (key in _BEFORE or not key.startswith(_UNREAD))
    ]


def _chosen(sections: Iterable[str] | None) -> tuple[str, ...]:
    """How the keys of settings in these sections begin."""
    return ("",) if sections is None else tuple(f"{section}." for section in sections)


def _keep_stage_1(values: dict[str, Any]) -> None:
    """Says how many rounds exchange embeddings alone where the meaning of null has changed."""
    exchange, rounds = values.get("exchange"), resolved(values.get("rounds"))
    if not isinstance(exchange, dict) or not isinstance(rounds, int):
        return
    if resolved(exchange.get("stage_1_rounds")) is None and _at(values, "edge.start") == "cloud":
        exchange["stage_1_rounds"] = min(_STAGE_1_ROUNDS, rounds // 2)


def _at(values: Mapping[str, Any], key: str) -> Any:
    found: Any = values
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _put(values: dict[str, Any], key: str, value: object) -> None:
    *parents, last = key.split(".")
    for name in parents:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):  # Damaged; whoever reads it says so.
            return
    values[last] = value
