"""Stands between devices and a service, and lets happen what a plan says."""

import contextlib
import http.client
import http.server
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.http_faults.evidence import Evidence
from benchmarks.http_faults.kills import Kill, PendingKills
from benchmarks.http_faults.plan import BROKEN, LATE, LOST_ANSWER, LOST_REQUEST, REPEATED, FaultPlan

__all__ = ["FaultyProxy"]

_HOP = {"host", "connection", "content-length", "transfer-encoding"}
_LATE_REQUESTS = 5


class FaultyProxy:
    """A proxy at a port of this machine.

    Attributes:
      address: where devices reach it.
      number: of the request that comes next.
      kills: of the plan that have not happened.

    Args:
      plan: what happens when.
      evidence: of what is confirmed and served.
      port: of the service now; None while it is down.
      act: carries out what is to happen with a request, given what, and the token of whoever asks;
        False if there was nothing to do it to.
    """

    def __init__(
        self,
        plan: FaultPlan,
        evidence: Evidence,
        *,
        port: Callable[[], int | None],
        act: Callable[[str, str], bool],
    ) -> None:
        self.number = 0
        self.kills = PendingKills(plan)
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

            do_GET = do_PUT = do_POST = do_OPTIONS = _any  # noqa: N815  # names of http.server

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
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in _HOP
        }
        method, path = request.command, request.path
        if method == "OPTIONS":  # a browser asks whether its page may ask
            self._answer(request, self._forward(method, path, headers, body))
            return
        with self._lock:
            number, self.number = self.number, self.number + 1
        self._events(number, headers.get("Authorization", "").rpartition(" ")[2])
        kill = self.kills.due(number, in_browser="Origin" in headers)
        fault = self._plan.fault(number, method=method)
        if fault is not None:
            self._evidence.count(fault)
        if kill is not None and kill.comes_before:
            self._kill(kill)
            kill = None
        if fault == LOST_REQUEST:
            if kill is not None:
                self.kills.put_back(kill)
            return
        if fault == LATE:
            with self._lock:
                self._late.append((number + _LATE_REQUESTS, path, headers, body))
        if fault == REPEATED:
            self._forward(method, path, headers, body)
        answer = self._forward(method, path, headers, body, kill=kill)
        self._send_late()
        if fault != LOST_ANSWER:
            self._answer(request, answer, is_broken=fault == BROKEN)

    def _answer(
        self,
        request: http.server.BaseHTTPRequestHandler,
        answer: tuple[int, dict[str, str], bytes] | None,
        *,
        is_broken: bool = False,
    ) -> None:
        """Passes the service's answer on; a broken one ends in the middle."""
        if answer is None:
            return
        status, told, content = answer
        request.send_response_only(status)
        for name, value in told.items():
            if name not in _HOP:
                request.send_header(name, value)
        request.send_header("Content-Length", told.get("content-length", "0"))
        with contextlib.suppress(ConnectionError):  # whoever asked was killed
            request.end_headers()
            request.wfile.write(content[: len(content) // 2] if is_broken else content)

    def _kill(self, kill: Kill) -> None:
        if self._act(kill.what, ""):
            self._evidence.count(f"kill: {kill.what}")
        else:
            self.kills.put_back(kill)

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
        kill: Kill | None = None,
    ) -> tuple[int, dict[str, str], bytes] | None:
        """The service's answer; None where there is no whole one. A kill is meanwhile or after."""
        port = self._port()
        if port is None:
            if kill is not None:
                self.kills.put_back(kill)
            time.sleep(0.05)
            return None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request(method, path, body=body or None, headers=headers)
            if kill is not None and kill.what == "service meanwhile":
                self._kill(kill)
            response = connection.getresponse()
            content = response.read()
            if response.length:
                return None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
            if kill is not None and kill.what == "service after":
                self._kill(kill)
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
