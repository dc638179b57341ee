"""Files that travel with the package: migrations and the demo. In a checkout they are at its top level."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

CATALOGUE_FEED = _PACKAGE / "agent_sync" / "catalogue_db" / "sql" / "catalogue_feed.sql"
"""SQL that an operator applies to the catalogue's database, so that it reports edits to the server."""


def packaged(name: str) -> Path:
    """Return the directory `name` ("migrations" or "demo"), in an installed wheel or in a checkout."""
    installed = _PACKAGE / "_files" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def console_folder() -> Path:
    """Return the directory of the built console. A checkout has none before `make console`."""
    installed = _PACKAGE / "_files" / "console"
    return installed if installed.is_dir() else _PACKAGE.parent / "console" / "dist"
