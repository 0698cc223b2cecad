"""How much of a log was refused, counted so that one device cannot stop a job alone.

A device may send as much as it likes; what it sends counts once for each reason. Bytes that
name no device count one by one.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from cloud.uplink_log import Reason, UplinkBatch
from ecct_tf.errors import UplinkRefusalError

__all__ = ["Refusals"]

# Sent once more, or read once more after a reingest, or dropped on request: nothing is lost.
_HARMLESS = frozenset({Reason.DUPLICATE, Reason.FORGOTTEN})

_ROUNDS = (
    "uplink_log.newest_round, where something else than `ecct cloud publish` or a simulation "
    "counts rounds: `--set uplink_log.newest_round=N` with the last one that devices were asked in"
)
# The settings of the job that a reason follows from.
_SETTINGS = {
    Reason.WRONG_FORM: "exchange.codec, exchange.queries and exchange.embedding_dim",
    Reason.UNKNOWN_USER: "data and registry, whose users are known",
    Reason.UNKNOWN_ITEM: "data and registry, whose items are known",
    Reason.EMBEDDING_NORM: "exchange.clip_norm and exchange.noise_multiplier",
    Reason.ABSURD_LOGIT: "exchange.clip_logit and exchange.noise_multiplier",
    Reason.FUTURE_ROUND: _ROUNDS,
    Reason.FUTURE_VERSION: "registry, whose versions devices have",
    Reason.FUTURE_TIME: "uplink_log.clock_slack_hours",
    Reason.NOT_ASKED: _ROUNDS,
}


class Refusals:
    """Counts what goes by of a log, then says whether a job may go on with the rest.

    Args:
      num_files: that are read.
    """

    def __init__(self, num_files: int) -> None:
        self._num_files = num_files
        self._records = 0
        self._devices: set[int] = set()
        self._refused_devices: defaultdict[Reason, set[int]] = defaultdict(set)
        self._nameless: Counter[Reason] = Counter()
        self.total: Counter[Reason] = Counter()

    def add(self, batch: UplinkBatch) -> None:
        """Counts a batch."""
        self.count(batch.users, len(batch), rejected=batch.rejected, senders=batch.senders)

    def count(
        self,
        users: npt.NDArray[np.int32],
        sound: int,
        *,
        rejected: Mapping[Reason, int],
        senders: Mapping[Reason, Sequence[int]],
    ) -> None:
        """Counts what goes by.

        Args:
          users: `[n]`, who sent what is sound.
          sound: number of sound records.
          rejected: number of refused ones by reason.
          senders: by reason, the users that those name, where they can be read.
        """
        self._records += sound + sum(rejected.values())
        self._devices.update(users.tolist())
        self.total.update(rejected)
        for reason, count in rejected.items():
            named = senders.get(reason, ())
            self._devices.update(named)
            self._refused_devices[reason].update(named)
            self._nameless[reason] += count - len(named)

    def shares(self) -> dict[Reason, tuple[int, int, str]]:
        """For each reason how many were refused, out of how many, of what.

        Duplicates are left out: the first one was taken.
        """
        found: dict[Reason, tuple[int, int, str]] = {}
        for reason in self.total:
            if reason in _HARMLESS:
                continue
            devices, nameless = len(self._refused_devices[reason]), self._nameless[reason]
            kinds = {"devices": (devices, len(self._devices))}
            whole_file = reason is Reason.UNREADABLE_FILE
            kinds["files" if whole_file else "records"] = (
                nameless,
                self._num_files if whole_file else self._records,
            )
            kind = max(kinds, key=lambda name: kinds[name][0] / max(1, kinds[name][1]))
            found[reason] = (*kinds[kind], kind)
        return found

    def check(self, *, most: float, where: str, first: dict[Reason, str]) -> None:
        """Stops a job of which too much was refused.

        Args:
          most: the largest share that may be refused for one reason, in [0, 1]. Above 0 it
            takes more than one device or record, however few there are.
          where: the log, for the message.
          first: what the quarantine says of the first record of each reason.

        Raises:
          UplinkRefusalError: more was refused.
        """
        for reason, (count, out_of, kind) in sorted(self.shares().items()):
            setting = f" ({_SETTINGS[reason]})" if reason in _SETTINGS else ""
            alone = 1 if most > 0 and kind != "files" else 0
            if count > max(alone, most * out_of):
                raise UplinkRefusalError(
                    f"uplink log {where}: {count:,} of {out_of:,} {kind} refused as "
                    f"{reason.value}, expected at most {most:.1%} (uplink_log.max_refused): "
                    f"{first.get(reason, 'see the quarantine')}. Nothing counts as read and "
                    "nothing was stored. Fix the job's setting that refuses valid records"
                    f"{setting}, or what the devices send (`ecct cloud log check` shows both), and "
                    "run the same command again; `--set uplink_log.max_refused=1` continues "
                    "without them."
                )
