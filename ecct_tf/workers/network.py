"""A separate network, with nothing in it but its loopback."""

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

from ecct_tf.errors import ConfigError

__all__ = ["leave_network"]

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def leave_network() -> None:
    """Puts this process, which must have one thread, and its children into an empty network.

    Sockets that it has already stay where they are.

    Raises:
      ConfigError: the system does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    failed = libc.unshare(_CLONE_NEWNET)
    if failed:
        # As somebody without that right: one may have it in a user namespace of one's own.
        failed = libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        if not failed:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    if failed:
        raise ConfigError(
            "expected to start TFF's worker in a network of its own, since it listens on every "
            f"interface; the system says: {os.strerror(ctypes.get_errno())}. Allow user "
            "namespaces, or give --same-network where a firewall or a container keeps others "
            "from the ports of this machine"
        )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("h", answer, 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
