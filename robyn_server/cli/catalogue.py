"""The SQL of the catalogue's contract, as `agenthall catalogue install --print` prints it for the settings in the environment."""

from __future__ import annotations

import re

_ROLE = re.compile(r"[a-z_][a-z0-9_]*")


def contract_sql(role: str | None, *, view: bool) -> str:
    """The view with its grants, or the grants on the tables alone. Raises Misconfigured for settings or a role that cannot be."""
    from robyn_server.agent_sync import catalogue_grants_sql, catalogue_view_sql, parse_catalogue_source
    from robyn_server.agent_sync.install import READER
    from robyn_server.core.errors import Misconfigured
    from robyn_server.settings import load_settings

    role = role or READER
    if not _ROLE.fullmatch(role):
        raise Misconfigured(f"--role: {role!r} is not a plain name: small letters, digits and _")
    settings = load_settings()
    try:
        source = parse_catalogue_source(settings.agent_sync_catalogue, settings.agent_sync_write_back_to)
    except ValueError as error:
        raise Misconfigured(str(error)) from None
    make = catalogue_view_sql if view else catalogue_grants_sql
    return make(source, write_back=settings.agent_sync_write_back, role=role)
