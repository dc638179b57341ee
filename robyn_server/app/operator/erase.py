"""`agenthall erase`."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from robyn_server import logs
from robyn_server.app.parts.credentials import make_connections
from robyn_server.app.parts.database import check_schema
from robyn_server.app.parts.pools import Pools
from robyn_server.app.parts.redis import open_redis
from robyn_server.core.access.principal import Principal
from robyn_server.core.erasure import Subject
from robyn_server.services.erasure import ErasureService
from robyn_server.settings import Settings
from robyn_server.storage.erasures import Erasures


def run_erase(settings: Settings, operator: Principal, subject: Subject, is_dry: bool) -> dict[str, int]:
    """Erase, or count with `is_dry`. Return the number of rows of each table.

    Nothing is migrated. Raises Misconfigured if there is no schema yet, Conflict, Unavailable.
    """
    logs.configure(settings)
    return asyncio.run(_erase(settings, operator, subject, is_dry))


async def _erase(settings: Settings, operator: Principal, subject: Subject, is_dry: bool) -> dict[str, int]:
    await check_schema(settings, "agenthall.erasures")
    await check_schema(settings, "langgraph.checkpoints")
    async with AsyncExitStack() as closing:
        pool = await Pools(settings, closing).system("agenthall erase", size=1)
        redis = await open_redis(settings, closing, "agenthall erase")
        connections, _ = make_connections(settings, pool)
        delete_events = None if redis is None else redis.streams.delete
        service = ErasureService(Erasures(pool), delete_events, revoke=connections.revoke)
        return await (service.count if is_dry else service.erase)(operator, subject)
