"""How much of a log was refused, counted so that one device cannot stop a job alone.

A device may send as much as it likes; what it sends counts once for each reason. Bytes that
name no device count one by one.
"""

from collections import Counter, defaultdict

from cloud.uplink_log import Reason, UplinkBatch
from ecct_tf.errors import UplinkRefusalError

__all__ = ["Refusals"]

# Sent once more, or read once more after a reingest, or dropped on request: nothing is lost.
_HARMLESS = frozenset({Reason.DUPLICATE, Reason.FORGOTTEN})


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
        self._records += len(batch) + sum(batch.rejected.values())
        self._devices.update(batch.users.tolist())
        self.total.update(batch.rejected)
        for reason, count in batch.rejected.items():
            senders = batch.senders.get(reason, ())
            self._devices.update(senders)
            self._refused_devices[reason].update(senders)
            self._nameless[reason] += count - len(senders)

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
            alone = 1 if most > 0 and kind != "files" else 0
            if count > max(alone, most * out_of):
                raise UplinkRefusalError(
                    f"uplink log {where}: {count:,} of {out_of:,} {kind} refused as "
                    f"{reason.value}, expected at most {most:.1%} (uplink_log.max_refused): "
                    f"{first.get(reason, 'see the quarantine')}. Nothing counts as read and "
                    "nothing was stored. Fix the setting of the job that refuses what is sound, "
                    "or what the devices send (`ecct cloud log check` shows both), and give the "
                    "same command again; `--set uplink_log.max_refused=1` goes on without them."
                )
