"""Finding a port to listen on."""

import errno
import socket
import sys
from pathlib import Path

from triggerdev import errors

_TRIES = 100
_BACKLOG = 2048
_LISTEN = "0A"


def bind(host: str, port: int, *, exact: bool) -> socket.socket:
    """Listen on `port`, or unless `exact` on the next free one of a hundred; 0 lets the system choose.

    Connections are accepted by the kernel from here on and wait until somebody serves them, so two processes
    never get the same port. Raises EnvironmentProblemError that names the port and, if known, who has it.
    """
    last = port if exact or port == 0 else min(port + _TRIES - 1, 65_535)
    for candidate in range(port, last + 1):
        try:
            return _listen(host, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise errors.EnvironmentProblemError(_reason(host, candidate, error)) from error
    if last > port:
        raise errors.EnvironmentProblemError(
            f"Ports {port} to {last} on {host} are all taken. Choose another with --port."
        )
    holder = port_holder(port)
    by = f" by {holder}" if holder else ""
    raise errors.EnvironmentProblemError(
        f"Port {port} on {host} is taken{by}. Stop that, or choose another with --port."
    )


def _listen(host: str, port: int) -> socket.socket:
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        if sys.platform != "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _reason(host: str, port: int, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"Host {host!r} has no address: {error.strerror}. Use an address of this machine for --host."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"Host {host!r} is no address of this machine. Use 127.0.0.1 or 0.0.0.0 for --host."
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this user has. Choose one above 1023 with --port."
    return f"Cannot listen on {host}:{port}: {error.strerror}."


def port_holder(port: int) -> str | None:
    """Name the process that listens on a TCP port, as "python (pid 123)"; None if it cannot be found."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        if _has_socket(process, inodes):
            try:
                name = (process / "comm").read_text().strip()
            except OSError:
                return None
            return f"{name} (pid {process.name})"
    return None


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def _has_socket(process: Path, inodes: set[str]) -> bool:
    try:
        return any(str(entry.readlink()) in inodes for entry in (process / "fd").iterdir())
    except OSError:
        return False  # another user's process, or one that has just ended
