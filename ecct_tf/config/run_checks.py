"""Checks of a run's settings that concern several sections."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ecct_tf.config.aggregator_names import MEAN, check_share_every, late_refusal
from ecct_tf.config.attack import AttackConfig
from ecct_tf.config.exchange import ExchangeConfig
from ecct_tf.config.loss_names import ORDER_LOSSES
from ecct_tf.config.yaml_text import setting_text
from ecct_tf.errors import ConfigError

if TYPE_CHECKING:
    from ecct_tf.config.run import RunConfig

__all__ = [
    "check_attack",
    "check_candidates",
    "check_embeddings",
    "check_item_rows",
    "check_late",
    "check_outcomes",
    "check_silence",
]


def check_attack(
    attack: AttackConfig, *, method: str, exchange: ExchangeConfig, real_devices: int
) -> None:
    """Refuses an attack on uplinks where there are none, and one that real devices cannot repeat.

    Raises:
      ConfigError: so it is.
    """
    if attack.share and (method != "ecct" or not exchange.up):
        raise ConfigError(
            f"attack.share: got {attack.share}, but only uplinks of the method ecct can be forged, "
            f"and there are none with method={method} and exchange.up="
            f"{setting_text(exchange.up)}; expected 0"
        )
    if attack.share and attack.kind == "flip" and real_devices:
        raise ConfigError(
            f"attack.kind: 'flip' turns the labels of simulated devices round, which the "
            f"runtime.real_devices={real_devices} that are held against them do not have; expected "
            "another kind, or runtime.real_devices=0"
        )


def check_late(config: "RunConfig") -> None:
    """Refuses buffers of nothing, and aggregators whose changes come from several rounds.

    Raises:
      ConfigError: names the setting.
    """
    for section, server in config.servers.items():
        own_edge = not section.startswith("federated_baseline")
        if own_edge:
            check_share_every(
                config.edge.share_every,
                section=section,
                aggregator=server.aggregator,
                stages=server.stages,
            )
        if server.buffer and own_edge and config.edge.shared == "none":
            raise ConfigError(
                f"{section}.buffer: got {server.buffer}, but edge.shared=none shares no weights "
                "that could wait; expected edge.shared=backbone or all, or 0. What the cloud "
                "learns from uplinks waits by cloud.buffer"
            )
        if server.aggregator != MEAN and (server.buffer or config.participation.asynchronous):
            raise late_refusal(f"{section}.aggregator", server.aggregator)
    if config.cloud.buffer and not config.exchange.up:
        raise ConfigError(
            f"cloud.buffer: got {config.cloud.buffer} with exchange.up=false, where no uplink "
            "ever arrives and the cloud would never learn; expected 0"
        )


def check_item_rows(config: "RunConfig") -> None:
    """Refuses what needs rows of users where only sums over devices leave them.

    Raises:
      ConfigError: names the setting.
    """
    exchange = config.exchange
    if exchange.rows != "item" or config.method != "ecct" or not exchange.up:
        return
    refused = {
        "exchange.uplink_log": (exchange.uplink_log, "an uplink log holds rows", "null"),
        "exchange.noise_multiplier": (
            exchange.noise_multiplier,
            "noise on rows is not what crosses; noise on sums is exchange.item_sums."
            "noise_multiplier",
            "0",
        ),
        "runtime.real_devices": (
            config.runtime.real_devices,
            "exported files send rows, which are no sum",
            "0",
        ),
        "participation.delay.max_rounds": (
            config.participation.delay.max_rounds,
            "a sum has all its devices in one round",
            "0",
        ),
        "attack.kind": (
            config.attack.share
            and config.attack.kind not in ("none", "flip")
            and config.attack.kind,
            "forged uplinks are rows; of sums there are attacks of the kind flip alone",
            "flip, or attack.share=0",
        ),
    }
    _refuse(refused, given="exchange.rows=item", instead="exchange.rows=user")
    if config.stage_1_rounds and not exchange.item_sums.embeddings:
        raise ConfigError(
            f"exchange.item_sums.embeddings: got false, but the first {config.stage_1_rounds} of "
            f"{config.rounds} rounds exchange embeddings alone, so that nothing would cross; "
            "expected true, or exchange.logits=true and exchange.stage_1_rounds=0"
        )


def check_candidates(config: "RunConfig") -> None:
    """Refuses what needs the whole item table on devices that hold rows of some items.

    Raises:
      ConfigError: names the setting.
    """
    if config.exchange.items != "candidates" or config.method != "ecct":
        return
    refused = {
        "cloud.downlink_rate": (
            config.cloud.downlink_rate,
            "rows are chosen once, by downlinks that stay as they were published",
            "0",
        ),
        "evaluation.catalog": (
            config.evaluation.catalog in ("own", "all") and config.evaluation.catalog,
            "no device can rank items that it has no rows of",
            "none or auto",
        ),
        "data.recent_fraction": (
            config.data.recent_fraction == 1 and config.data.recent_fraction,
            "the cloud knows no interaction by which it could choose rows",
            "less than 1",
        ),
    }
    _refuse(refused, given="exchange.items=candidates", instead="exchange.items=table")


def check_silence(config: "RunConfig") -> None:
    """Refuses silent devices where nothing can be compared, or silence would tell too much.

    Raises:
      ConfigError: names the setting.
    """
    exchange = config.exchange
    if not exchange.speak_above or config.method != "ecct":
        return
    refused = {
        "exchange.up": (not exchange.up and "false", "no device is asked", "true"),
        "exchange.down": (
            not exchange.down and "false",
            "a device that is told nothing cannot compare its answers",
            "true",
        ),
        "exchange.logits": (not exchange.logits and "false", "logits are what it compares", "true"),
        "exchange.rows": (
            exchange.rows == "item" and "item",
            "a sum has all its devices",
            "user",
        ),
        "exchange.noise_multiplier": (
            exchange.noise_multiplier,
            "who is silent follows from private data, and no noise hides it",
            "0",
        ),
        "privacy.max_epsilon": (
            config.privacy.max_epsilon,
            "who is silent follows from private data, and no ε counts it",
            "null",
        ),
        "runtime.real_devices": (
            config.runtime.real_devices,
            "exported files always answer",
            "0",
        ),
        "attack.kind": (
            config.attack.share and config.attack.kind,
            "a poisoned device would be silent by its honest answers",
            "none, or attack.share=0",
        ),
        "server.stages": (
            config.server.stages,
            "an aggregate of one's own decides which rows arrive",
            "null",
        ),
    }
    _refuse(
        refused,
        given=f"exchange.speak_above={exchange.speak_above:g}",
        instead="exchange.speak_above=0",
    )


def check_embeddings(config: "RunConfig") -> None:
    """Refuses what has embeddings in its form where logits alone cross.

    Raises:
      ConfigError: names the setting.
    """
    exchange = config.exchange
    if exchange.embeddings or config.method != "ecct":
        return
    refused = {
        "exchange.rows": (
            exchange.rows == "item" and "item",
            "sums have a setting of their own, exchange.item_sums.embeddings",
            "user",
        ),
        "exchange.uplink_log": (
            exchange.uplink_log,
            "a record of an uplink log has embeddings",
            "null",
        ),
        "runtime.real_devices": (
            config.runtime.real_devices,
            "exported files send embeddings",
            "0",
        ),
    }
    _refuse(refused, given="exchange.embeddings=false", instead="exchange.embeddings=true")


def check_outcomes(config: "RunConfig") -> None:
    """Refuses grades, weights and further targets that models would read, and unread grades.

    Raises:
      ConfigError: names the setting.
    """
    for name, column in (
        ("grade", config.samples.grade.column),
        ("weight", config.samples.weight.column),
        *((f"targets.{name}", target.column) for name, target in config.samples.targets.items()),
    ):
        if column in config.features.context:
            raise ConfigError(
                f"samples.{name}.column: got {column!r}, which features.context gives to models: "
                "they would read what came of an interaction before it. Take it out of one, or "
                "declare the file's column twice, by header"
            )
    if config.samples.grade.column is not None and config.training.loss in ORDER_LOSSES:
        raise ConfigError(
            f"samples.grade.column: got {config.samples.grade.column!r} with training.loss="
            f"{config.training.loss}, which reads the order within a position alone, so grades "
            "would change nothing; expected a loss that reads them, such as training.loss=bce or "
            "huber"
        )


def _refuse(refused: Mapping[str, tuple[object, str, str]], *, given: str, instead: str) -> None:
    """Refuses settings that another one rules out.

    Args:
      refused: by setting, what it is, falsy where it is fine; why it may not be; what to expect.
      given: the setting that rules them out.
      instead: what that one would have to be.

    Raises:
      ConfigError: names the first such setting.
    """
    for setting, (found, why, expected) in refused.items():
        if found:
            raise ConfigError(
                f"{setting}: got {found} with {given}: {why}; expected {expected}, or {instead}"
            )
