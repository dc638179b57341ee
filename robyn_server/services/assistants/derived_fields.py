"""Refuse edits of what an assistant has from its agent: one of the catalogue, or a configuration of the registry.

The error says where to make the edit. The other fields of such an assistant are its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from robyn_server.core.access.server_keys import settable_configurable
from robyn_server.core.catalogue.fields import CATALOGUE_METADATA_KEYS, Origin
from robyn_server.core.errors import Conflict
from robyn_server.services.run_config import refuse_catalogue_keys
from robyn_server.storage.assistants import AssistantChange, LockedAssistant

_FIELDS = ("graph_id", "name", "description")
_OF_CONFIGURATION = ("agent_id",)
"""A key of the metadata that a configuration sets beside those of the catalogue."""


def without_derived_fields(locked: LockedAssistant, change: AssistantChange) -> AssistantChange:
    """The change, with the keys that come from the agent unchanged.

    Raises Conflict naming a field that it would change.
    """
    if not locked.origin.is_derived:
        return change
    for name in _FIELDS:
        if getattr(change, name) is not None or (name == "description" and change.sets_description):
            raise _owned(locked, name)
    for key in _metadata_keys(locked.origin):
        if key in (change.metadata or {}):
            raise _owned(locked, f"metadata.{key}")
    if change.config is None and change.context is None:
        return change
    return _with_instances_keys(locked, change) if locked.origin is Origin.INSTANCES else _with_keys(locked, change)


def refuse_deletion(locked: LockedAssistant) -> None:
    """Raises Conflict for an assistant that comes from an agent."""
    if locked.origin is Origin.INSTANCES:
        agent = _agent_of(locked)
        raise Conflict(
            f"Assistant {locked.assistant_id} is that of agent '{agent}'; disable or delete the agent's configuration: "
            f"{_path_of(agent)}.",
            code="configuration_owned",
        )
    if locked.origin.is_synced:
        raise Conflict(
            f"Assistant {locked.assistant_id} comes from the catalogue; disable or delete its agent there.",
            code="catalogue_owned",
        )


def refuse_restoration(locked: LockedAssistant) -> None:
    """Raises Conflict for an assistant that comes from an agent: its content is not set back."""
    if locked.origin is Origin.INSTANCES:
        agent = _agent_of(locked)
        raise Conflict(
            f"Assistant {locked.assistant_id} follows the configuration of agent '{agent}'; change that: "
            f"{_path_of(agent)}.",
            code="configuration_owned",
        )
    if locked.origin.is_synced:
        raise Conflict(
            f"Assistant {locked.assistant_id} comes from the catalogue, which decides its content; change it there.",
            code="catalogue_owned",
        )


def _metadata_keys(origin: Origin) -> tuple[str, ...]:
    return CATALOGUE_METADATA_KEYS if origin is Origin.CATALOGUE else CATALOGUE_METADATA_KEYS + _OF_CONFIGURATION


def _with_keys(locked: LockedAssistant, change: AssistantChange) -> AssistantChange:
    owned = locked.config.get("configurable", {})
    refuse_catalogue_keys(owned, change.context, "Assistant")
    context = owned | (change.context or {})
    config = {**(change.config or {}), "configurable": settable_configurable(context)}
    return replace(change, config=config, context=context)


def _with_instances_keys(locked: LockedAssistant, change: AssistantChange) -> AssistantChange:
    """The server's own keys stay, which no client can give. They are not in the context."""
    before: Mapping[str, Any] = locked.config.get("configurable", {})
    given = settable_configurable(before)
    context = given | (change.context or {})
    own = {key: value for key, value in before.items() if key not in given}
    config = {**(change.config or {}), "configurable": settable_configurable(context) | own}
    return replace(change, config=config, context=context)


def _owned(locked: LockedAssistant, name: str) -> Conflict:
    if locked.origin is Origin.INSTANCES:
        agent = _agent_of(locked)
        return Conflict(
            f"'{name}' belongs to the configuration of agent '{agent}'; change it there: {_path_of(agent)}.",
            code="configuration_owned",
            field=name,
        )
    return Conflict(f"'{name}' belongs to the catalogue; change it there.", code="catalogue_owned", field=name)


def _agent_of(locked: LockedAssistant) -> str:
    return str(locked.metadata["agent_id"])


def _path_of(agent_id: str) -> str:
    return f"/agents/configurations/{quote(agent_id, safe='')}"
