"""Use case of the tools of an assistant: what its MCP servers offer now, and which agents it may call.

Rules
- Servers are asked with the caller's own credentials, and the answer is kept for SECONDS for this caller, these
  credentials and this version of the assistant. Nobody else gets it.
- The credentials are dropped when the servers have been asked.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from robyn_server.concurrency.ttl_cache import TtlCache
from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Unservable
from robyn_server.credentials.finder import CredentialFinder, FoundCredential, RunUser
from robyn_server.graphs.tool_servers import ask_servers
from robyn_server.storage.assistants import Assistants, ResolvedAssistant
from tools_agent.configuration import AgentConfig, MCPServerConfig, agent_config
from tools_agent.credentials import MissingCredential, ServerCredential
from tools_agent.errors import ConfigurationInvalid

from .service import AssistantService

SECONDS = 10.0
KEPT_ANSWERS = 64
MOST_AGENTS = 64

Found = Mapping[str, FoundCredential]


@dataclass(frozen=True, slots=True)
class _Question:
    """`asked`: the servers with their credentials, until they have been asked. It is emptied then."""

    assistant_id: UUID
    version: int
    owner_id: str
    digest: bytes
    asked: list[tuple[Sequence[MCPServerConfig], Found]] = field(compare=False, repr=False)


class AssistantToolService:
    def __init__(self, service: AssistantService, stored: Assistants, finder: CredentialFinder) -> None:
        self._service = service
        self._stored = stored
        self._finder = finder
        self._salt = secrets.token_bytes(32)
        self._answers = TtlCache(self._ask, seconds=SECONDS, max_size=KEPT_ANSWERS)

    async def get(self, principal: Principal, name: str) -> Mapping[str, Any]:
        """Return `servers`, each with its status and tools, and `tools` of other kinds.

        `name`: an assistant's UUID, or the name of a graph or an agent. Raises Invalid, BadRequest, NotFound,
        Forbidden, Unservable, Unavailable.
        """
        found = await self._service.find_named(principal, name, "Not Found")
        principal.require_assistant(found.assistant_id, found.template_id)  # servers are asked as they are in a run
        agent = _agent_of(found)
        return {
            "servers": await self._servers(principal, found, agent.mcp_config.servers),
            "tools": await self._agents(principal, agent.agent_tools),
        }

    async def _servers(
        self, principal: Principal, found: ResolvedAssistant, servers: Sequence[MCPServerConfig]
    ) -> list[dict[str, Any]]:
        if not servers:
            return []
        user = RunUser(None, principal.identity, principal.organization_for_new(), principal.token)
        credentials = await self._finder.find(user, [each.url for each in servers])
        digest = self._digest(user, servers, credentials)
        return await self._answers.get(
            _Question(found.assistant_id, found.version, principal.identity, digest, [(servers, credentials)])
        )

    def _digest(self, user: RunUser, servers: Sequence[MCPServerConfig], found: Found) -> bytes:
        """A digest of everything that the answer depends on, which nobody can reverse."""
        digest = hashlib.blake2b(str(user.organization_id).encode(), key=self._salt)
        for each in servers:
            has = found.get(each.url)
            parts = ("",) if has is None else (has.header, has.value.get_secret_value(), has.why or "")
            digest.update(repr((each.model_dump_json(), parts)).encode())
        return digest.digest()

    async def _ask(self, question: _Question) -> list[dict[str, Any]]:
        servers, found = question.asked.pop()
        credentials = {url: _credential(each) for url, each in found.items()}
        return await ask_servers(servers, credentials, question.owner_id)

    async def _agents(self, principal: Principal, ids: Sequence[UUID]) -> list[dict[str, Any]]:
        """The agents that it may call as tools, at most MOST_AGENTS; those that the caller may not use have no name."""
        wanted = list(dict.fromkeys(ids))[:MOST_AGENTS]
        found = await self._stored.find_callable(principal, wanted) if wanted else {}
        return [
            {
                "kind": "agent",
                "assistant_id": str(each),
                "name": found[each].name if each in found else None,
                "description": found[each].description if each in found else None,
            }
            for each in wanted
        ]


def _agent_of(found: ResolvedAssistant) -> AgentConfig:
    try:
        return agent_config(found.config)
    except ConfigurationInvalid as invalid:
        raise Unservable(invalid.detail, field=invalid.field) from None


def _credential(found: FoundCredential) -> ServerCredential | MissingCredential:
    if found.why is not None:
        return MissingCredential(found.why)
    return ServerCredential(found.value, found.header)
