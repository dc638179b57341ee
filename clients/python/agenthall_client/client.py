"""A connection to the registry: finding instances, and watching them. It registers nothing itself; see `instance.py`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self

from .address import Address
from .body import Body
from .credentials import Credentials, TokenSource
from .errors import ClientError, Closed
from .events import Event
from .link import Link
from .listing import pages
from .timing import Timing
from .watching import Watches
from .wire import Wire
from .words import words


class Client:
    """`async with Client() as client:` connects; while inside, the connection is kept.

    `url`: of the server (`https://…`, it is asked where its WebSockets are) or of the WebSockets (`wss://…`).
    `api_key`, or `token`: a JWT or a function that brings a fresh one. `tenant_id`: for those who belong to several.
    Unset, they come from AGENTHALL_URL (else http://127.0.0.1:2024), AGENTHALL_API_KEY and AGENTHALL_TENANT.

    Entering raises Unauthenticated, Forbidden, Refused, Unreachable. What ends the connection later cancels the body and is raised in its place.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        token: str | TokenSource | None = None,
        tenant_id: object = None,
        timing: Timing | None = None,
    ) -> None:
        self._timing = timing or Timing()
        self._address = Address(url, seconds=self._timing.answer)
        self._credentials = Credentials.found(api_key, token, None if tenant_id is None else str(tenant_id))
        self._made: Link | None = None
        self._watches: Watches | None = None
        self._running: asyncio.Task[None] | None = None
        self._body = Body()

    @property
    def _link(self) -> Link:
        if self._made is None:
            raise Closed("use it inside `async with`")
        return self._made

    async def __aenter__(self) -> Self:
        if self._made is not None:
            raise Closed("it is open, or has been: make another one")
        self._made = Link(self._address, self._credentials, self._timing, self)
        self._watches = Watches(self._made)
        self._running = asyncio.create_task(self._keep(self._made), name="agenthall.link")
        try:
            await self._made.ready()
        except BaseException:
            await self._stop()
            raise
        self._body.enter()
        return self

    async def _keep(self, link: Link) -> None:
        try:
            await link.run()
        except Closed:
            pass
        except ClientError as error:
            self.failed(error)

    def failed(self, error: ClientError) -> None:
        """The connection is over, and not because it was closed here."""
        self._body.fail(error)

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        instead = await self._body.leave(error)
        try:
            if instead is None:
                await self._goodbye(error)
        finally:
            await self._stop()
        if instead is not None:
            raise instead from None

    async def _goodbye(self, error: BaseException | None) -> None:  # noqa: ARG002 - for those who say more
        """Before the socket is closed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timing.leave):
                await self._link.close()

    async def _stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    # what there is

    async def discover(self, capability: str | None = None, **wanted: Any) -> list[dict[str, Any]]:
        """Instances that can be given work now, all that fit: `capability` (or `capabilities`: all of them), agent_id, tags, zone,
        health, version (a range, `>=1.2,<2`), free_slots (at least so many). Raises Refused, Forbidden, Unreachable."""
        return [each async for each in pages(self._link, "agent.discover", _wanted(capability, wanted))]

    async def list(
        self, capability: str | None = None, *, status: str = "active", **wanted: Any
    ) -> list[dict[str, Any]]:
        """As `discover`, of one `status`: active, draining or inactive."""
        return [
            each async for each in pages(self._link, "agent.list", {**_wanted(capability, wanted), "status": status})
        ]

    async def status(self, registration_id: object) -> dict[str, Any]:
        """One instance. Raises Refused (reason not_found), Forbidden, Unreachable."""
        return await self._link.ask("agent.status", {"registration_id": str(registration_id)})

    def watch(
        self,
        *,
        agent_id: str | None = None,
        capabilities: Sequence[str] = (),
        after: int | None = None,
        listed: bool = True,
    ) -> AsyncIterator[Event]:
        """What changes among the tenant's instances, in order, over broken connections, without gaps.

        First what is there (`listed`; not with `after`, the position of an event that was seen before), then what happens.
        Ends when the client is closed. Raises Refused, Forbidden, and what ends the connection.
        """
        wanted: dict[str, Any] = {} if agent_id is None else {"agent_id": agent_id}
        if capabilities:
            wanted["capabilities"] = words("capabilities", capabilities)
        if self._watches is None:
            raise Closed("use it inside `async with`")
        return self._watches.follow(wanted, after, listed=listed)

    # what the link tells

    async def welcome(self, wire: Wire) -> None:
        await wire.ask("ping")

    def heard(self, method: str, params: dict[str, Any]) -> None:
        if self._watches is not None:
            self._watches.heard(method, params)

    def lost(self, wire: Wire) -> None:
        if self._watches is not None:
            self._watches.lost(wire)


def _wanted(capability: str | None, wanted: dict[str, Any]) -> dict[str, Any]:
    given = {name: list(value) if isinstance(value, tuple | set) else value for name, value in wanted.items()}
    if capability is not None:
        given["capabilities"] = [capability, *words("capabilities", given.get("capabilities") or ())]
    return {name: value for name, value in given.items() if value is not None}
