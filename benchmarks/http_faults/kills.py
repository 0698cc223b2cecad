"""The kills of a plan that have not happened yet."""

import dataclasses
import threading

from benchmarks.http_faults.plan import FaultPlan

__all__ = ["Kill", "PendingKills"]


@dataclasses.dataclass(frozen=True, order=True)
class Kill:
    """One kill.

    Attributes:
      number: of the request with which it is due.
      what: is killed.
      in_browser: whether `number` counts requests of browsers only.
    """

    number: int
    what: str
    in_browser: bool

    @property
    def comes_before(self) -> bool:
        """Whether it happens before the request is passed on."""
        return self.what not in ("service meanwhile", "service after")


class PendingKills:
    """Hands each kill out once; threads may share it.

    Args:
      plan: whose kills they are.
    """

    def __init__(self, plan: FaultPlan) -> None:
        self._lock = threading.Lock()
        self._browser_requests = 0
        self._left = sorted(
            [Kill(number, what, False) for number, what in plan.kills.items()]
            + [Kill(number, what, True) for number, what in plan.browser_kills.items()]
        )

    @property
    def left(self) -> list[Kill]:
        """Those that have not happened."""
        with self._lock:
            return list(self._left)

    def due(self, number: int, *, in_browser: bool) -> Kill | None:
        """The kill that comes with the request `number`, or was due before and could not happen."""
        with self._lock:
            own = self._browser_requests
            self._browser_requests += in_browser
            for kill in self._left:
                if kill.in_browser:
                    is_due = in_browser and kill.number <= own
                else:
                    is_due = kill.number <= number
                if is_due:
                    self._left.remove(kill)
                    return kill
        return None

    def put_back(self, kill: Kill) -> None:
        """There was nothing to kill: it comes with the next request."""
        with self._lock:
            self._left = sorted([*self._left, kill])
