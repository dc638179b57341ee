"""A reason names the column that an operator can look at: of a table, or of the configured view."""

from __future__ import annotations

from uuid import UUID

import pytest

from robyn_server.agent_sync import AgentRejected, CatalogueSource
from robyn_server.agent_sync.catalogue_db.contract import TYPES_OF_TABLES
from robyn_server.agent_sync.catalogue_db.fields import OF_VIEW
from robyn_server.agent_sync.catalogue_db.reasons import rejected_in

AGENT = UUID(int=1)
VIEW = CatalogueSource("app.agents_view")


@pytest.mark.parametrize(
    ("column", "of_view"),
    [
        ("agents.id", "agent_id"),
        ("agents.name", "name"),
        ("agents.graph_id", "graph_id"),
        ("agents.sampling_params.temperature", "sampling_params.temperature"),
        ("agents.mcp_tools", "mcp_tools"),
        ("agents.engine_id", "engine_found"),
        ("agents.engine_type", "engine_type"),
        ("agents.runtime_model_name", "runtime_model_name"),
        ("global_ai_engines.language_model_id", "runtime_model_name"),
        ("agent_mcp_tools.mcp_tool_id", "mcp_tools"),
        ("mcp_tools.endpoint_url", "mcp_tools.endpoint_url"),
        ("mcp_tools.0.auth_required", "mcp_tools.0.auth_required"),
    ],
)
def test_of_a_view_the_reason_names_its_own_column(column: str, of_view: str) -> None:
    rejection = AgentRejected(AGENT, column, "is wrong")
    assert rejected_in(CatalogueSource(), rejection) is rejection
    found = rejected_in(VIEW, rejection)
    assert (found.agent_id, found.field) == (AGENT, f"app.agents_view.{of_view}")
    assert found.detail.startswith(f"Agent {AGENT} cannot be served: app.agents_view.{of_view}: is ")


def test_every_column_of_the_tables_of_agents_leads_to_a_column_of_a_view() -> None:
    """`status` and `deleted_at` have no counterpart: a view has active agents only."""
    names = {field.name for field in OF_VIEW} | {"updated_at"}
    for column in TYPES_OF_TABLES:
        if column.startswith("agents.") and column not in {"agents.status", "agents.deleted_at"}:
            field = rejected_in(VIEW, AgentRejected(AGENT, column, "is wrong")).field
            assert str(field).removeprefix("app.agents_view.") in names, column
