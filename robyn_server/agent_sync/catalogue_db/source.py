"""Where the catalogue is read, and which column is written: AGENT_SYNC_CATALOGUE and AGENT_SYNC_WRITE_BACK_TO.

    catalogue  = "tables" | schema "." view
    write_back = schema "." table "." column
    sources    = source *("," source)           AGENT_SYNC_SOURCES, each source once
    source     = "catalogue" | "configurations"

A name is an SQL identifier, in double quotes where SQL needs them. docs/reference/catalogue.md is the contract of both
forms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from robyn_server.core.catalogue.fields import AgentSource

TABLES = "tables"
"""The five tables in schema public."""

CONFIGURED = "agenthall.configured_agents"
"""The view over the registry's configurations, in the server's own database."""

WRITTEN_BACK = "public.agents.langgraph_assistant_id"

_NAME = r'(?:[A-Za-z_][A-Za-z0-9_$]*|"(?:[^"]|"")+")'
_VIEW = re.compile(rf"(?P<schema>{_NAME})\.{_NAME}")
_COLUMN = re.compile(rf"(?P<table>{_NAME}\.{_NAME})\.(?P<column>{_NAME})")


class CataloguePool(Protocol):
    """The catalogue's database. An asyncpg pool is one."""

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...
    async def execute(self, query: str, *args: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class CatalogueSource:
    """`view`: as SQL, or None for the tables. `table`, `column`: as SQL; the table's key is its uuid column `id`.

    `origin`: the source of the agents. Those of configurations have one more column, `registry_id`.
    The texts go into queries as they are, so make instances by `parse_catalogue_source`.
    """

    view: str | None = None
    table: str = "public.agents"
    column: str = "langgraph_assistant_id"
    origin: AgentSource = AgentSource.CATALOGUE

    @property
    def key(self) -> str:
        """The column with the agent's id, in queries that call agents `a`."""
        return "a.id" if self.view is None else "a.agent_id"

    @property
    def column_name(self) -> str:
        """As it is listed in pg_attribute."""
        return self.column[1:-1].replace('""', '"') if self.column.startswith('"') else self.column.lower()

    def __str__(self) -> str:
        return self.view or "the tables in schema public"


STANDARD = CatalogueSource()


def parse_catalogue_source(catalogue: str, write_back: str = WRITTEN_BACK) -> CatalogueSource:
    """Raises ValueError naming the variable and what is wrong with it."""
    view = catalogue.strip()
    if view.lower() in {"", TABLES}:
        view = ""
    elif not _VIEW.fullmatch(view):
        raise ValueError(
            f"AGENT_SYNC_CATALOGUE: {catalogue!r} is neither `{TABLES}` nor the name of a view, schema.view"
        )
    target = _COLUMN.fullmatch(write_back.strip())
    if target is None:
        raise ValueError(f"AGENT_SYNC_WRITE_BACK_TO: {write_back!r} is not the name of a column, schema.table.column")
    return CatalogueSource(view or None, target["table"], target["column"])


_SOURCES = {"catalogue": AgentSource.CATALOGUE, "configurations": AgentSource.CONFIGURATION}


def parse_agent_sources(text: str) -> tuple[AgentSource, ...]:
    """The sources of agents, in the order given.

    Raises ValueError naming the variable and the part that is no source.
    """
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    unknown = next((word for word in words if word not in _SOURCES), None)
    if unknown is not None or not words:
        raise ValueError(
            f"AGENT_SYNC_SOURCES: {unknown or text!r} is none of `catalogue`, `configurations`, or both by comma"
        )
    return tuple(dict.fromkeys(_SOURCES[word] for word in words))


def name_of_source(source: AgentSource) -> str:
    """The source's name in AGENT_SYNC_SOURCES."""
    return next(name for name, each in _SOURCES.items() if each is source)


def schema_of(relation: str) -> str:
    """The schema of `schema.relation`, as SQL."""
    match = _VIEW.fullmatch(relation)
    if match is None:
        raise ValueError(f"{relation!r} is not schema.relation")
    return match["schema"]
