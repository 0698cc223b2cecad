"""What a chain of cycles says where no terminal is: some rounds, and each cycle at its end."""

import time
from collections.abc import Callable, Mapping

from ecct_tf.bars import Pace, say
from ecct_tf.config import Tier
from ecct_tf.reporting.spread import plural, seconds_text

__all__ = ["CycleLines"]


class CycleLines:
    """Lines on stderr about the cycles that this process runs.

    Args:
      cycles: those that are left, of which the last is the last of the chain.
      rounds: local rounds of a cycle.
      tiers: how many tiers of devices have rounds of their own.
      k: list length of HR and NDCG.
      show: False says nothing.
      clock: seconds.
    """

    def __init__(
        self,
        cycles: range,
        *,
        rounds: int,
        tiers: int,
        k: int,
        show: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cycles = cycles
        self._rounds = rounds
        self._k = k
        self._show = show
        self._clock = clock
        # In cycle 0 nothing is trained.
        self._pace = Pace(sum(map(bool, cycles)) * rounds * tiers)
        self._done = self._trained = 0
        self._ended = clock()

    def round(self, cycle: int, tier: Tier, *, number: int, devices: int) -> None:
        """A local round of a tier's devices has ended; of quick rounds every few have a line.

        Args:
          cycle: the cycle.
          tier: of the devices.
          number: of the round in the cycle, from 1.
          devices: how many trained.
        """
        self._done += 1
        if self._pace.is_due(self._done, now=self._clock()):
            self._say(
                f"{self._name(cycle)}: {tier}, local round {number} of {self._rounds}, "
                f"{plural(devices, 'device')}"
            )

    def over_http(self, cycle: int, *, devices: int) -> None:
        """Devices over HTTP begin; nothing is known of them until all have answered."""
        self._say(
            f"{self._name(cycle)}: fetching, training and answers of {plural(devices, 'device')} "
            "over HTTP"
        )

    def ended(self, cycle: int, row: Mapping[str, object]) -> None:
        """A cycle has ended, with its line of `metrics.csv`."""
        now = self._clock()
        took, self._ended, left = now - self._ended, now, self._cycles[-1] - cycle
        kept = "" if row["promoted"] else " (kept)"
        parts = [f"{self._name(cycle)}: version {row['version']} in force{kept}"]
        parts.append(f"{plural(int(str(row['uplinks_read'])), 'uplink')} read")
        for side in ("edge", "cloud"):
            hr, ndcg = (row.get(f"{side}_validation_{name}") for name in ("hr", "ndcg"))
            if hr not in (None, ""):
                quality = f"HR@{self._k} {float(str(hr)):.4f} NDCG@{self._k} {float(str(ndcg)):.4f}"
                parts.append(f"{side} validation {quality}")
        parts.append(seconds_text(took))
        # What the first version takes says nothing of the cycles, and the first cycle of this
        # process also traces the graphs.
        self._trained += bool(cycle)
        if left and self._trained > 1:
            parts.append(f"about {seconds_text(took * left)} left")
        self._say(", ".join(parts))

    def _name(self, cycle: int) -> str:
        return f"cycle {cycle} of {self._cycles[-1]}"

    def _say(self, line: str) -> None:
        say(line, show=self._show)
