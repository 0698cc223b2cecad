"""A service that is killed and comes back, behind a proxy, for a cycle over HTTP."""

import contextlib
import logging
import os
import random
import resource
import signal
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.http_faults.browsers import browser_parts
from benchmarks.http_faults.evidence import Evidence
from benchmarks.http_faults.plan import FaultPlan
from benchmarks.http_faults.proxy import FaultyProxy
from cloud.service import TokenStore
from ecct_tf.cycle import HttpOptions
from ecct_tf.cycle.service_process import RunningService, ServicePlan, ServiceProcess
from ecct_tf.errors import EcctError, WorkerError

__all__ = ["FaultyRun"]

_log = logging.getLogger(__name__)


class FaultyRun:
    """Everything that goes wrong with one run of cycles over HTTP.

    Attributes:
      evidence: of what was confirmed and served; there is some once the service has run.
      left: what was to be killed and was not, once the service has ended.

    Args:
      plan: what goes wrong.
      devices: folder of the devices.
    """

    def __init__(self, plan: FaultPlan, *, devices: Path) -> None:
        self.evidence: Evidence | None = None
        self.left: tuple[str, ...] = ()
        self._plan = plan
        self._devices = devices
        self._rng = random.Random(plan.seed)
        self._lock = threading.RLock()
        self._service: ServiceProcess | None = None
        self._served: ServicePlan | None = None
        self._hosts: list[subprocess.Popen[bytes]] = []
        self._failure: EcctError | None = None

    def options(
        self,
        *,
        processes: int,
        deadline_seconds: float = 1_800.0,
        most_wait_seconds: float = 2.0,
        browsers: int = 0,
        browser_command: tuple[str, ...] = (),
    ) -> HttpOptions:
        """How the cycle runs its devices, with the faults."""
        return HttpOptions(
            processes=processes,
            deadline_seconds=deadline_seconds,
            most_wait_seconds=most_wait_seconds,
            restarts=1_000,
            browsers=browsers,
            browser_command=browser_command,
            serve=self._serve,
            on_refused=self._log_out,
            on_started=self._hosts.append,
        )

    @contextlib.contextmanager
    def _serve(self, plan: ServicePlan) -> Iterator[RunningService]:
        self._served = plan
        self.evidence = Evidence(plan.public, plan.models)
        self._service = ServiceProcess(plan)
        proxy = FaultyProxy(self._plan, self.evidence, port=self._port, act=self._act)
        try:
            yield _Behind(proxy, self)
        finally:
            proxy.close()
            self.left = tuple(kill.what for kill in proxy.kills.left)
            with self._lock:
                code = self._service.end()
        if code:
            raise WorkerError(f"the service ended with {code}, expected 0; see {plan.messages}")

    def check(self) -> None:
        """Raises where the service did not come back."""
        if self._failure is not None:
            raise self._failure

    def _port(self) -> int | None:
        service = self._service
        if service is None or service.process.poll() is not None:
            return None
        return urllib.parse.urlsplit(service.address).port

    def _act(self, what: str, token: str) -> bool:
        if what in ("devices", "browser host", "browser", "page"):
            return self._kill_devices(what)
        if what.startswith("service"):
            return self._kill()
        elif what in ("full disk", "free disk"):
            self._limit(0 if what == "full disk" else resource.RLIM_INFINITY)
        elif what == "revoke" and self._served is not None:
            store = TokenStore(self._served.tokens)
            grant = store.find(token)
            if grant is not None:
                store.revoke(user=grant.user)
        return True

    def _kill_devices(self, what: str) -> bool:
        """Kills a process of devices with all that it started, or its browser, or a page of it."""
        alive = [host.pid for host in self._hosts if host.poll() is None]
        if what == "devices":
            if not alive:
                return False
            os.killpg(self._rng.choice(alive), signal.SIGKILL)
            return True
        killed = False
        for host in alive:
            for part in browser_parts(host):
                with contextlib.suppress(ProcessLookupError):
                    if what == "browser host" and part.kind == "browser":
                        os.killpg(host, signal.SIGKILL)
                        killed = True
                    elif what == part.kind:  # a spare page, too: which one is used, is not known
                        os.kill(part.pid, signal.SIGKILL)
                        killed = True
        return killed

    def _kill(self) -> bool:
        with self._lock:
            service = self._service
            if service is None or service.process.poll() is not None:
                return False  # It is down already.
            service.process.kill()
            service.end()
            threading.Thread(target=self._come_back, daemon=True).start()
        return True

    def _come_back(self) -> None:
        with self._lock:
            if self._served is None:
                return
            try:
                self._service = ServiceProcess(self._served)
            except EcctError as error:
                self._failure = error

    def _limit(self, most: int) -> None:
        """No file of the service may grow beyond `most` bytes: as on a full disk."""
        with self._lock:
            service = self._service
            if service is None:
                return
            with contextlib.suppress(ProcessLookupError):
                _, hard = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
                resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (most, hard))

    def _log_out(self, users: Sequence[int]) -> None:
        """Apps whose token was refused ask their users to log in."""
        for user in users:
            (self._devices / str(user) / "token").unlink(missing_ok=True)


class _Behind:
    """What the cycle sees of the service: an address that stays."""

    def __init__(self, proxy: FaultyProxy, run: FaultyRun) -> None:
        self.address = proxy.address
        self.check = run.check
