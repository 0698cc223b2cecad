"""Passes bytes on from a socket that listens to a port of this process's own network."""

import asyncio
import contextlib
import logging
import socket
import ssl
import threading

from ecct_tf.workers.process import HOST

__all__ = ["Relay"]

_log = logging.getLogger(__name__)

_AT_ONCE_BYTES = 1 << 18


class Relay:
    """Runs in a thread of its own until the process ends."""

    def __init__(self, listener: socket.socket, *, port: int, tls: ssl.SSLContext | None) -> None:
        """Begins to take connections.

        Args:
          listener: bound and listening.
          port: where each is passed on to.
          tls: of the listening side; None for plain TCP.
        """
        self._listener = listener
        self._port = port
        self._tls = tls
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve()), name="relay", daemon=True
        )
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether connections are taken."""
        return self._thread.is_alive()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._listener, ssl=self._tls)
        await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_worker = await asyncio.open_connection(HOST, self._port)
        except OSError as error:
            _log.warning("the worker takes no connection: %s", error)
            writer.close()
            return
        ways = (_pass_on(reader, to_worker[1]), _pass_on(to_worker[0], writer))
        await asyncio.gather(*ways)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Either side may break off at any time.
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while part := await reader.read(_AT_ONCE_BYTES):
            writer.write(part)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
        await writer.wait_closed()
