"""The body of `agenthall migrate`."""

from __future__ import annotations

import asyncio

from robyn_server.settings import Settings

from .database import prepare_database


def run_migrate(settings: Settings) -> list[str]:
    """The names of what was applied. LangGraph's own tables included."""
    return asyncio.run(_migrate(settings))


async def _migrate(settings: Settings) -> list[str]:
    applied = await prepare_database(settings)
    from robyn_server.graphs.checkpoints import set_up  # here: a database that will not do is told before the import

    await set_up(settings.direct_dsn)
    return [str(each) for each in applied]
