"""A connection that is kept: one socket after the other, until it is over.

    connect ── welcome ── up ── lost ──┐
       └─────── wait, if at all ───────┘        over: an error that trying again does not mend

The guest is asked first on each new socket (`welcome`: an instance registers there); then the socket is there for everybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException
from websockets.typing import Subprotocol

from .address import Address, is_loopback, retry_after
from .backoff import Backoff, jitter
from .closing import CREDENTIALS, TOO_MANY_SECONDS, Again, Goodbye, verdict, verdict_of_status
from .credentials import Credentials
from .errors import ClientError, Closed, Refused, Unreachable
from .timing import Timing
from .wire import Disconnected, Wire

_log = logging.getLogger("agenthall_client")
_SUBPROTOCOL = Subprotocol("mcp.v1")
_RATE_LIMITED = 4002
_EXPIRING = "auth.expiring"
LARGEST = 16 * 2**20
"""Bytes of a message from the server: a page of instances with all that they may say of themselves."""

OF_THE_WAY = frozenset({"handshake", "no_sockets_url", "no_server"})
"""Refusals that are final at first, and pass when it has worked before: whatever stands before the server may answer while that restarts."""
Params = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


class Guest(Protocol):
    async def welcome(self, wire: Wire) -> None:
        """Raises ClientError to end it all, Disconnected, or Refused with `retryable` to try another socket."""

    def heard(self, method: str, params: dict[str, Any]) -> None: ...

    def lost(self, wire: Wire) -> None: ...


class Link:
    def __init__(self, address: Address, credentials: Credentials, timing: Timing, guest: Guest) -> None:
        self._address = address
        self._credentials = credentials
        self._timing = timing
        self._guest = guest
        self._backoff = Backoff(timing.backoff_first, timing.backoff_most)
        self._wire: Wire | None = None
        self._settled = asyncio.Event()
        self._over: ClientError | None = None
        self._last = "nothing was tried yet"
        self._has_been_up = False
        self._renewing: asyncio.Task[None] | None = None

    # for those who use it

    async def ready(self) -> Wire:
        """The first socket. Raises Unreachable, and whatever ended the link."""
        try:
            async with asyncio.timeout(self._timing.ready):
                return await self.wire()
        except TimeoutError:
            raise Unreachable(f"not connected within {self._timing.ready:g} s; last: {self._last}") from None

    @property
    def current(self) -> Wire | None:
        """The socket that is up."""
        return self._wire

    async def wire(self) -> Wire:
        """The socket, once there is one. Raises the error that has ended the link."""
        while self._wire is None:
            if self._over is not None:
                raise self._over
            await self._settled.wait()
        return self._wire

    async def ask(self, method: str, params: Params | None = None) -> dict[str, Any]:
        """Asked again when the connection breaks under it, so it must be something that may be said twice.

        Raises Refused, Forbidden, Unreachable, and whatever ended the link.
        """
        try:
            async with asyncio.timeout(self._timing.patience):
                while True:
                    wire = await self.wire()
                    with contextlib.suppress(Disconnected):
                        return await wire.ask(method, params() if callable(params) else params)
                    self.withdraw(wire)
        except TimeoutError:
            raise Unreachable(f"{method}: no answer within {self._timing.patience:g} s; last: {self._last}") from None

    async def close(self) -> None:
        """With a goodbye; it is over then."""
        self._over = self._over or Closed("the connection was closed")
        self._settled.set()
        if self._wire is not None:
            await self._wire.close()

    def withdraw(self, wire: Wire) -> None:
        """It is of no more use."""
        if self._wire is wire:
            self._wire = None
            self._settled.clear()
            self._guest.lost(wire)

    def end(self, error: ClientError) -> None:
        """It is over, for this reason; the first one counts."""
        self._over = self._over or error
        wire = self._wire
        if wire is not None:
            self.withdraw(wire)
            wire.abort()
        self._settled.set()

    # what keeps it

    async def run(self) -> None:
        """Until it is over (raises ClientError) or cancelled."""
        try:
            while self._over is None:
                try:
                    await self._one_socket()
                except Again as again:
                    await self._wait(again)
                except Refused as refused:
                    if not self._has_been_up or refused.reason not in OF_THE_WAY:
                        raise
                    await self._wait(Again(str(refused)))
        except ClientError as error:
            self.end(error)
        except Exception as error:  # noqa: BLE001 - a program's own function, or a fault of ours: nobody must believe it lives on
            self.end(failure(error))
        except asyncio.CancelledError:
            self.end(Closed("the connection was closed"))
            raise
        if self._over is not None:
            raise self._over

    async def _wait(self, again: Again) -> None:
        self._last = str(again)
        seconds = again.least + (self._backoff.next() if again.within is None else jitter(again.within))
        _log.info("disconnected: %s; connecting again in %.1f s", again, seconds)
        await asyncio.sleep(seconds)

    async def _one_socket(self) -> None:
        """Raises Again, or the ClientError that ends it."""
        wire = Wire(await self._open(), self._heard, self._timing.answer)
        reading = asyncio.create_task(wire.read(self._timing.keepalive), name="agenthall.read")
        began = asyncio.get_running_loop().time()
        was_welcome = False
        try:
            was_welcome = await self._welcome(wire)
            goodbye = await reading
        finally:
            self.withdraw(wire)
            wire.abort()
            reading.cancel()
            if self._renewing is not None:
                self._renewing.cancel()
        if asyncio.get_running_loop().time() - began > self._timing.steady:
            self._backoff.reset()
        raise self._over or self._judged(goodbye, was_welcome=was_welcome)

    def _heard(self, method: str, params: dict[str, Any]) -> None:
        wire = self._wire
        if method == _EXPIRING and wire is not None and self._credentials.are_renewed:
            self._renewing = asyncio.create_task(self._renew(wire), name="agenthall.renew")
        self._guest.heard(method, params)

    async def _renew(self, wire: Wire) -> None:
        """Fresher credentials on the same socket. Where that fails the server closes it when the old ones end, and the next connection
        asks for others."""
        try:
            await wire.ask("auth", await self._credentials.auth())
        except (ClientError, Disconnected) as error:
            _log.warning("fresher credentials were not taken: %s", error or type(error).__name__)
        except Exception:  # noqa: BLE001 - the program's own function: the socket is good as long as the old credentials are
            _log.exception("token() failed; the credentials in use end soon")

    def _judged(self, goodbye: Goodbye, *, was_welcome: bool) -> Exception:
        if goodbye.code == CREDENTIALS and was_welcome and self._credentials.are_renewed:
            return Again(goodbye.reason, within=1.0)  # the token has run out; the next connection brings another
        return verdict(goodbye)

    async def _welcome(self, wire: Wire) -> bool:
        """Whether it came to that: the socket may be gone again."""
        try:
            await self._guest.welcome(wire)
        except Disconnected:
            return False
        except Refused as refused:
            if not refused.retryable:
                raise
            least = TOO_MANY_SECONDS if refused.code == _RATE_LIMITED else 0.0
            raise Again(str(refused), least=least) from None
        self._wire, self._has_been_up = wire, True
        self._settled.set()
        return True

    async def _open(self) -> ClientConnection:
        url = await self._address.sockets()
        try:
            return await connect(
                url,
                additional_headers=await self._credentials.headers(),
                subprotocols=[_SUBPROTOCOL],
                compression=None,
                proxy=None if is_loopback(url) else True,
                open_timeout=self._timing.answer,
                ping_interval=None,  # the wire asks, and gives up at once
                close_timeout=self._timing.leave,
                max_size=LARGEST,
            )
        except InvalidStatus as error:
            response = error.response
            raise verdict_of_status(
                response.status_code, _detail(response.body), retry_after(response.headers)
            ) from None
        except InvalidURI as error:
            raise Refused(str(error), reason="url") from None
        except (OSError, WebSocketException) as error:  # TimeoutError is an OSError
            self._address.forget()
            raise Again(f"{url} cannot be reached: {error or type(error).__name__}") from None


def failure(error: Exception) -> ClientError:
    """Of what nobody foresaw."""
    found = ClientError(f"it failed: {error!r}")
    found.__cause__ = error
    return found


def _detail(body: bytes | bytearray | None) -> str:
    """Of a problem (RFC 9457), else of whoever answered in the server's place."""
    try:
        return str(json.loads(body or b"")["detail"])
    except (ValueError, KeyError, TypeError):
        return "the handshake was refused"
