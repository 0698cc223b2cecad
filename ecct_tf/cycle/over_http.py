"""Devices that reach the cloud over HTTP alone: a service, tokens, and processes of devices."""

import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from cloud.service.tokens import TokenStore
from ecct_tf.child_processes import end_child, start_child, with_this_tree
from ecct_tf.config import Tier, is_own_codec
from ecct_tf.cycle.config import CycleConfig
from ecct_tf.cycle.edge import EdgeSide, Fetched
from ecct_tf.cycle.folder import CycleFolder
from ecct_tf.cycle.service_process import RunningService, ServicePlan, serving
from ecct_tf.data import DeviceView
from ecct_tf.data.outcomes import outcome_columns
from ecct_tf.data.profile import ProfileShape, device_profile
from ecct_tf.errors import ConfigError, TokenError, WorkerError
from mobile_export.device.moments import context_words
from mobile_export.device.state import DeviceState, read_state
from mobile_export.transport.home import DeviceHome, OwnData
from mobile_export.transport.host import HostPlan, HostReport

__all__ = ["HttpDevices", "HttpOptions"]

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
_END_SECONDS = 10.0
_TAIL_BYTES = 2_000
_HOST: tuple[str, ...] = (sys.executable, "-m", "mobile_export.transport.host")
# Of the page in which devices live; nothing is fetched from there.
_PAGE = "http://localhost"


def _refuse(users: Sequence[int]) -> None:
    raise TokenError(
        f"the service refused the tokens of {len(users)} devices, the first of user {users[0]}: "
        "they were revoked, or the file of tokens is another one. Remove the devices' files "
        "`token`, and start again: they log in again"
    )


@dataclasses.dataclass(frozen=True)
class HttpOptions:
    """How devices over HTTP are run; nothing here changes what they answer, but for browsers.

    Attributes:
      processes: that the devices share.
      deadline_seconds: how long all devices may take for a cycle.
      most_wait_seconds: how long a device waits at most before it asks again.
      restarts: how often a process of devices that was killed is started again, in a cycle.
      browsers: how many of the devices, the first by their users, live in a browser: they run
        files with static shapes, and draw negatives of their own.
      browser_command: runs such devices, given the paths of a plan and of a report, as
        `mobile_export.transport.host` runs the others.
      serve: runs the service for a block.
      on_refused: called with the users whose tokens the service refused. Where it returns, those
        whose file `token` is gone log in anew, and all of them go on.
      on_started: called with each process of devices.
    """

    processes: int = 2
    deadline_seconds: float = 1_800.0
    most_wait_seconds: float = 5.0
    restarts: int = 0
    browsers: int = 0
    browser_command: tuple[str, ...] = ()
    serve: Callable[[ServicePlan], AbstractContextManager[RunningService]] = serving
    on_refused: Callable[[Sequence[int]], None] = _refuse
    on_started: Callable[["subprocess.Popen[bytes]"], None] = lambda _process: None

    def __post_init__(self) -> None:
        if self.browsers < 0 or (self.browsers > 0 and not self.browser_command):
            raise ConfigError(
                f"browsers: expected 0 or more, and with any a command that runs them, got "
                f"{self.browsers} and {list(self.browser_command)}"
            )


