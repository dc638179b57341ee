"""The fields of an assistant that the catalogue owns, and the outcome of syncing one agent.

An assistant from the catalogue has two writers: the catalogue owns the fields named here, and administrators may change
the others. Change detection, merging and the refusal of edits all use this list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from robyn_server.core.errors import Conflict
from robyn_server.core.json.canonical import canonical_json, content_hash

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
"""The keys allowed in `sampling_params`. Another key, such as `base_url`, could send the server's API key elsewhere."""

CATALOGUE_KEYS = (
    "model_name",
    "system_prompt",
    *SAMPLING_KEYS,
    "agent_tools",
    "supabase_organization_id",
    "mcp_config",
)
"""Keys of `config.configurable` that only the catalogue sets, even where it leaves them out."""

CATALOGUE_METADATA_KEYS = ("supabase_agent_id", "supabase_organization_id", "synced_at", "agent_source")
"""Keys of `metadata` that only agent sync sets."""

_ABSENT = object()


class AgentSource(StrEnum):
    """The origin of an agent: a product's catalogue, or an organization's configuration in the registry.

    Neither touches the other's.
    """

    CATALOGUE = "catalogue"
    CONFIGURATION = "configuration"


class Origin(StrEnum):
    """The creator of an assistant.

    An origin never changes, and nothing of one origin writes an assistant of another. Only the assistant of a
    configuration moves between `CONFIGURATION` and `INSTANCES`, when its agent does.
    """

    CLIENT = "client"
    GRAPH = "graph"
    CATALOGUE = AgentSource.CATALOGUE.value
    CONFIGURATION = AgentSource.CONFIGURATION.value
    INSTANCES = "instances"
    """A configuration whose agent runs in instances. The database writes the assistant with the configuration."""

    @property
    def is_synced(self) -> bool:
        """Whether agent sync writes the assistant."""
        return self in {Origin.CATALOGUE, Origin.CONFIGURATION}

    @property
    def is_derived(self) -> bool:
        """Whether the assistant follows from an agent of the catalogue, or from a configuration."""
        return self.is_synced or self is Origin.INSTANCES


class StaleRead(Conflict):
    """A newer version of the same agent has been applied, so this one was not written."""

    code = "superseded"


class SyncAction(StrEnum):
    """The outcome for one agent. `MISSING`: the catalogue has no such active agent any more."""

    CREATED = "created"
    UPDATED = "updated"
    SKIPPED = "skipped"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class SyncOutcome:
    """The ledger entry of one agent.

    `failure` is the reason for `FAILED`, for people. `name` is the agent's, if it is known. `error` is an unexpected
    exception, for the log alone.
    """

    agent_id: UUID
    action: SyncAction
    assistant_id: UUID | None = None
    failure: str | None = None
    write_back_pending: bool = False
    name: str | None = None
    error: Exception | None = field(default=None, compare=False, repr=False)


class AppliedAgent(NamedTuple):
    """The result of writing one agent of a page. `fields`: those that an update changed, see `differing_fields`."""

    action: SyncAction
    fields: tuple[str, ...] = ()


def field_of(assistant: Any, name: str, default: Any = None) -> Any:
    """A field of an assistant that is a mapping or an object."""
    if isinstance(assistant, Mapping):
        return assistant.get(name, default)
    return getattr(assistant, name, default)


def mapping_field(assistant: Any, name: str) -> Mapping[str, Any]:
    """A field that should hold a mapping: a model or an object is converted, and anything else counts as empty."""
    return _as_mapping(field_of(assistant, name))


def _as_mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        dumped = dump()
        return dumped if isinstance(dumped, Mapping) else {}
    return vars(value) if hasattr(value, "__dict__") else {}


def catalogue_projection(assistant: Any) -> dict[str, Any]:
    """The fields that the catalogue owns: graph_id, name, description, configurable, organization_id.

    `assistant` is a payload or what storage returned, a mapping or an object. A field that it does not have, or that is
    no text, is left out. Visibility is not listed: it follows from the organization.
    """
    plain = {name: field_of(assistant, name, _ABSENT) for name in ("graph_id", "name", "description")}
    projection: dict[str, Any] = {name: value for name, value in plain.items() if isinstance(value, str | None)}
    configurable = mapping_field(mapping_field(assistant, "config"), "configurable")
    projection["configurable"] = {key: value for key, value in configurable.items() if key in CATALOGUE_KEYS}
    if field_of(assistant, "metadata", _ABSENT) is not _ABSENT:
        organization_id = mapping_field(assistant, "metadata").get("supabase_organization_id")
        projection["organization_id"] = None if organization_id is None else str(organization_id)
    return projection


def catalogue_hash(payload: Mapping[str, Any]) -> str:
    """A hash that changes if and only if a field owned by the catalogue changes; `synced_at` is not one."""
    return content_hash(catalogue_projection(payload))


def changed_fields(existing: Any, payload: Mapping[str, Any]) -> list[str]:
    """Fields of the projection in which `existing` differs from `payload`.

    Fields that `existing` lacks do not differ.
    """
    wanted = catalogue_projection(payload)
    return [
        name
        for name, value in catalogue_projection(existing).items()
        if comparable_json(value) != comparable_json(wanted.get(name))
    ]


def comparable_json(value: Any) -> bytes | None:
    """Canonical JSON; None for what storage returned and is no JSON, which differs from every payload."""
    try:
        return canonical_json(value)
    except TypeError:
        return None
