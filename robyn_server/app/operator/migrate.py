"""`agenthall migrate`."""

from __future__ import annotations

import asyncio

from robyn_server.app.parts.database import prepare_database
from robyn_server.settings import Settings


def run_migrate(settings: Settings) -> list[str]:
    """Migrate the server's and LangGraph's tables. Return the names of the applied migrations."""
    return asyncio.run(migrate_everything(settings))


async def migrate_everything(settings: Settings) -> list[str]:
    """As `run_migrate`."""
    applied = await prepare_database(settings)
    from robyn_server.graphs.checkpoints.saver import set_up

    await set_up(settings.direct_dsn)
    return [str(each) for each in applied]
