"""The MCP servers of the catalogue, by the number of agents that use them."""

from __future__ import annotations

from uuid import uuid4

from catalogues.catalogue_tables import VIEW, CatalogueEditor, catalogue_database

from robyn_server.agent_sync import AgentSyncScope, catalogue_view_sql
from robyn_server.agent_sync.catalogue_db.source import STANDARD
from robyn_server.agent_sync.catalogue_db.tool_servers import count_tool_servers

ALL = AgentSyncScope("all")


async def test_servers_are_counted_within_the_scope_in_both_forms_of_the_catalogue(postgres: str) -> None:
    async with catalogue_database(postgres) as pool:
        await pool.execute(catalogue_view_sql(VIEW, write_back=False, role=None))
        editor = CatalogueEditor(pool)
        organization = uuid4()
        agents = [await editor.add_agent(organization_id=organization), await editor.add_agent()]
        for agent in agents:
            await editor.add_tool(agent, "http://both", "one")
        await editor.add_tool(agents[0], "http://both", "two")
        await editor.add_tool(agents[0], "http://first", "one")
        await editor.add_tool(agents[1], None, "without a server")
        await editor.add_agent()
        for source in (STANDARD, VIEW):
            counted = await count_tool_servers(pool, ALL, source, most=10)
            assert counted == {"http://both": 2, "http://first": 1}
            assert await count_tool_servers(pool, ALL, source, most=1) == {"http://both": 2}
            one = AgentSyncScope.orgs([organization])
            assert await count_tool_servers(pool, one, source, most=10) == {"http://both": 1, "http://first": 1}
        assert await count_tool_servers(pool, AgentSyncScope("none"), most=10) == {}
