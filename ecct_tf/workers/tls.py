"""Mutual TLS between a run and its workers, from a folder with three files on either side."""

import ssl
from pathlib import Path
from typing import Any

import grpc

from ecct_tf.config.worker_addresses import PRIVATE_NETWORK, WorkerAddress
from ecct_tf.errors import ConfigError

__all__ = ["CHANNEL_OPTIONS", "TLS_FILES", "channel_to", "server_context"]

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", 2_000_000_000),
    ("grpc.max_send_message_length", 2_000_000_000),
    # A worker is on this machine or in a network that is known; a proxy of the user's knows no
    # way to it, and gRPC would ask `http_proxy`, `https_proxy` or `grpc_proxy` for ever.
    ("grpc.enable_http_proxy", 0),
]
TLS_FILES = ("ca.pem", "cert.pem", "key.pem")


def channel_to(address: WorkerAddress, *, tls: str | None) -> Any:
    """A gRPC channel to a worker, which connects when it is used.

    Args:
      address: where the worker listens.
      tls: as `runtime.workers_tls`.

    Raises:
      ConfigError: a file of the TLS cannot be read.
    """
    if tls is None or tls == PRIVATE_NETWORK:
        return grpc.insecure_channel(address.target, CHANNEL_OPTIONS)
    authority, certificate, key = (_read(Path(tls) / name) for name in TLS_FILES)
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    return grpc.secure_channel(address.target, credentials, CHANNEL_OPTIONS)


def server_context(folder: Path) -> ssl.SSLContext:
    """The worker's side: only those connect whose certificate the authority signed.

    Raises:
      ConfigError: a file cannot be read, or is not what its name says.
    """
    authority, certificate, key = (folder / name for name in TLS_FILES)
    for path in (authority, certificate, key):
        _read(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    try:
        context.load_verify_locations(authority)
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise ConfigError(
            f"{folder}: expected {', '.join(TLS_FILES)} in PEM, the key that of the certificate "
            f"and without a password; got {error}"
        ) from error
    return context


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: expected a file in PEM, the system says: {error.strerror}. A folder for "
            f"mutual TLS has {', '.join(TLS_FILES)}"
        ) from error
