"""Ports to listen on: find a free one, and hold one for a server.

Robyn listens with SO_REUSEPORT: a second server on a taken port starts without an error and receives half of the
requests. So a port is first bound without that option, which fails if it is taken. Then it is held for as long as the
server runs: bound, not listening.
"""

from __future__ import annotations

import errno
import socket
from typing import TypeAlias

from robyn_server.core.errors import Misconfigured

SETTING = "AGENTHALL_PORT"

Address: TypeAlias = tuple[str, int]


def hold_port(host: str, port: int, *, setting: str = SETTING, shared: bool = False) -> socket.socket:
    """Return a socket that is bound with SO_REUSEPORT and does not listen. Port 0 picks a free one: see
    `getsockname()`.

    `shared`: other processes of this server hold the port, too, so it is not checked.
    Raises Misconfigured, with the name of the setting to change, when the port is taken or the address is not of this
    machine.
    """
    family, address = resolve(host, port)
    if port and not shared:
        _bind(family, address, socket.SO_REUSEADDR, setting).close()
    return _bind(family, address, socket.SO_REUSEPORT, setting)


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen on `port` now."""
    try:
        _bind(*resolve(host, port), socket.SO_REUSEADDR, SETTING).close()
    except Misconfigured:
        return False
    return True


def free_port(host: str, preferred: int) -> int:
    """Return `preferred` if it is free, else any free port."""
    with _bind(*resolve(host, preferred if is_free(host, preferred) else 0), socket.SO_REUSEADDR, SETTING) as bound:
        return int(bound.getsockname()[1])


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, Address]:
    """Return the numeric address of a name, which is all that Robyn accepts.

    IPv4 is preferred. Raises Misconfigured.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise Misconfigured(f"cannot resolve {host}: {error.strerror}", field="AGENTHALL_HOST") from None
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, (str(address[0]), int(address[1]))


def _bind(family: socket.AddressFamily, address: Address, option: int, setting: str) -> socket.socket:
    """Return a bound socket. With SO_REUSEADDR, connections in TIME_WAIT do not make the port taken."""
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise Misconfigured(_reason(error, address, setting), field=setting) from None
    return bound


def _reason(error: OSError, address: Address, setting: str) -> str:
    host, port = address
    option = "--port or " if setting == SETTING else ""
    hint = f"choose another with {option}{setting} (0 picks a free one)"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken by another program; {hint}"
    if error.errno == errno.EACCES:
        return f"port {port} needs root; {hint}"
    return f"cannot listen on {host}, port {port}: {error.strerror}; set --host (AGENTHALL_HOST) to an address of this machine"
