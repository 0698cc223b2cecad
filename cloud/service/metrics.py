"""Counts of a service as Prometheus reads them. None is of a user, an item or a value."""

import threading
from collections import Counter
from collections.abc import Mapping

__all__ = ["Metrics"]


class Metrics:
    """Requests by route and status, their time, and what the caller adds. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: dict[str, float] = {}
        self._bytes: dict[str, float] = {}

    def count(self, *, method: str, route: str, status: int, seconds: float, sent: int) -> None:
        """Adds a request.

        Args:
          method: `GET` and so on.
          route: the pattern of the path, never the path.
          status: of the answer.
          seconds: that it took.
          sent: bytes of the answer's body.
        """
        with self._lock:
            self._requests[method, route, status] += 1
            self._seconds[route] = self._seconds.get(route, 0.0) + seconds
            self._bytes[route] = self._bytes.get(route, 0.0) + sent

    def text(self, gauges: Mapping[str, float]) -> str:
        """The text that a scraper reads.

        Args:
          gauges: further numbers, by name without `ecct_`; a name that ends in `_total` counts.
        """
        with self._lock:
            lines = ["# TYPE ecct_requests_total counter"]
            for (method, route, status), count in sorted(self._requests.items()):
                labels = f'method="{method}",route="{route}",status="{status}"'
                lines.append(f"ecct_requests_total{{{labels}}} {count}")
            for name, counted in (("seconds", self._seconds), ("sent_bytes", self._bytes)):
                lines.append(f"# TYPE ecct_request_{name}_total counter")
                for route, value in sorted(counted.items()):
                    lines.append(f'ecct_request_{name}_total{{route="{route}"}} {value:g}')
        for name, value in gauges.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# TYPE ecct_{name} {kind}", f"ecct_{name} {value:g}"]
        return "\n".join(lines) + "\n"
