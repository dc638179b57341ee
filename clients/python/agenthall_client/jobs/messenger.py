"""Messages about jobs, which are sent again after a broken connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from agenthall_client.connection.backoff import Backoff
from agenthall_client.connection.message_channel import Disconnected
from agenthall_client.connection.reconnecting_connection import ReconnectingConnection
from agenthall_client.errors import JobLost, Refused
from agenthall_client.lease.lease import Lease, is_registration_gone

FENCED = "fenced"


class JobMessenger:
    """Sends each message under the registration and epoch of the moment."""

    def __init__(
        self, connection: Callable[[], ReconnectingConnection], lease: Lease, beat_now: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._lease = lease
        self._beat_now = beat_now

    async def request(self, method: str, params: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Send until there is an answer. `params` is called for each attempt, and may raise JobLost.

        Raises JobLost when the message is fenced, Refused, and the final error of the connection.
        """
        backoff = Backoff(0.05, 2.0)
        while True:
            await self._lease.settled.wait()  # rule 5
            channel = await self._connection().channel()
            reference = self._lease.reference
            try:
                return await channel.request(method, {**reference, **params()})
            except Disconnected:
                self._connection().discard(channel)
            except Refused as refused:
                self._check(refused, reference)
                await asyncio.sleep(backoff.next_delay())

    def _check(self, refused: Refused, reference: Mapping[str, Any]) -> None:
        """Return if the message is to be sent again. Raises JobLost, Refused."""
        if not self._lease.is_current(reference):
            return
        if refused.reason == FENCED:
            raise JobLost(str(refused))
        if is_registration_gone(refused) or refused.reason == "superseded":
            self._beat_now()  # its answer decides what follows
        elif not refused.retryable:
            raise refused
