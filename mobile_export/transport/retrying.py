"""Trying again: when, how often, and never all devices at the same moment."""

import dataclasses
import random
import time
from collections.abc import Callable, Mapping

from ecct_tf.errors import TransportError
from mobile_export.transport.http import Answer, Transport, UnreachableError

__all__ = ["Retries", "RetryingTransport"]

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclasses.dataclass(frozen=True)
class Retries:
    """How often a request is tried, and how long in between.

    Before attempt n + 1 it waits a random time up to `first_seconds * 2**(n - 1)`, or what the
    service asked for and as much again at random.

    Attributes:
      attempts: at most.
      first_seconds: the longest wait before the second.
      most_seconds: the longest wait at all.
      sleep: waits so many seconds.
      draw: a random number in [0, 1).
    """

    attempts: int = 5
    first_seconds: float = 1.0
    most_seconds: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = random.random

    def wait_seconds(self, failed: int, asked: str | None) -> float:
        """How long to wait after so many failed attempts.

        >>> Retries(draw=lambda: 0.5).wait_seconds(3, None)
        2.0
        >>> Retries(draw=lambda: 0.5).wait_seconds(1, "10")
        15.0
        """
        if asked is not None and asked.isdecimal():
            return min(self.most_seconds, int(asked) * (1 + self.draw()))
        return float(min(self.most_seconds, self.first_seconds * 2 ** (failed - 1)) * self.draw())


class RetryingTransport:
    """A transport around another that asks again where that can help.

    All requests of devices may be repeated: answers are taken once, whatever arrives.

    Args:
      inner: the other.
      retries: how often.
    """

    def __init__(self, inner: Transport, retries: Retries) -> None:
        self._inner = inner
        self._retries = retries

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Callable[[], Mapping[str, str]],
        body: bytes = b"",
        sink: Callable[[Answer, bytes], None] | None = None,
    ) -> Answer:
        """As `Transport.ask`.

        Args:
          method: such as `GET`.
          path: from the root of the service.
          headers: makes those of each attempt: of a download, where it goes on.
          body: of the request.
          sink: takes the body of a success.

        Raises:
          UnreachableError: no attempt gave an answer other than to try again.
        """
        for failed in range(1, self._retries.attempts + 1):
            try:
                answer = self._inner.ask(method, path, headers=headers(), body=body, sink=sink)
            except UnreachableError as error:
                problem: TransportError = error
                asked = None
            else:
                if answer.status not in _AGAIN:
                    return answer
                problem = UnreachableError(f"{method} {path}: the service answered {answer.status}")
                asked = answer.headers.get("retry-after")
            if failed < self._retries.attempts:
                self._retries.sleep(self._retries.wait_seconds(failed, asked))
        raise problem
