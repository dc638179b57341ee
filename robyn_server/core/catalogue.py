"""What the catalogue owns of an assistant, and what one look at an agent came to.

An assistant that comes from the catalogue is written by two hands: the catalogue owns the fields named here, the members of
its organisation may change all others. So change detection, merging and refusing edits all go by this one list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from .canonical import canonical_json, content_hash
from .errors import Conflict

SAMPLING_KEYS = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "stop",
    "seed",
)
"""All that `sampling_params` may say. Any other key (`base_url`, say) could send the server's own API key to a stranger."""

CATALOGUE_KEYS = (
    "model_name",
    "system_prompt",
    *SAMPLING_KEYS,
    "agent_tools",
    "supabase_organization_id",
    "mcp_config",
)
"""Keys of `config.configurable` that only the catalogue sets, also where it leaves them out."""

CATALOGUE_METADATA_KEYS = ("supabase_agent_id", "supabase_organization_id", "synced_at", "agent_source")
"""Keys of `metadata` that only agent sync sets."""

_ABSENT = object()


class AgentSource(StrEnum):
    """Where an agent is from: a product's catalogue, or a tenant's configuration in the registry. Neither touches the other's."""

    CATALOGUE = "catalogue"
    CONFIGURATION = "configuration"


class Superseded(Conflict):
    """A later reading of the same agent was applied already: what this one says is old, and was not written."""

    code = "superseded"


class SyncAction(StrEnum):
    """What became of one agent. `MISSING`: the catalogue has no such active agent any more."""

    CREATED = "created"
    UPDATED = "updated"
    SKIPPED = "skipped"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class SyncOutcome:
    """One agent's line in the ledger. `failure` is the reason of `FAILED`, fit for people."""

    agent_id: UUID
    action: SyncAction
    assistant_id: UUID | None = None
    failure: str | None = None
    write_back_pending: bool = False


def field_of(assistant: Any, name: str, default: Any = None) -> Any:
    """A field of an assistant that is a mapping or an object."""
    if isinstance(assistant, Mapping):
        return assistant.get(name, default)
    return getattr(assistant, name, default)


def catalogue_projection(assistant: Any) -> dict[str, Any]:
    """The fields that the catalogue owns: graph_id, name, description, configurable, organization_id.

    `assistant` is a payload or what storage returned, a mapping or an object. A field that it does not have is left out.
    Visibility is not listed: it follows from the organisation.
    """
    plain = {name: field_of(assistant, name, _ABSENT) for name in ("graph_id", "name", "description")}
    projection = {name: value for name, value in plain.items() if value is not _ABSENT}
    configurable = (field_of(assistant, "config") or {}).get("configurable") or {}
    projection["configurable"] = {key: value for key, value in configurable.items() if key in CATALOGUE_KEYS}
    metadata = field_of(assistant, "metadata", _ABSENT)
    if metadata is not _ABSENT:
        organization_id = (metadata or {}).get("supabase_organization_id")
        projection["organization_id"] = None if organization_id is None else str(organization_id)
    return projection


def catalogue_hash(payload: Mapping[str, Any]) -> str:
    """Changes when, and only when, something that the catalogue owns changes; not with `synced_at`."""
    return content_hash(catalogue_projection(payload))


def changed_fields(existing: Any, payload: Mapping[str, Any]) -> list[str]:
    """Fields of the projection in which `existing` is not what `payload` says; those that `existing` does not have cannot differ."""
    wanted = catalogue_projection(payload)
    return [
        name
        for name, value in catalogue_projection(existing).items()
        if canonical_json(value) != canonical_json(wanted.get(name))
    ]
