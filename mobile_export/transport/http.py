"""HTTP behind one method, over the standard library."""

import dataclasses
import hashlib
import hmac
import http.client
import ssl
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

from ecct_tf.errors import CodecError, ConfigError, TransportError
from ecct_tf.wire.compressed import Decompression

__all__ = ["Answer", "HttpTransport", "Transport", "UnreachableError"]

_BLOCK_BYTES = 1 << 16
# Of what is no file: errors, receipts, downlinks.
_MOST_BYTES = 16 << 20


class UnreachableError(TransportError):
    """The service could not be reached, or the connection broke; later it may work."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the service answered.

    Attributes:
      status: of HTTP.
      headers: by their names in lower case.
      body: empty where a sink took it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """One request, one answer."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        sink: Callable[[Answer, bytes], None] | None = None,
    ) -> Answer:
        """Sends a request.

        Args:
          method: such as `GET`.
          path: from the root of the service.
          headers: of the request.
          body: of the request.
          sink: takes the body of a success, decompressed, block by block, with status and headers;
            what it took before a connection broke stays with it. It refuses what is too long.

        Raises:
          UnreachableError: there was no whole answer.
          TransportError: the service is not the one that is expected.
        """


class HttpTransport:
    """Asks a service at an address, each time over a connection of its own.

    Where a sink takes a whole body, the service may send it compressed; parts it sends as they are.

    Args:
      address: `https://host:port`; `http://` only for this very machine, or where `plain` is True.
      timeout_seconds: for a connection, and for each block of an answer.
      ca_file: certificates, in PEM, to trust in place of the system's.
      pins: SHA-256, in hexadecimal, of certificates (DER) one of which the service must have,
        besides being trusted; None for any.
      plain: whether tokens may cross a network in the clear.

    Raises:
      ConfigError: the address, a pin or the file cannot be used.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_seconds: float = 30.0,
        ca_file: Path | None = None,
        pins: Collection[str] | None = None,
        plain: bool = False,
    ) -> None:
        found = urllib.parse.urlsplit(address)
        here = found.hostname in ("127.0.0.1", "::1", "localhost")
        if found.scheme not in ("http", "https") or not found.hostname or found.query:
            raise ConfigError(f"expected an address like https://host:port, got {address!r}")
        if found.scheme == "http" and not (here or plain):
            raise ConfigError(
                f"{address}: expected https, since the token would cross the network in the clear; "
                "give plain=True where something else encrypts"
            )
        for pin in pins or ():
            if len(pin) != 64 or set(pin) - set("0123456789abcdef"):
                raise ConfigError(f"expected 64 hexadecimal digits as a pin, got {pin!r}")
        if pins is not None and found.scheme == "http":
            raise ConfigError(f"{address}: expected https where a certificate is pinned")
        self._host, self._port = found.hostname, found.port
        self._prefix = found.path.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._pins = None if pins is None else frozenset(pins)
        self._context: ssl.SSLContext | None = None
        if found.scheme == "https":
            try:
                self._context = ssl.create_default_context(cafile=ca_file)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"{ca_file}: expected certificates in PEM: {error}") from error

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        sink: Callable[[Answer, bytes], None] | None = None,
    ) -> Answer:
        """See `Transport`."""
        connection = self._connection()
        named = dict(headers)
        if sink is not None and "range" not in map(str.lower, headers):
            # http.client would ask for what is not compressed.
            named.setdefault("Accept-Encoding", "gzip")
        try:
            connection.connect()
            self._check_pin(connection)
            connection.request(method, self._prefix + path, body=body or None, headers=named)
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            head = Answer(response.status, told, b"")
            if sink is not None and response.status in (200, 206):
                _drain(response, head, sink, what=path)
                return head
            content = response.read(_MOST_BYTES + 1)
            if len(content) > _MOST_BYTES:
                raise TransportError(f"{path}: expected at most {_MOST_BYTES} bytes, got more")
            if response.length:
                raise http.client.IncompleteRead(content, response.length)
            return dataclasses.replace(head, body=content)
        except ssl.SSLCertVerificationError as error:
            raise TransportError(
                f"{self._host}: its certificate is not trusted: {error.verify_message}; is it the "
                "service that is meant?"
            ) from error
        except (OSError, http.client.HTTPException, CodecError) as error:
            raise UnreachableError(
                f"{method} {path}: {self._host} gave no whole answer: {error!r}"
            ) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_seconds)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout_seconds, context=self._context
        )

    def _check_pin(self, connection: http.client.HTTPConnection) -> None:
        """Before a byte of the request, and so of the token, is sent."""
        if self._pins is None:
            return
        socket = connection.sock
        certificate = socket.getpeercert(True) if isinstance(socket, ssl.SSLSocket) else None
        found = hashlib.sha256(certificate or b"").hexdigest()
        if not any(hmac.compare_digest(found, pin) for pin in self._pins):
            raise TransportError(
                f"{self._host}: its certificate has SHA-256 {found}, which is none of those that "
                "are pinned; nothing was sent"
            )


def _drain(
    response: http.client.HTTPResponse,
    head: Answer,
    sink: Callable[[Answer, bytes], None],
    *,
    what: str,
) -> None:
    coding = head.headers.get("content-encoding", "identity").strip().lower()
    # A part of a compressed file is no part of the file.
    if coding != "identity" and (coding not in ("gzip", "x-gzip") or head.status != 200):
        raise TransportError(
            f"{what}: expected a whole file as it is or with gzip, or a part as it is; got "
            f"{coding!r} with status {head.status}; what stands before the service must not alter "
            "its answers"
        )
    reader = None if coding == "identity" else Decompression(most=None)
    while block := response.read1(_BLOCK_BYTES):
        for piece in [block] if reader is None else reader.blocks(block):
            sink(head, piece)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    if reader is not None:
        reader.finish()
