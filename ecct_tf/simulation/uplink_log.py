"""A simulated run writes the log that phones would write."""

from pathlib import Path
from typing import Any

import numpy as np

from cloud.uplink_log import ASKED_FOLDER, AskedNotes, Note, UplinkLogWriter
from ecct_tf.config import RunConfig
from ecct_tf.config.yaml_text import setting_text
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import Uplink
from ecct_tf.simulation.loop import Callback, RoundResult
from ecct_tf.wire import UplinkForm, UplinkRecord, pack_uplinks

__all__ = ["RUN", "UplinkLogger", "log_folder", "uplink_records"]

RUN = "run:"
"""Before `exchange.uplink_log`: the rest is a path below the run folder."""

_DAY_SECONDS = 86_400


class UplinkLogger(Callback):
    """Appends the uplinks that reach the cloud in each round, byte for byte what devices sent.

    A simulation has no clock: what devices sent in round r (the first is 0) is stamped r days
    after the start of 1970 and lies in the file of the round in which it arrived, so that a run
    that is repeated or resumed writes the same files again, each in the place of the one
    before. The cloud version is 0. That the round was asked is noted beside them.

    It must come before the `Checkpointer`: a round without its checkpoint is repeated, a
    checkpoint without its uplinks would lose them.

    Args:
      folder: of the log.
      config: of the run.

    Raises:
      ConfigError: when the run has no uplinks.
    """

    def __init__(self, folder: Path, config: RunConfig) -> None:
        if config.method != "ecct" or not config.exchange.up:
            raise ConfigError(
                "exchange.uplink_log: expected method ecct with exchange.up=true, in which devices "
                f"send uplinks, got method {config.method} with exchange.up="
                f"{setting_text(config.exchange.up)}"
            )
        self._writer = UplinkLogWriter(folder)
        self._asked = AskedNotes(folder / ASKED_FOLDER)
        self._config = config

    def on_round(self, result: RoundResult, state: Any) -> None:
        """Writes the file of the round."""
        del state
        number = result.round_number - 1
        records = [
            record
            for sent, uplink in result.report.uplinks
            for record in uplink_records(uplink, self._form(uplink), sent)
        ]
        records.sort(key=lambda record: (record.user, record.round_number))
        self._asked.add(Note(number, 0, number * _DAY_SECONDS))
        self._writer.append(records, name=f"seed{self._config.seed}-round-{number:06d}")

    def _form(self, uplink: Uplink) -> UplinkForm:
        return UplinkForm(
            queries=self._config.exchange.queries,
            embedding_dim=self._config.edge.embedding_dim,
            codec=self._config.exchange.codec,
            with_logits=bool(uplink.logits),
        )


def log_folder(config: RunConfig, out: Path | None) -> Path | None:
    """The folder of a run's uplink log; None without one.

    Args:
      config: of the run.
      out: its folder; None for a run in memory.

    Raises:
      ConfigError: the log lies in a run folder, and there is none.

    Example:
      >>> from ecct_tf.config import load_config
      >>> config = load_config(overrides=["exchange.uplink_log=run:uplinks"])
      >>> log_folder(config, Path("runs/mine")).as_posix()
      'runs/mine/uplinks'
    """
    log = config.exchange.uplink_log
    if log is None:
        return None
    if not log.startswith(RUN):
        return Path(log)
    if out is None:
        raise ConfigError(
            f"exchange.uplink_log: {log} lies in the run folder, and this run has none; give it "
            "one with --out (in a program: out=), or name another folder"
        )
    return out / log.removeprefix(RUN)


def uplink_records(uplink: Uplink, form: UplinkForm, round_number: int) -> list[UplinkRecord]:
    """A round's uplinks as records of the log, one for each user."""
    rows = pack_uplinks(
        np.asarray(uplink.users),
        np.asarray(uplink.items),
        embeddings=[np.asarray(part) for part in uplink.embeddings],
        logits=[np.asarray(part) for part in uplink.logits],
        form=form,
    )
    return [
        UplinkRecord(
            user=int(row["user"]),
            round_number=round_number,
            cloud_version=0,
            created_at_seconds=round_number * _DAY_SECONDS,
            form=form,
            payload=row.tobytes(),
        )
        for row in rows
    ]
