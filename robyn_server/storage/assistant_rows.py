"""An assistant of the catalogue as columns: what a payload of agent sync becomes in Postgres.

Owned by `system` it is visible to the members of its agent's organisation, and to administrators only when it has none.
Any other owner's is private to that owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from robyn_server.core.catalogue import catalogue_hash
from robyn_server.core.ids import parse_uuid
from robyn_server.core.principal import SYSTEM_OWNER

from .json import dump_json


class AssistantRow(NamedTuple):
    """`config` and `metadata` are JSON text. In the order in which `insert` and `update` take them."""

    assistant_id: UUID
    graph_id: str
    name: str
    description: str | None
    config: str
    metadata: str
    organization_id: UUID | None
    catalogue_hash: str

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> AssistantRow:
        """{assistant_id, graph_id, name, description, config, metadata} as a row. Raises Invalid for an id that is no UUID."""
        organization = payload["metadata"].get("supabase_organization_id")
        return cls(
            parse_uuid(payload["assistant_id"], "assistant ID"),
            payload["graph_id"],
            name_of(payload),
            payload.get("description"),
            dump_json(payload["config"]).decode(),
            dump_json(payload["metadata"]).decode(),
            None if organization is None else parse_uuid(organization, "organization ID"),
            catalogue_hash(payload),
        )


def agent_of(payload: Mapping[str, Any]) -> UUID:
    """The agent that the payload was made of: its own id, unless it is a user's copy."""
    named = payload["metadata"].get("supabase_agent_id")
    return parse_uuid(payload["assistant_id"] if named is None else named, "agent ID")


def name_of(payload: Mapping[str, Any]) -> str:
    return payload.get("name") or "Untitled"


def visibility_of(owner_id: str) -> str:
    return "organization" if owner_id == SYSTEM_OWNER else "private"
