"""A request as it came over the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Wire:
    """The parts of a request that only the project's app is given.

    `client`: the address of the peer, which may be a proxy. `scheme`: as `X-Forwarded-Proto` and `Forwarded` say, which
    anyone may send. `headers`: each line of its own.
    """

    client: str | None = None
    scheme: str = "http"
    headers: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class RawRequest:
    """Only header names are decoded, to lower case. Lines of one header are joined by commas."""

    method: str
    path: str
    query: Iterable[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str = b""
    wire: Callable[[], Wire] = Wire

    @property
    def asked_method(self) -> str | None:
        """The method that a preflight request asks for; None for another request."""
        return self.headers.get("access-control-request-method") if self.method == "OPTIONS" else None

    @property
    def content(self) -> bytes:
        return self.body.encode() if isinstance(self.body, str) else self.body
