"""agent.watch: what changes among a tenant's instances, in order and resumable.

Each watch is a task. It waits until the socket has taken what it was told; meanwhile the feed holds back what comes for it, within its
bound. Who falls behind that far is closed with 4429, and resumes from the position that it saw last.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from robyn_server.core.errors import NotFound, Unavailable
from robyn_server.registry.protocols import Compacted, SlowReader

from .codes import Close, Code, Fault
from .params import Unwatch, Watch

if TYPE_CHECKING:
    from robyn_server.registry.protocols import Subscription

    from .session import Session


@dataclass(frozen=True, slots=True)
class Followed:
    tenant: UUID
    task: asyncio.Task[None]


async def watch(session: Session, given: Watch) -> Mapping[str, Any]:
    most = session.hall.limits.watches
    if len(session.watches) + session.starting >= most:
        raise Fault(Code.RATE_LIMITED, f"A socket may have {most} watches.", reason="too_many_watches")
    tenant = session.tenant(given.tenant_id)
    watch_id = session.new_watch_id()
    async with contextlib.AsyncExitStack() as stack:
        try:
            wanted = session.hall.rooms.watch.subscribe(tenant, given.filter, given.after)
            subscription = await stack.enter_async_context(wanted)
        except Compacted as error:
            position = error.position
            session.afterwards(lambda: _tell_compacted(session, watch_id, position))
            return {"watch_id": watch_id, "position": given.after}
        closing = stack.pop_all()
    session.afterwards(lambda: _start(session, tenant, watch_id, subscription, closing))
    return {"watch_id": watch_id, "position": subscription.position}


def _start(
    session: Session, tenant: UUID, watch_id: str, subscription: Subscription, closing: contextlib.AsyncExitStack
) -> None:
    """Events follow the answer, never go before it."""
    task = asyncio.create_task(_follow(session, watch_id, subscription, closing), name="agent.watch")
    session.watches[watch_id] = Followed(tenant, task)


async def _follow(
    session: Session, watch_id: str, subscription: Subscription, closing: contextlib.AsyncExitStack
) -> None:
    async with closing:
        try:
            async for events in subscription:
                for event in events:
                    session.notify("agent.event", {"watch_id": watch_id, **event.shown()})
                await session.socket.taken()
        except Compacted as gone:
            _tell_compacted(session, watch_id, gone.position)
        except Unavailable as error:
            ended = {"watch_id": watch_id, "position": subscription.position, "message": error.detail}
            session.notify("agent.watch_ended", ended)
        except SlowReader:
            session.hall.counts.slow += 1
            session.part(Close.TOO_MANY, "slow reader: events are not read as fast as they come")
        finally:
            session.watches.pop(watch_id, None)


def _tell_compacted(session: Session, watch_id: str, position: int) -> None:
    """The watch is over: what came after the position asked for is no longer kept."""
    message = "events since that position are gone: watch from now on, and list again"
    session.notify("agent.compacted", {"watch_id": watch_id, "position": position, "message": message})


async def unwatch(session: Session, given: Unwatch) -> Mapping[str, Any]:
    followed = session.watches.get(given.watch_id)
    if followed is None or given.tenant_id not in {None, followed.tenant}:
        raise NotFound("There is no such watch on this socket.", field="watch_id")
    del session.watches[given.watch_id]
    followed.task.cancel()
    return {"watch_id": given.watch_id}
