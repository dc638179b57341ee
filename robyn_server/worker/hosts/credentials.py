"""The credentials of runs: the tools agent asks for them, and names its run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import structlog

from robyn_server.core.errors import Unavailable
from robyn_server.core.runs import ClaimedRun
from robyn_server.credentials.finder import CredentialFinder, FoundCredential, RunUser
from tools_agent.configuration import MCPServerConfig
from tools_agent.credentials import Credentials, MissingCredential, ServerCredential

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

_AWAY = "the database, which has its credential, does not answer"
_log = structlog.get_logger(__name__)


class RunCredentialHost:
    """The CredentialHost of a worker. A graph that is built outside a run finds nothing."""

    def __init__(self, finder: CredentialFinder) -> None:
        self._finder = finder
        self._users: dict[str, RunUser] = {}

    @contextlib.contextmanager
    def of(self, run: ClaimedRun) -> Iterator[None]:
        """Within the block the run has credentials."""
        user = self._users[str(run.run_id)] = RunUser(run.run_id, run.owner_id, run.organization_id)
        try:
            yield
        finally:
            if self._users.get(str(run.run_id)) is user:  # else a later attempt has begun
                del self._users[str(run.run_id)]

    async def find(self, servers: Sequence[MCPServerConfig], config: RunnableConfig) -> Credentials:
        user = self._users.get(str((config.get("configurable") or {}).get("run_id")))
        if user is None:
            return {}
        urls = [each.url for each in servers]
        try:
            found = await self._finder.find(user, urls)
        except Unavailable as error:
            _log.warning("credentials cannot be read", reason=error.detail)
            return dict.fromkeys(urls, MissingCredential(_AWAY))
        return {url: _credential(each) for url, each in found.items()}


def _credential(found: FoundCredential) -> ServerCredential | MissingCredential:
    if found.why is not None:
        return MissingCredential(found.why, found.authorization_url)
    return ServerCredential(found.value, found.header)
