"""What the registry is given by the processes it lives in: who gathers heartbeats, and who follows events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from robyn_server.core.registry import Beat, BeatAnswer, InstanceEvent, InstanceFilter


class Compacted(Exception):
    """What came after the position asked for is no longer kept: list again. `position`: the last one that there is."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


class SlowReader(Exception):
    """The subscriber has fallen further behind than is held for it."""


class Heartbeats(Protocol):
    @property
    def id(self) -> UUID | None:
        """Under whose care the leases are; None: nobody's, a lease alone decides."""

    async def beat(self, beat: Beat) -> BeatAnswer:
        """OK, SUPERSEDED or MUST_REGISTER; the last also for another tenant's registration.

        Raises Invalid for a health, load or metrics that cannot be written, Unavailable.
        """
        ...


class Subscription(Protocol):
    position: int

    def __aiter__(self) -> AsyncIterator[Sequence[InstanceEvent]]:
        """Events in their order. Raises Compacted, SlowReader."""
        ...


class InstanceWatch(Protocol):
    async def last_position(self) -> int:
        """Who lists after this, and then watches from it, misses nothing. Raises Unavailable."""
        ...

    def subscribe(
        self, tenant: UUID | None, wanted: InstanceFilter, after: int | None = None
    ) -> AbstractAsyncContextManager[Subscription]:
        """`tenant` None: all of them. `after` None: from now on. Entering raises Compacted."""
        ...
