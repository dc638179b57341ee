"""Search all that a server keeps and says for secrets."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import asyncpg
from servers.live_server import LiveServer


class Findings:
    """`places`: what was searched, by name. A test of the search itself looks for a text that must be there."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def add(self, place: str, text: str) -> None:
        self.places[place] = self.places.get(place, "") + text

    def places_of(self, secret: str) -> list[str]:
        """The places that have the secret: as it is, in base64, in hexadecimal digits, or escaped."""
        raw = secret.encode()
        spellings = {secret, base64.b64encode(raw).decode().rstrip("="), raw.hex(), quote(secret, safe="")}
        return [place for place, text in self.places.items() if any(each in text for each in spellings)]


async def search_everything(server: LiveServer, streamed: Iterable[str] = (), traces: Iterable[str] = ()) -> Findings:
    """Collect all rows of all tables, the logs of the processes, the metrics, what clients got, and traces."""
    found = Findings()
    connection = await asyncpg.connect(server.database)
    for schema, name in await connection.fetch(_TABLES):
        rows = await connection.fetch(f'select t::text as row from "{schema}"."{name}" t')
        found.add(f"table {schema}.{name}", "\n".join(row["row"] for row in rows))
    await connection.close()
    for process in server.processes:
        found.add(f"log {process.log.name}", process.read_log())
    async with server.http() as client:
        found.add("/metrics", (await client.get("/metrics")).text)
    for text in streamed:
        found.add("streamed", text)
    for text in traces:
        found.add("traces", text)
    return found


_TABLES = """
select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_'
 order by 1, 2
"""


def shown(event: Any) -> str:
    """A part of a stream as text."""
    return f"{event.event} {event.data!r}\n"
