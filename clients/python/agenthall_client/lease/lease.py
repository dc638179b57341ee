"""The registration of an instance, over all its connections.

Rules
  1. One registration at a time is in progress. It is repeated with the same idempotency key and values until an answer
     arrives, so a lost answer costs no epoch.
  2. After a broken connection the instance first asks whether its epoch is still current. If not, a newer process has
     taken over and this one ends (Superseded). Two processes never take turns.
  3. The instance remembers that it drains: after a broken connection it registers as one that drains.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

from agenthall_client.connection.message_channel import MessageChannel
from agenthall_client.errors import ClientError, Closed, Refused, Superseded

from .registration import Registration

_log = logging.getLogger("agenthall_client")


class Lease:
    """`describe` returns the params of a registration, without the idempotency key.

    `on_registered` is called with each answer, before any later message is read.
    """

    def __init__(
        self,
        describe: Callable[[], Awaitable[dict[str, Any]]],
        on_registered: Callable[[Mapping[str, Any]], None],
        on_draining: Callable[[], None],
    ) -> None:
        self.registration: Registration | None = None
        self.draining = asyncio.Event()
        self.drain_reason: str | None = None
        self.needs_registration = False
        self.settled = asyncio.Event()
        """Set unless a registration is in progress."""
        self.settled.set()
        self._describe = describe
        self._on_registered = on_registered
        self._on_draining = on_draining
        self._unanswered: dict[str, Any] | None = None
        """The params of a registration whose answer has not arrived. It is repeated word for word."""

    @property
    def reference(self) -> dict[str, Any]:
        """The params by which a message refers to the registration. Raises Closed."""
        if self.registration is None:
            raise Closed("The instance has not registered.")
        return self.registration.reference

    def is_current(self, params: Mapping[str, Any]) -> bool:
        """Whether a message is about this registration and epoch, and no other registration is in progress."""
        return self.settled.is_set() and self.registration is not None and self.reference.items() <= params.items()

    def start_draining(self, reason: str) -> None:
        self.drain_reason = self.drain_reason or reason
        self.draining.set()
        self._on_draining()

    async def resume(self, channel: MessageChannel) -> None:
        """Register on a new connection. Raises Superseded, and what `register` raises."""
        if self.registration is not None and self._unanswered is None:
            await self._ensure_not_superseded(channel, self.registration)
        await self.register(channel)

    async def _ensure_not_superseded(self, channel: MessageChannel, registration: Registration) -> None:
        try:
            await channel.request("agent.heartbeat", registration.reference)
        except Refused as refused:
            if refused.reason == "superseded":
                raise Superseded(f"another process has registered as {registration.instance_id}") from None
            if not is_registration_gone(refused):
                raise

    async def register(self, channel: MessageChannel) -> None:
        """Raises ClientError, Disconnected."""
        self.settled.clear()
        if self._unanswered is None:
            self._unanswered = {**await self._describe(), "idempotency_key": uuid4().hex}
            if self.draining.is_set():
                self._unanswered["drain_reason"] = self.drain_reason
        drains = "drain_reason" in self._unanswered
        try:
            await channel.request("agent.register", self._unanswered, on_result=self._accept)
        except ClientError as error:
            if not (isinstance(error, Refused) and error.retryable):
                self._unanswered = None
                self.settled.set()
            raise
        if self.draining.is_set() and not drains:
            await self.drain(channel)

    def _accept(self, result: Mapping[str, Any]) -> None:
        self._unanswered, self.needs_registration = None, False
        self.registration = registration = Registration.from_result(result)
        _log.info("registered as %s, epoch %d", registration.registration_id, registration.epoch)
        self.settled.set()
        self._on_registered(result)

    async def drain(self, channel: MessageChannel) -> None:
        reason = self.drain_reason or "draining"
        await channel.request("agent.drain", {**self.reference, "reason": reason})


def is_registration_gone(refused: Refused) -> bool:
    """Whether the instance must register again."""
    return refused.reason in {"must_register", "not_found"}