class HttpDevices:
    """The devices of a chain of cycles, each with a folder and a token of its own.

    Attributes:
      tokens: that the service knows.

    Args:
      config: of the cycles.
      folder: of the cycles.
      edge: whose devices they are.
      options: how they are run.
      ending: ends the service with it.
    """

    def __init__(
        self,
        config: CycleConfig,
        folder: CycleFolder,
        edge: EdgeSide,
        *,
        options: HttpOptions,
        ending: contextlib.ExitStack,
    ) -> None:
        self._config = config
        self._folder = folder
        self._edge = edge
        self._options = options
        self._ending = ending
        self._service: RunningService | None = None
        everybody = sorted(view.user for views in edge.views.values() for view in views)
        self._in_browsers = frozenset(everybody[: options.browsers])
        self.tokens = TokenStore(folder.tokens)

    def answer(self, fetched: Fetched) -> None:
        """Lets every device fetch, train and answer; when it returns, the log has all answers.

        Raises:
          TokenError: the service refused tokens.
          WorkerError: the service or a process of devices ended, or the time was over.
        """
        self._offer(self._edge.files(fetched))
        users = []
        for tier, views in self._edge.views.items():
            shape = self._edge.profile(tier, fetched)
            for view in views:
                path = self._edge.file_of(tier, fetched, static=view.user in self._in_browsers)
                self._settle(view, model=path.name, shape=shape)
                users.append(view.user)
        if self._service is None:
            self._service = self._ending.enter_context(self._options.serve(self._plan()))
        until = time.monotonic() + self._options.deadline_seconds
        while users:
            refused = self._take_parts(users, fetched.publication.round_number, until=until)
            if refused:
                self._options.on_refused(refused)
                for user in refused:
                    self._log_in(user)
            users = refused

    def states(self, tier: Tier) -> list[DeviceState]:
        """The devices of a tier as they are on their disks; for measuring, they do not cross."""
        return [read_state(self._home(view.user).state) for view in self._edge.views[tier]]

    def _plan(self) -> ServicePlan:
        return ServicePlan(
            public=self._folder.public,
            log=self._folder.uplinks,
            tokens=self._folder.tokens,
            models=self._folder.models,
            messages=self._folder.path / "service.log",
            options=("--allow-origin", _PAGE) if self._in_browsers else (),
        )

    def _offer(self, files: Path) -> None:
        """Lets the service offer the files of the published item table, by one rename."""
        prepared = self._folder.models.with_name(f".{self._folder.models.name}.part")
        prepared.unlink(missing_ok=True)
        prepared.symlink_to(os.path.relpath(files, prepared.parent))
        prepared.replace(self._folder.models)

    def _settle(self, view: DeviceView, *, model: str, shape: ProfileShape) -> None:
        """The app is installed, and its user logs in, where that was not done yet.

        Its profile has what the file reads, which is of `shape`.
        """
        home = self._home(view.user)
        if home.is_settled:
            self._log_in(view.user)
            return
        codec = self._config.exchange.codec
        home.settle(
            OwnData(
                user=view.user,
                model=model,
                history=tuple(view.history.tolist()),
                times=tuple(view.times.tolist()),
                profile=tuple(device_profile(view, shape=shape).tolist()),
                num_older=view.num_older,
                context=context_words(view.context, values=outcome_columns(self._config.samples)),
                codec=None if is_own_codec(codec) else codec,
            )
        )
        self._log_in(view.user)

    def _log_in(self, user: int) -> None:
        home = self._home(user)
        if not home.is_logged_in:
            home.log_in(self.tokens.issue(user))

    def _home(self, user: int) -> DeviceHome:
        return DeviceHome(self._folder.devices / str(user))

    def _take_parts(self, users: Sequence[int], round_number: int, *, until: float) -> list[int]:
        """One round of all `users`. Returns those whose tokens were refused."""
        service, options = self._service, self._options
        if service is None:
            raise WorkerError("expected a service that runs")
        own = [user for user in users if user not in self._in_browsers]
        count = min(options.processes, len(own))
        shares = [(own[number::count], _HOST) for number in range(count)]
        if len(own) < len(users):
            pages = [user for user in users if user in self._in_browsers]
            shares.append((pages, options.browser_command))
        hosts = []
        try:
            for number, (share, command) in enumerate(shares):
                plan = HostPlan(
                    address=service.address,
                    folder=str(self._folder.devices.resolve()),
                    users=tuple(share),
                    round_number=round_number,
                    rounds=self._config.rounds_per_cycle,
                    seed=self._config.seed,
                    runtime=self._config.runtime,
                    deadline_seconds=max(1.0, until - time.monotonic()),
                    most_wait_seconds=options.most_wait_seconds,
                )
                messages = self._folder.path / "hosts"
                hosts.append(_Host(plan, messages, number, command=command, options=options))
            refused: list[int] = []
            waiting = list(hosts)
            while waiting:
                service.check()
                for host in list(waiting):
                    report = host.report()
                    if report is not None:
                        refused += report.refused
                        waiting.remove(host)
                time.sleep(_POLL_SECONDS)
            return sorted(refused)
        finally:
            for host in hosts:
                host.end()


class _Host:
    """A process of devices, started again where it was killed.

    Args:
      plan: what its devices do.
      folder: of plans, reports and messages.
      number: of the process.
      command: that runs the plan.
      options: how often it is started again.
    """

    def __init__(
        self,
        plan: HostPlan,
        folder: Path,
        number: int,
        *,
        command: Sequence[str],
        options: HttpOptions,
    ) -> None:
        self._command = command
        self._plan = folder / f"{number:02d}.plan.json"
        self._report = folder / f"{number:02d}.report.json"
        self._messages = folder / f"{number:02d}.log"
        self._options = options
        self._left = options.restarts
        plan.write(self._plan)
        self._report.unlink(missing_ok=True)
        self._process = self._start()

    def report(self) -> HostReport | None:
        """What its devices did; None while they are at it.

        Raises:
          WorkerError: it ended without.
        """
        code = self._process.poll()
        if code is None:
            return None
        if code < 0 and self._left:
            _log.info("a process of devices ended by signal %d; it is started again", -code)
            self._left -= 1
            self._process = self._start()
            return None
        if code:
            tail = self._messages.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
            how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
            raise WorkerError(f"a process of devices {how}: {tail} ({self._messages})")
        found = json.loads(self._report.read_text(encoding="utf-8"))
        return HostReport(tuple(found["answered"]), tuple(found["refused"]))

    def end(self) -> None:
        """Ends the process, if it has not ended."""
        if self._process.poll() is None:
            end_child(self._process, patience_seconds=_END_SECONDS)

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._messages.open("ab") as messages:
            process = start_child(
                [*self._command, str(self._plan), str(self._report)],
                environment=with_this_tree(),
                errors=messages,
            )
        self._options.on_started(process)
        return process
