"""The heartbeats of an instance on one connection, and the registrations that become necessary there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

from agenthall_client.connection.backoff import jitter
from agenthall_client.connection.message_channel import MessageChannel
from agenthall_client.errors import Refused, Superseded
from agenthall_client.jobs.assigned_jobs import AssignedJobs

from .heartbeat_callbacks import HeartbeatCallbacks
from .lease import Lease, is_registration_gone

_log = logging.getLogger("agenthall_client")

MIN_INTERVAL_FRACTION = 0.85
"""A heartbeat follows after 85 to 100 % of the interval that the server sets."""


class Heartbeats:
    def __init__(
        self, channel: MessageChannel, lease: Lease, callbacks: HeartbeatCallbacks, jobs: AssignedJobs
    ) -> None:
        self.channel = channel
        self._lease = lease
        self._callbacks = callbacks
        self._jobs = jobs
        self._is_due = asyncio.Event()

    def beat_now(self) -> None:
        """Send the next heartbeat now."""
        self._is_due.set()

    async def run(self) -> None:
        """Send heartbeats until cancelled. Raises Disconnected; Superseded and other errors of a registration."""
        registration = self._lease.registration
        interval = registration.heartbeat_interval_seconds if registration else 0.0
        while True:
            await self._wait_until_due(interval)
            if self._lease.needs_registration:
                await self._lease.register(self.channel)
            else:
                interval = await self._send(await self._callbacks.read()) or interval

    async def _wait_until_due(self, interval: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(jitter(interval, MIN_INTERVAL_FRACTION * interval)):
                await self._is_due.wait()
        self._is_due.clear()

    async def _send(self, values: Mapping[str, Any]) -> float | None:
        """Return the next interval in seconds. None: it does not change."""
        reference = self._lease.reference
        try:
            result = await self.channel.request("agent.heartbeat", {**reference, **values, **self._jobs.heartbeat()})
        except Refused as refused:
            if not self._lease.is_current(reference):
                return None  # this instance registers again, on another connection
            return await self._handle_refused(refused, values)
        if self._lease.is_current(reference):
            self._jobs.on_heartbeat(result)
        return float(result["heartbeat_interval_seconds"])

    async def _handle_refused(self, refused: Refused, values: Mapping[str, Any]) -> float | None:
        """Raises Superseded."""
        if refused.reason == "superseded":
            raise Superseded(str(refused))
        if is_registration_gone(refused):
            self._lease.needs_registration = True
            self.beat_now()
        elif refused.retryable:
            _log.warning("a heartbeat failed: %s", refused)
        else:
            _log.error("a heartbeat was refused; sending it without health, load and metrics: %s", refused)
            return await self._send({}) if values else None
        return None
