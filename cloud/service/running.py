"""A service from its settings to its end: log read, socket bound, signals obeyed."""

import contextlib
import dataclasses
import ipaddress
import logging
import math
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from cloud.service.answers import Limits
from cloud.service.app import Service, service_app
from cloud.service.intake import Intake
from cloud.service.ledger import Ledger
from cloud.service.limits import RateLimit
from cloud.service.offers import Offers
from cloud.service.questions import Questions
from cloud.service.tokens import TokenStore
from cloud.uplink_log import UplinkLogWriter
from ecct_tf import stopping
from ecct_tf.errors import ConfigError, StorageError
from ecct_tf.files import private_folder
from ecct_tf.locks import exclusive
from ecct_tf.wire import CURRENT_NAME

__all__ = ["ServiceSettings", "serve", "server_config"]

_log = logging.getLogger(__name__)

_END_SECONDS = 30
_ENDING = (signal.SIGINT, signal.SIGTERM)
_STRANGERS_PER_MINUTE = 30
_ORIGIN = re.compile(r"(https?)://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclasses.dataclass(frozen=True)
class ServiceSettings:
    """What a service serves and takes.

    Attributes:
      publication: the folder that `ecct cloud publish` writes.
      log: the folder of the uplink log.
      tokens: the file of the tokens.
      models: of exported files; None for none.
      host: to listen at.
      port: to listen at; 0 for any that is free.
      certificate: of TLS, in PEM; None for none.
      key: of the certificate.
      plain: whether to listen beyond this machine without TLS, behind something that has it.
      origins: of web pages whose devices may ask, such as `https://shop.example`.
      requests_per_minute: of one device.
      burst: requests of one device at once.
      most_connections: at a time; more are answered with 503.
      most_waiting: records that may wait for the disk.
      linger_seconds: how long a record waits for others to share a file with.
      limits: of requests with answers.
    """

    publication: Path
    log: Path
    tokens: Path
    models: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8443
    certificate: Path | None = None
    key: Path | None = None
    plain: bool = False
    origins: tuple[str, ...] = ()
    requests_per_minute: float = 60.0
    burst: int = 30
    most_connections: int = 1_000
    most_waiting: int = 20_000
    linger_seconds: float = 0.02
    limits: Limits = dataclasses.field(default_factory=Limits)

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("expected a certificate and its key, or neither; give both")
        if self.certificate is None and not self.plain and not _is_loopback(self.host):
            raise ConfigError(
                f"{self.host}: expected TLS where others than this machine can connect, since "
                "tokens and answers would cross in the clear; give --tls-cert and --tls-key, or "
                "--plain behind a proxy that has TLS"
            )
        for origin in self.origins:
            if not _is_origin(origin):
                raise ConfigError(
                    f"{origin}: expected the origin of a web page as browsers send it, such as "
                    "https://shop.example or http://localhost:8080: in small letters, other "
                    "alphabets in Punycode (xn--…), without a path and without :443 of https or "
                    ":80 of http; give --allow-origin once for each"
                )
        if not (math.isfinite(self.requests_per_minute) and self.requests_per_minute > 0):
            raise ConfigError(
                "expected a finite number above 0 of requests of one device in a minute, got "
                f"{self.requests_per_minute:g} (--requests-per-minute)"
            )
        if not (self.publication / CURRENT_NAME).is_file():
            raise ConfigError(
                f"{self.publication}: expected a publication with {CURRENT_NAME}, there is none; "
                "`ecct cloud publish REGISTRY --out FOLDER` makes one of a registry"
            )
        for path in (self.certificate, self.key):
            if path is not None and not path.is_file():
                raise ConfigError(f"{path}: expected a file in PEM, there is none")


def serve(settings: ServiceSettings, *, ready: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT; what was confirmed is on the disk whenever it ends.

    Args:
      settings: what to serve.
      ready: called with the address once connections are taken.

    Raises:
      StorageError: another service has the log.
      ConfigError: the certificate or the address cannot be used.
    """
    private_folder(settings.log)
    busy = StorageError(
        f"{settings.log}: another service appends to this log; stop it, or give this one another"
    )
    with exclusive(settings.log / ".service.lock", busy=busy):
        ledger = Ledger.of_log(settings.log)
        _log.info("the log holds answers of %d users", len(ledger))
        intake = Intake(
            UplinkLogWriter(settings.log),
            ledger,
            most_waiting=settings.most_waiting,
            linger_seconds=settings.linger_seconds,
        )
        try:
            _run(settings, intake, ready)
        finally:
            intake.close()


def server_config(app: Any, **options: Any) -> uvicorn.Config:
    """How uvicorn runs an application here: it says nothing of requests.

    Args:
      app: of ASGI.
      options: of `uvicorn.Config`.
    """
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_END_SECONDS,
        lifespan="on",
        **options,
    )
    # Its lines would have paths and addresses, whoever configures loggers after this.
    logging.getLogger("uvicorn.access").disabled = True
    return config


def _run(settings: ServiceSettings, intake: Intake, ready: Callable[[str], None]) -> None:
    service = Service(
        offers=Offers(settings.publication, models=settings.models),
        tokens=TokenStore(settings.tokens),
        intake=intake,
        log_folder=settings.log,
        limits=settings.limits,
        questions=Questions(settings.publication),
        rate=RateLimit(
            per_minute=settings.requests_per_minute, burst=settings.burst, clock=time.monotonic
        ),
        strangers=RateLimit(
            per_minute=_STRANGERS_PER_MINUTE, burst=settings.burst, clock=time.monotonic
        ),
    )
    config = server_config(
        service_app(service, origins=settings.origins),
        host=settings.host,
        port=settings.port,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        limit_concurrency=settings.most_connections,
    )
    try:
        config.load()
        bound = config.bind_socket()
    except (OSError, SystemExit) as error:
        raise ConfigError(
            f"{settings.host}:{settings.port}: cannot be served: {error}; is the port taken, or "
            "the certificate none?"
        ) from error
    with bound:
        scheme = "https" if settings.certificate else "http"
        address = f"{scheme}://{settings.host}:{bound.getsockname()[1]}"
        _Server(config, ready=lambda: ready(address)).run(sockets=[bound])


class _Server(uvicorn.Server):
    """A server for which SIGTERM and SIGINT are its end, not an error to pass on.

    Args:
      config: of uvicorn.
      ready: called once connections are taken, and not while they would still be refused.
    """

    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, and says so."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Lets requests that are under way end, as long as they may take."""
        stopping.obeyed()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Lets the signals end the server within the block; without it they are as before."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in _ENDING}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def _is_origin(text: str) -> bool:
    """Whether browsers would name a page so: any other text would allow none, silently."""
    found = _ORIGIN.fullmatch(text)
    if found is None:
        return False
    scheme, port = found.groups()
    if port is None:
        return True
    return port != _DEFAULT_PORTS[scheme] and port == str(int(port)) and 0 < int(port) <= 65_535


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
