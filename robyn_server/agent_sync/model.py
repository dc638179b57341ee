"""An agent as the catalogue describes it, and the result of one sync."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from robyn_server.core.catalogue.fields import SyncAction, SyncOutcome

_NULL_IS_OBJECT = BeforeValidator(lambda value: {} if value is None else value)
_NULL_IS_LIST = BeforeValidator(lambda value: [] if value is None else value)
_UUID_IS_TEXT = BeforeValidator(lambda value: str(value) if isinstance(value, UUID) else value)
Flag = Annotated[bool, BeforeValidator(lambda value: value is not None and value)]
"""A column in which null is false."""


class AgentSyncMcpTool(BaseModel):
    """One row of `mcp_tools`. `endpoint_url` is an MCP server's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool_id: UUID | int | str | None = None
    tool_name: str | None = None
    endpoint_url: str
    is_builtin: Flag = False
    auth_required: Flag = False


class AgentSyncData(BaseModel):
    """One active agent with its model and tools. `read_at`: when it was read, on the catalogue database's clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent_id: UUID
    organization_id: UUID | None = None
    name: str = Field(default="Untitled", min_length=1)
    description: str | None = None
    system_prompt: str | None = None
    sampling_params: Annotated[dict[str, Any], _NULL_IS_OBJECT] = Field(default_factory=dict)
    assistant_tool_ids: Annotated[list[UUID], _NULL_IS_LIST] = Field(default_factory=list)
    runtime_model_name: str | None = None
    graph_id: str | None = None
    langgraph_assistant_id: Annotated[str | None, _UUID_IS_TEXT] = None
    is_global: Flag = False
    mcp_tools: Annotated[list[AgentSyncMcpTool], _NULL_IS_LIST] = Field(default_factory=list)
    read_at: datetime | None = None
    registry_id: str | None = None
    """Of a configuration: its type of agent."""


class AgentSyncResult(BaseModel):
    """`action` is created, updated or skipped. `write_back_error`: why the catalogue's column could not be written."""

    model_config = ConfigDict(frozen=True)

    assistant_id: str
    action: SyncAction
    wrote_back_assistant_id: bool = False
    write_back_error: str | None = None

    def outcome(self) -> SyncOutcome:
        """This result as a line of the ledger: the assistant's id is the agent's."""
        identifier = UUID(self.assistant_id)
        return SyncOutcome(identifier, self.action, identifier, write_back_pending=self.write_back_error is not None)
