"""Around the application: what a request took, counted and logged, and the end of the server."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from cloud.service.metrics import Metrics

__all__ = ["Measured"]

_log = logging.getLogger(__name__)


class Measured:
    """An ASGI application around another.

    A line of the log has method, route, status, bytes and time: no path, no user, no address.

    Args:
      app: the other.
      metrics: that count.
      routes: patterns of paths, by the name of the function that answers.
      on_end: called when the server ends.
    """

    def __init__(
        self,
        app: Any,
        metrics: Metrics,
        *,
        routes: Mapping[str, str],
        on_end: Callable[[], None],
    ) -> None:
        self._app = app
        self._routes = routes
        self._metrics = metrics
        self._on_end = on_end

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one request, or the server's beginning and end."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        begun, status, sent = time.perf_counter(), 500, 0

        async def counted(message: Any) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            seconds = time.perf_counter() - begun
            # Starlette leaves the endpoint that it chose in the scope.
            chosen = getattr(scope.get("endpoint"), "__name__", "")
            route = self._routes.get(chosen, "other")
            method = scope["method"] if route != "other" else "ANY"
            self._metrics.count(
                method=method, route=route, status=status, seconds=seconds, sent=sent
            )
            _log.info("%s %s %d %d bytes %.1f ms", method, route, status, sent, seconds * 1e3)

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                self._on_end()
                await send({"type": "lifespan.shutdown.complete"})
                return
