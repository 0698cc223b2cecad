"""The process between a port and TFF's worker; `ecct worker` starts it and starts it again.

    python -m ecct_tf.workers.inside '{"listener": 3, ...}'

It ends with 1 when the worker has ended or hangs, and with 2 when it cannot begin; the last line
that it prints says why.
"""

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

from ecct_tf.errors import EcctError, WorkerError
from ecct_tf.workers.network import leave_network
from ecct_tf.workers.process import HOST, await_worker, start_worker

__all__ = ["READY", "main"]

READY = "worker ready"
_START_SECONDS = 60.0
_WATCH_SECONDS = 1.0


def main(given: dict[str, Any]) -> int:
    """Serves until the worker ends, or gives no sign of life.

    Args:
      given: `listener`, the file descriptor of a listening socket; `binary`, `threads`,
        `concurrent_calls`; `tls`, a folder or None; `own_network`; `silence_seconds`.

    Returns:
      The exit code.
    """
    listener = socket.socket(fileno=given["listener"])
    try:
        if given["own_network"]:
            leave_network()
        # Threads may begin only here.
        from ecct_tf.workers.tls import server_context

        tls = None if given["tls"] is None else server_context(Path(given["tls"]))
        port = _free_port()
        process = start_worker(
            Path(given["binary"]),
            port=port,
            threads=given["threads"],
            concurrent_calls=given["concurrent_calls"],
            output=sys.stdout.fileno(),
        )
        await_worker(process, port, patience_seconds=_START_SECONDS)
    except EcctError as error:
        _say(str(error))
        return 1 if isinstance(error, WorkerError) else 2
    import grpc

    from ecct_tf.workers.health import answers
    from ecct_tf.workers.relay import Relay

    relay = Relay(listener, port=port, tls=tls)
    _say(READY)
    channel = grpc.insecure_channel(f"{HOST}:{port}", [("grpc.enable_http_proxy", 0)])
    while relay.running:
        code = process.poll()
        if code is not None:
            _say(f"TFF's worker ended with code {code}")
            return 1
        said = answers(channel, within_seconds=given["silence_seconds"])
        if said is not None and process.poll() is None:
            _say(f"TFF's worker hangs: {said} in {given['silence_seconds']:g} s")
            process.kill()
            return 1
        time.sleep(_WATCH_SECONDS)
    _say("the relay ended")
    return 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
