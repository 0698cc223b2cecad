"""Names of TFF's workers in the settings: `local`, or `host:port` of one that runs elsewhere."""

import ipaddress
from typing import NamedTuple

from ecct_tf.errors import ConfigError

__all__ = [
    "LOCAL_WORKER",
    "PRIVATE_NETWORK",
    "WorkerAddress",
    "check_workers",
    "listed_workers",
    "worker_address",
]

LOCAL_WORKER = "local"
# Stands in place of a folder of certificates where the network itself is trusted.
PRIVATE_NETWORK = "private-network"
_EXPECTED = "expected `local` or host:port, such as 10.0.0.7:8470 or [::1]:8470"


class WorkerAddress(NamedTuple):
    """Where a worker listens.

    Attributes:
      host: a name or an address.
      port: from 1 to 65,535.
    """

    host: str
    port: int

    @property
    def target(self) -> str:
        """As gRPC and messages write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def here(self) -> bool:
        """Whether nothing but this machine can reach it.

        >>> worker_address("127.0.0.1:1").here, worker_address("10.0.0.1:1").here
        (True, False)
        """
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def worker_address(text: str, *, setting: str = "runtime.workers") -> WorkerAddress:
    """Host and port of `host:port`.

    Raises:
      ConfigError: it is something else.

    >>> worker_address("[::1]:8470").target
    '[::1]:8470'
    """
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    decimal = port.isascii() and port.isdecimal() and 1 <= int(port) <= 65_535
    if not host or not decimal or (":" in host) != bracketed or any(map(str.isspace, host)):
        raise ConfigError(f"{setting}: {_EXPECTED}, got {text!r}")
    return WorkerAddress(host, int(port))


def listed_workers(typed: str) -> str:
    """What `--workers` was given, as the setting's YAML: a number stands for so many local ones.

    >>> listed_workers("2"), listed_workers("a:1,b:2")
    ('[local, local]', '["a:1", "b:2"]')
    """
    names = [name.strip() for name in typed.split(",")]
    if len(names) == 1 and names[0].isdecimal():
        names = [LOCAL_WORKER] * int(names[0])
    return f"[{', '.join(name if name == LOCAL_WORKER else _quoted(name) for name in names)}]"


def check_workers(workers: tuple[str, ...], tls: str | None) -> None:
    """Refuses names that are none, a worker named twice, and one beyond this machine in the open.

    Args:
      workers: `runtime.workers`.
      tls: `runtime.workers_tls`.

    Raises:
      ConfigError: one of these.
    """
    remote = [name for name in workers if name != LOCAL_WORKER]
    addresses = [worker_address(name) for name in remote]
    if len(set(addresses)) < len(addresses):
        raise ConfigError(f"runtime.workers: expected each worker once, got {', '.join(remote)}")
    if tls is not None:
        return
    for address in addresses:
        if not address.here:
            raise ConfigError(
                f"runtime.workers: {address.target} is not on this machine, and what devices hold "
                "would cross the network in the open; expected runtime.workers_tls=FOLDER with "
                "ca.pem, cert.pem and key.pem, or runtime.workers_tls=private-network where "
                "nobody else can read or reach that network"
            )


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
