"""SQL of the catalogue's contract for the settings in the environment, as `agenthall catalogue install --print` prints
it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robyn_server.agent_sync import CatalogueSource

_ROLE = re.compile(r"[a-z_][a-z0-9_]*")


def feed_sql() -> str:
    """The triggers on the five tables. Raises Misconfigured where the settings name a view."""
    from robyn_server.files import CATALOGUE_FEED

    _ensure_tables(_source()[0], "the triggers")
    return CATALOGUE_FEED.read_text(encoding="utf-8")


def view_sql(role: str | None) -> str:
    """The five tables as a view, with its grants. Raises Misconfigured for wrong settings or an unusable role."""
    from robyn_server.agent_sync import catalogue_view_sql

    source, write_back = _source()
    return catalogue_view_sql(source, write_back=write_back, role=checked_role(role))


def grants_sql(role: str | None) -> str:
    """The grants on the five tables. Raises Misconfigured as `view_sql` does, and where the settings name a view."""
    from robyn_server.agent_sync import catalogue_grants_sql

    source, write_back = _source()
    _ensure_tables(source, "the grants")
    return catalogue_grants_sql(source, write_back=write_back, role=checked_role(role))


def _source() -> tuple[CatalogueSource, bool]:
    """The catalogue that the settings name, and whether it is written back to."""
    from robyn_server.agent_sync import parse_catalogue_source
    from robyn_server.core.errors import Misconfigured
    from robyn_server.settings import load_settings

    settings = load_settings()
    try:
        source = parse_catalogue_source(settings.agent_sync_catalogue, settings.agent_sync_write_back_to)
    except ValueError as error:
        raise Misconfigured(str(error)) from None
    return source, settings.agent_sync_write_back


def _ensure_tables(source: CatalogueSource, what: str) -> None:
    from robyn_server.core.errors import Misconfigured

    if source.view is not None:
        raise Misconfigured(
            f"AGENT_SYNC_CATALOGUE is {source.view}, and {what} are those of the five standard tables:"
            " `agenthall catalogue map` writes them for your own tables"
        )


def checked_role(role: str | None) -> str:
    """The role, or the default one. Raises Misconfigured for a name that would need quotes."""
    from robyn_server.agent_sync.catalogue_db.install import READER
    from robyn_server.core.errors import Misconfigured

    if role is not None and not _ROLE.fullmatch(role):
        raise Misconfigured(f"--role: {role!r} is not a plain name of small letters, digits and _")
    return role or READER
