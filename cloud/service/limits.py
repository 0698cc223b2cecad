"""How often one sender may ask: a bucket of requests that fills up again."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

__all__ = ["RateLimit"]

_MOST_SENDERS = 100_000


class RateLimit:
    """Buckets of requests, one for each sender; the longest unused are dropped beyond 100,000.

    Threads may share it.

    Args:
      per_minute: requests that a bucket regains in a minute.
      burst: requests that a full bucket holds.
      clock: seconds, from anywhere.

    >>> now = [0.0]
    >>> limit = RateLimit(per_minute=60, burst=2, clock=lambda: now[0])
    >>> [limit.wait_seconds("a") for _ in range(3)]
    [0.0, 0.0, 1.0]
    >>> now[0] = 1.0
    >>> limit.wait_seconds("a"), limit.wait_seconds("b")
    (0.0, 0.0)
    """

    def __init__(self, *, per_minute: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_second = per_minute / 60.0
        self._burst = float(burst)
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, sender: Hashable) -> float:
        """Takes a request out of the sender's bucket; 0, or how long until there is one."""
        now = self._clock()
        with self._lock:
            left, then = self._buckets.pop(sender, (self._burst, now))
            left = min(self._burst, left + (now - then) * self._per_second)
            wait = 0.0 if left >= 1.0 else (1.0 - left) / self._per_second
            self._buckets[sender] = (left - 1.0 if left >= 1.0 else left, now)
            if len(self._buckets) > _MOST_SENDERS:
                self._buckets.popitem(last=False)
        return wait
