"""agent.watch: the changes of an organization's instances, in order and resumable.

Each watch is a task that waits until its socket is writable; meanwhile the event broker buffers, up to a bound. A
client that falls further behind is closed with 4429, and resumes from the position of the last event it saw.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from robyn_server.core.errors import NotFound, Unavailable
from robyn_server.registry.leases.event_broker import Compacted, SlowReader
from robyn_server.sockets.protocol.errors import CloseCode, ErrorCode, ProtocolError
from robyn_server.sockets.protocol.params import UnwatchParams, WatchParams
from robyn_server.sockets.sessions.hub import SessionHub
from robyn_server.sockets.sessions.session import ActiveWatch, Session

from .organization import resolve_organization

if TYPE_CHECKING:
    from robyn_server.registry.leases.event_broker import Subscription


async def watch(hub: SessionHub, session: Session, given: WatchParams) -> Mapping[str, Any]:
    limit = hub.limits.watches
    if len(session.watches) + session.deferred_count >= limit:
        raise ProtocolError(ErrorCode.RATE_LIMITED, f"A socket may have {limit} watches.", reason="too_many_watches")
    organization_id = resolve_organization(hub, session, given.tenant_id)
    watch_id = session.new_watch_id()
    async with contextlib.AsyncExitStack() as stack:
        try:
            subscribing = hub.dependencies.instance_events.subscribe(organization_id, given.filter, given.after)
            subscription = await stack.enter_async_context(subscribing)
        except Compacted as error:
            position = error.position
            session.run_after_reply(lambda: _notify_compacted(session, watch_id, position))
            return {"watch_id": watch_id, "position": given.after}
        closing = stack.pop_all()
    session.run_after_reply(lambda: _start(hub, session, organization_id, watch_id, subscription, closing))
    return {"watch_id": watch_id, "position": subscription.position}


def _start(
    hub: SessionHub,
    session: Session,
    organization_id: UUID,
    watch_id: str,
    subscription: Subscription,
    closing: contextlib.AsyncExitStack,
) -> None:
    """Called after the reply, so that no event comes before it."""
    task = asyncio.create_task(_follow(hub, session, watch_id, subscription, closing), name="agent.watch")
    session.watches[watch_id] = ActiveWatch(organization_id, task)


async def _follow(
    hub: SessionHub, session: Session, watch_id: str, subscription: Subscription, closing: contextlib.AsyncExitStack
) -> None:
    async with closing:
        try:
            async for events in subscription:
                for event in events:
                    session.notify("agent.event", {"watch_id": watch_id, **event.to_dict()})
                await session.socket.wait_writable()
        except Compacted as gone:
            _notify_compacted(session, watch_id, gone.position)
        except Unavailable as error:
            ended = {"watch_id": watch_id, "position": subscription.position, "message": error.detail}
            session.notify("agent.watch_ended", ended)
        except SlowReader:
            hub.counts.slow += 1
            session.close_after_reply(CloseCode.TOO_MANY, "slow reader: events are not read as fast as they come")
        finally:
            session.watches.pop(watch_id, None)


def _notify_compacted(session: Session, watch_id: str, position: int) -> None:
    """The watch ends: events after the requested position are no longer kept."""
    message = "events since that position are gone: watch from now on, and list again"
    session.notify("agent.compacted", {"watch_id": watch_id, "position": position, "message": message})


async def unwatch(_hub: SessionHub, session: Session, given: UnwatchParams) -> Mapping[str, Any]:
    active = session.watches.get(given.watch_id)
    if active is None or given.tenant_id not in {None, active.organization_id}:
        raise NotFound("There is no such watch on this socket.", field="watch_id")
    del session.watches[given.watch_id]
    active.task.cancel()
    return {"watch_id": given.watch_id}
