"""Use cases of the versions of assistants."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.catalogue.fields import Origin
from robyn_server.core.errors import Conflict, NotFound
from robyn_server.services.models import AllowedModels
from robyn_server.services.run_config import validate
from robyn_server.storage.assistant_versions import AssistantVersion, AssistantVersions
from robyn_server.storage.assistants import Assistants, LockedAssistant

from .derived_fields import refuse_restoration
from .service import AssistantService

_MISSING = "Assistant {} not found"


class AssistantVersionService:
    def __init__(
        self, versions: AssistantVersions, assistants: Assistants, service: AssistantService, models: AllowedModels
    ) -> None:
        self._versions = versions
        self._assistants = assistants
        self._service = service
        self._models = models

    async def search(
        self, principal: Principal, name: str, metadata: dict[str, Any], *, limit: int, offset: int
    ) -> str:
        """The versions of the assistant that `name` names, newest first, as JSON text. Raises Invalid, NotFound."""
        found = await self._service.find_named(principal, name, _MISSING.format(name))
        return await self._versions.search(principal, found.assistant_id, metadata, limit=limit, offset=offset)

    async def restore(self, principal: Principal, name: str, version: int) -> str:
        """Set the assistant back to one of its versions, and return it as JSON text.

        Raises NotFound, Conflict (it follows from an agent), Unservable (the version's graph), and Forbidden, also for
        a configuration that the principal may not give it now.
        """
        assistant_id = await self._service.id_of(principal, name)
        async with self._assistants.transaction(principal) as connection:
            locked = await self._service.lock(connection, principal, assistant_id)
            if locked is None:
                raise await self._service.unchangeable(principal, assistant_id)
            refuse_restoration(locked)
            wanted = await self._versions.find(connection, locked.assistant_id, version)
            if wanted is None:
                raise _missing(locked.assistant_id, version)
            self._check(principal, locked, wanted)
            body = await self._versions.restore(connection, locked.assistant_id, version)
        if body is None:
            raise NotFound(_MISSING.format(name))
        return body

    def _check(self, principal: Principal, locked: LockedAssistant, wanted: AssistantVersion) -> None:
        """Raises what an update with the content of `wanted` raises."""
        if locked.origin is Origin.GRAPH and wanted.graph_id != locked.graph_id:
            raise Conflict(f"The default assistant of graph '{locked.graph_id}' always runs it.", field="version")
        self._service.ensure_served(wanted.graph_id, locked.assistant_id, "version")
        validate(principal, wanted.config, None)
        self._service.check_configuration(wanted.graph_id, wanted.context)
        self._models.check(principal, wanted.context, locked.config.get("configurable"))


def _missing(assistant_id: UUID, version: int) -> NotFound:
    return NotFound(f"Version {version} not found for assistant {assistant_id}", field="version")
