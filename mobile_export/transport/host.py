"""Many devices in one process, one after another, each over HTTP with a token of its own.

    python -m mobile_export.transport.host PLAN.json RESULT.json

The process knows the devices' folders and the service's address, and nothing else of the cloud.
It may be killed at any moment; started again, it goes on with whoever has not answered yet.
"""

import dataclasses
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecct_tf.errors import DeviceError, EcctError, TransportError
from ecct_tf.files import write_text
from mobile_export.device import TrainingPlan
from mobile_export.runtime.interpreter import Runtime
from mobile_export.transport.client import StalePublicationError, TokenRefusedError
from mobile_export.transport.home import DeviceHome
from mobile_export.transport.http import HttpTransport, UnreachableError
from mobile_export.transport.retrying import Retries
from mobile_export.transport.rounds import take_part

__all__ = ["HostPlan", "HostReport", "take_parts"]

_PAUSE_SECONDS = 0.2
# A cloud that is being put in order may contradict itself for a moment; not for longer.
_MOST_CONTRADICTIONS = 5


@dataclasses.dataclass(frozen=True)
class HostPlan:
    """What a process of devices does.

    Attributes:
      address: of the service.
      folder: of the devices, each in a folder named by its user.
      users: whose devices take part.
      round_number: that they answer.
      rounds: of local training before the answer.
      seed: of the samples.
      runtime: what runs the files.
      deadline_seconds: how long all of them may take.
      retries: attempts of each request before the next device's turn.
      first_wait_seconds: the longest wait before the second attempt.
      most_wait_seconds: the longest wait at all, whatever the service asks for.
    """

    address: str
    folder: str
    users: tuple[int, ...]
    round_number: int
    rounds: int = 1
    seed: int = 0
    runtime: Runtime = "litert"
    deadline_seconds: float = 1_800.0
    retries: int = 3
    first_wait_seconds: float = 0.2
    most_wait_seconds: float = 5.0

    def write(self, path: Path) -> None:
        """Writes it for a process."""
        write_text(path, json.dumps(dataclasses.asdict(self)) + "\n", private=True)

    @classmethod
    def read(cls, path: Path) -> "HostPlan":
        """Reads what `write` wrote.

        Raises:
          DeviceError: it is none.
        """
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**found, "users": tuple(found["users"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DeviceError(f"{path}: expected the plan of a host: {error!r}") from error


@dataclasses.dataclass(frozen=True)
class HostReport:
    """What became of a process's devices.

    Attributes:
      answered: users whose devices have answered the round and have nothing that waits.
      refused: users whose tokens the service refused; what they answered waits.
    """

    answered: tuple[int, ...]
    refused: tuple[int, ...]


def take_parts(
    plan: HostPlan,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> HostReport:
    """Lets each device take part in the round, until all have answered or were refused.

    The order of the devices is drawn from seed and round. A device that cannot reach the service
    has its next turn after the others.

    Args:
      plan: what to do.
      clock: of the devices, seconds since 1970.
      sleep: waits so many seconds.

    Raises:
      TransportError: the time was over before all had answered, or what the service says does not
        fit together, again and again.
      EcctError: a device cannot take part.
    """
    transport = HttpTransport(plan.address, timeout_seconds=20.0)
    retries = Retries(
        attempts=plan.retries,
        first_seconds=plan.first_wait_seconds,
        most_seconds=plan.most_wait_seconds,
        sleep=sleep,
    )
    until = time.monotonic() + plan.deadline_seconds
    pending, refused = list(plan.users), []
    random.Random(f"{plan.seed}:{plan.round_number}").shuffle(pending)
    last: TransportError | None = None
    contradictions: Counter[int] = Counter()
    while pending:
        waiting = []
        for user in pending:
            if time.monotonic() > until:
                raise TransportError(
                    f"{len(pending)} of {len(plan.users)} devices have not answered round "
                    f"{plan.round_number} within {plan.deadline_seconds:g} seconds; the last "
                    f"problem: {last}"
                )
            try:
                if not _take_part(plan, user, transport, retries, clock=clock):
                    waiting.append(user)
            except TokenRefusedError:
                refused.append(user)
            except (UnreachableError, StalePublicationError) as error:
                last = error
                waiting.append(user)
            except TransportError as error:
                contradictions[user] += 1
                if contradictions[user] == _MOST_CONTRADICTIONS:
                    raise
                last = error
                waiting.append(user)
        pending = waiting
        if pending:
            sleep(_PAUSE_SECONDS)
    answered = sorted(set(plan.users) - set(refused))
    return HostReport(tuple(answered), tuple(sorted(refused)))


def _take_part(
    plan: HostPlan,
    user: int,
    transport: HttpTransport,
    retries: Retries,
    *,
    clock: Callable[[], float],
) -> bool:
    """Whether a device has answered the round, and nothing of it waits."""
    home = DeviceHome(Path(plan.folder) / str(user))
    client = home.client(transport, retries=retries)
    device = home.device(client, runtime=plan.runtime, clock=clock)
    spool = home.answers()
    report = take_part(
        device, client, spool, TrainingPlan(seed=plan.seed), rounds=plan.rounds, clock=clock
    )
    home.sweep(report.device)
    if report.sent is not None and report.sent.refused:
        raise DeviceError(
            f"device of user {user}: the service can never take {report.sent.refused} of its "
            f"answers; the reasons lie in {home.spool / 'refused'}"
        )
    return report.round_number >= plan.round_number and not len(spool)


def main(arguments: list[str]) -> int:
    """Reads a plan, does it and writes the report.

    Returns:
      The exit code.
    """
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m mobile_export.transport.host PLAN.json RESULT.json\n")
        return 2
    try:
        report = take_parts(HostPlan.read(Path(arguments[0])))
    except EcctError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_code
    write_text(Path(arguments[1]), json.dumps(dataclasses.asdict(report)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
