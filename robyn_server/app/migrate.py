"""`agenthall migrate`."""

from __future__ import annotations

import asyncio

from robyn_server.settings import Settings

from .database import prepare_database


def run_migrate(settings: Settings) -> list[str]:
    """Migrate the server's and LangGraph's tables. Return the names of the applied migrations."""
    return asyncio.run(migrate_everything(settings))


async def migrate_everything(settings: Settings) -> list[str]:
    """As `run_migrate`."""
    applied = await prepare_database(settings)
    from robyn_server.graphs.checkpoints import (
        set_up,  # here: errors of the database are reported before this long import
    )

    await set_up(settings.direct_dsn)
    return [str(each) for each in applied]
