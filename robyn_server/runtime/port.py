"""The port that web processes share.

Robyn listens with SO_REUSEPORT: a second server on a taken port starts without an error and takes half of the
requests. So the port is tried first without that option, then held, bound but not listening, for as long as we serve.
"""

from __future__ import annotations

import errno
import socket

from robyn_server.core.errors import Misconfigured

_HINT = "choose another with --port or AGENTHALL_PORT (0 picks a free one)"


def hold_port(host: str, port: int, hint: str = _HINT) -> socket.socket:
    """A bound, not listening socket with SO_REUSEPORT; `getsockname()[1]` is the port, also when `port` was 0.

    Raises Misconfigured, with the hint, when the port or the address cannot be had.
    """
    address = _resolve(host, port)
    if port != 0:
        _bind(*address, share=False, hint=hint).close()
    return _bind(*address, share=True, hint=hint)


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise Misconfigured(f"AGENTHALL_HOST: {host} is no address of this machine ({error})", field="host") from None
    family, _, _, _, address = found[0]
    return family, (str(address[0]), port)


def _bind(family: socket.AddressFamily, address: tuple[str, int], *, share: bool, hint: str = _HINT) -> socket.socket:
    """A bound socket. SO_REUSEADDR when it tries the port: connections in TIME_WAIT do not make it taken."""
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if share else socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise Misconfigured(_reason(error, *address, hint), field="port") from None
    return bound


def _reason(error: OSError, host: str, port: int, hint: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken by another program; {hint}"
    if error.errno == errno.EACCES:
        return f"port {port} may be opened by root only; {hint}"
    return f"cannot listen on {host}, port {port}: {error.strerror}; set --host (AGENTHALL_HOST) to an address of this machine"


def is_free(host: str, port: int) -> bool:
    """Whether somebody could listen on `port` now."""
    try:
        _bind(*_resolve(host, port), share=False).close()
    except Misconfigured:
        return False
    return True


def free_port(host: str, preferred: int) -> int:
    """`preferred` when it is free, else any free port."""
    with _bind(*_resolve(host, preferred if is_free(host, preferred) else 0), share=False) as bound:
        return int(bound.getsockname()[1])
