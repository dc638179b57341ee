"""An agent as the catalogue describes it, and what one sync of it came to."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from robyn_server.core.catalogue import SyncAction, SyncOutcome


class AgentSyncMcpTool(BaseModel):
    """One row of `mcp_tools`. `endpoint_url` is an MCP server's."""

    model_config = ConfigDict(frozen=True)

    tool_id: UUID | int | str
    tool_name: str | None = None
    endpoint_url: str
    is_builtin: bool = False
    auth_required: bool = False

    @field_validator("is_builtin", "auth_required", mode="before")
    @classmethod
    def _null_is_false(cls, value: Any) -> Any:
        return False if value is None else value


class AgentSyncData(BaseModel):
    """One active agent with its model and tools. `read_at` is the catalogue database's clock at the reading."""

    model_config = ConfigDict(frozen=True)

    agent_id: UUID
    organization_id: UUID | None = None
    name: str = Field(min_length=1)
    description: str | None = None
    system_prompt: str | None = None
    sampling_params: dict[str, Any] = Field(default_factory=dict)
    assistant_tool_ids: list[UUID] = Field(default_factory=list)
    runtime_model_name: str | None = None
    graph_id: str | None = None
    langgraph_assistant_id: str | None = None
    is_global: bool = False
    mcp_tools: list[AgentSyncMcpTool] = Field(default_factory=list)
    read_at: datetime | None = None

    @field_validator("sampling_params", "assistant_tool_ids", "is_global", "mcp_tools", mode="before")
    @classmethod
    def _null_is_empty(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].get_default(call_default_factory=True) if value is None else value

    @field_validator("langgraph_assistant_id", mode="before")
    @classmethod
    def _uuid_is_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, UUID) else value


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
