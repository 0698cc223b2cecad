"""Stands between devices and a service, and lets happen what a plan says."""

import http.client
import http.server
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.http_faults.evidence import Evidence
from benchmarks.http_faults.plan import BROKEN, LATE, LOST_ANSWER, LOST_REQUEST, REPEATED, FaultPlan

__all__ = ["FaultyProxy"]

_HOP = {"host", "connection", "content-length", "transfer-encoding"}
_LATE_REQUESTS = 5


class FaultyProxy:
    """A proxy at a port of this machine.

    Attributes:
      address: where devices reach it.
      number: of the request that comes next.

    Args:
      plan: what happens when.
      evidence: of what is confirmed and served.
      port: of the service now; None while it is down.
      act: carries out what is to happen with a request: what, and the token of whoever asks.
    """

    def __init__(
        self,
        plan: FaultPlan,
        evidence: Evidence,
        *,
        port: Callable[[], int | None],
        act: Callable[[str, str], None],
    ) -> None:
        self.number = 0
        self._plan = plan
        self._evidence = evidence
        self._port = port
        self._act = act
        self._lock = threading.Lock()
        self._late: list[tuple[int, str, dict[str, str], bytes]] = []
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _any(self) -> None:
                proxy._handle(self)

            do_GET = do_PUT = do_POST = _any  # noqa: N815  # names of http.server

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Sends what is late, and ends."""
        self._send_late(all_of_them=True)
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, request: http.server.BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        request.close_connection = True
        with self._lock:
            number, self.number = self.number, self.number + 1
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in _HOP
        }
        method, path = request.command, request.path
        self._events(number, headers.get("Authorization", "").rpartition(" ")[2])
        kill = self._plan.kills.get(number)
        fault = self._plan.fault(number, method=method)
        if fault is not None:
            self._evidence.count(fault)
        if kill is not None:
            self._evidence.count(f"kill: {kill}")
        if kill in ("service before", "devices"):
            self._act(kill, "")
        if fault == LOST_REQUEST:
            return
        if fault == LATE:
            with self._lock:
                self._late.append((number + _LATE_REQUESTS, path, headers, body))
        if fault == REPEATED:
            self._forward(method, path, headers, body)
        meanwhile = (lambda: self._act(kill, "")) if kill == "service meanwhile" else None
        answer = self._forward(method, path, headers, body, meanwhile=meanwhile)
        if kill == "service after":
            self._act(kill, "")
        self._send_late()
        if answer is None or fault == LOST_ANSWER:
            return
        status, told, content = answer
        request.send_response_only(status)
        for name, value in told.items():
            if name not in _HOP:
                request.send_header(name, value)
        request.send_header("Content-Length", told.get("content-length", "0"))
        request.end_headers()
        request.wfile.write(content[: len(content) // 2] if fault == BROKEN else content)

    def _events(self, number: int, token: str) -> None:
        begin, end = self._plan.full
        if number in (begin, end):
            self._act("full disk" if number == begin else "free disk", "")
        if number in self._plan.revoked:
            self._evidence.count("revoked")
            self._act("revoke", token)

    def _forward(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        *,
        meanwhile: Callable[[], None] | None = None,
    ) -> tuple[int, dict[str, str], bytes] | None:
        """The service's answer; None where there is no whole one."""
        port = self._port()
        if port is None:
            time.sleep(0.05)
            return None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request(method, path, body=body or None, headers=headers)
            if meanwhile is not None:
                meanwhile()
            response = connection.getresponse()
            content = response.read()
            if response.length:
                return None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        told = {name.lower(): value for name, value in response.getheaders()}
        self._evidence.count(f"{method} {response.status}")
        if method == "PUT" and response.status == 200:
            self._evidence.confirm(body, content)
        elif method == "GET" and response.status in (200, 206):
            self._evidence.serve(path, told, content)
        return response.status, told, content

    def _send_late(self, *, all_of_them: bool = False) -> None:
        """Sends copies of earlier requests, when newer ones have gone before them."""
        with self._lock:
            due = [each for each in self._late if all_of_them or each[0] <= self.number]
            self._late = [each for each in self._late if each not in due]
        for _, path, headers, body in due:
            self._forward("PUT", path, headers, body)
