"""The doctor names MCP servers of the catalogue that the egress policy refuses."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from catalogues.catalogue_tables import CatalogueEditor, catalogue_database
from test_doctor_executes import doctor

KEYS = {"AUTH_MODE": "keys", "AGENT_SYNC_SCOPE": "all"}


async def test_servers_that_are_refused_are_named_without_their_secrets(postgres: str, tmp_path: Path) -> None:
    async with catalogue_database(postgres) as pool:
        editor = CatalogueEditor(pool)
        engine = await editor.add_engine("offline:demo")
        urls = (
            "http://user:secret@127.0.0.1:9/mcp?key=secret",
            "http://10.0.0.1/mcp",
            "https://8.8.8.8/mcp",
            "http://x y",
        )
        for url in urls:
            await editor.add_tool(await editor.add_agent(engine_id=engine), url, "tool")
        database = urlsplit(postgres)._replace(path="/" + await pool.fetchval("select current_database()")).geturl()
        assert "egress" not in await doctor(database, tmp_path, AUTH_MODE="keys")
        passed, text = (await doctor(database, tmp_path, **KEYS))["egress"]
        assert not passed
        assert "refuses the MCP servers http://10.0.0.1, http://127.0.0.1:9; allow them with AGENTHALL_EGRESS" in text
        passed, text = (await doctor(database, tmp_path, **KEYS, AGENTHALL_EGRESS="private"))["egress"]
        assert not passed and "servers http://127.0.0.1:9;" in text
        allow = {"AGENTHALL_EGRESS_ALLOW": "127.0.0.1:9, 10.0.0.0/8"}
        passed, text = (await doctor(database, tmp_path, **KEYS, **allow))["egress"]
        assert passed
        assert text == "level public; it refuses none of the catalogue's MCP servers that can be resolved (4)"
