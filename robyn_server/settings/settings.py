"""All settings of the server, in groups."""

from __future__ import annotations

from pydantic import model_validator
from pydantic_settings import SettingsConfigDict

from robyn_server.core.egress.allow_list import read_allow_list
from robyn_server.core.egress.policy import EgressLevel, EgressPolicy
from robyn_server.core.queue.limits import PendingLimits
from robyn_server.core.urls.hosts import LOOPBACK, local_host

from .agent_sync import AgentSyncSettings
from .database import DatabaseSettings
from .graphs import GraphSettings
from .processes.logs import LogSettings
from .processes.proxy import ProxySettings
from .processes.queue import PENDING_OF_ORGANIZATION, PENDING_OF_OWNER, QueueSettings
from .processes.sockets import SocketSettings
from .processes.web import WebSettings
from .processes.worker import WorkerSettings
from .redis import RedisSettings
from .registry import RegistrySettings
from .security.audit import AuditSettings
from .security.credentials import CredentialSettings
from .security.egress import EgressSettings
from .security.identity import AuthMode, IdentitySettings
from .threads import ThreadSettings


def _limit(given: int | None, default: int) -> int | None:
    return default if given is None else given or None


class Settings(  # the fields of the last base come first
    LogSettings,
    IdentitySettings,
    CredentialSettings,
    AgentSyncSettings,
    EgressSettings,
    GraphSettings,
    ThreadSettings,
    AuditSettings,
    RedisSettings,
    QueueSettings,
    WorkerSettings,
    RegistrySettings,
    SocketSettings,
    ProxySettings,
    WebSettings,
    DatabaseSettings,
):
    """Read once, in the composition root, and handed on in arguments. Nothing else reads the environment."""

    model_config = SettingsConfigDict(env_file=None, extra="ignore", frozen=True, populate_by_name=True)

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.auth_mode is not AuthMode.NONE and (self.dev_tenant is not None or self.dev_key is not None):
            raise ValueError("AGENTHALL_DEV_TENANT and AGENTHALL_DEV_KEY are for AUTH_MODE=none only")
        if self.auth_mode is AuthMode.JWT:
            self._check_tokens()
            return self
        for name, given in (("AUTH_JWKS_URL", self.jwks_url), ("AUTH_MEMBERSHIP_QUERY", self.membership_query)):
            if given is not None:
                raise ValueError(f"{name} is for tokens: it needs AUTH_MODE=jwt")
        if self.auth_mode is AuthMode.NONE:
            self._check_local()
        return self

    def _check_local(self) -> None:
        """Behind a proxy every request comes from loopback, so the address says nothing about who asks."""
        if self.host not in LOOPBACK:
            raise ValueError(f"AUTH_MODE=none serves loopback only, not {self.host}; set AUTH_MODE=keys or jwt")
        if self.behind_proxy:
            raise ValueError("AUTH_MODE=none serves this machine only, not a proxy; set AUTH_MODE=keys or jwt")

    @property
    def egress_policy(self) -> EgressPolicy:
        """Where there are no users, all callers are on this machine, and can reach it without the server."""
        has_users = self.auth_mode is not AuthMode.NONE or self.auth_handlers is not None
        default = EgressLevel.PUBLIC if has_users else EgressLevel.LOOPBACK
        return EgressPolicy(self.egress_level or default, read_allow_list(self.egress_allow))

    @property
    def pending_limits(self) -> PendingLimits:
        """Unset limits are those of the documentation, or none if there is one user."""
        has_users = self.auth_mode is not AuthMode.NONE or self.auth_handlers is not None
        if not has_users:
            return PendingLimits(self.pending_of_owner or None, self.pending_of_organization or None)
        return PendingLimits(
            _limit(self.pending_of_owner, PENDING_OF_OWNER),
            _limit(self.pending_of_organization, PENDING_OF_ORGANIZATION),
        )

    @property
    def oauth_redirect_uri(self) -> str:
        """Where authorization servers send users back to."""
        base = self.public_url or f"http://{local_host(self.host)}:{self.port}"
        return self.connect_page or f"{base}/connections/callback"

    @property
    def sockets_address(self) -> str | None:
        """Where clients find the WebSockets; None where only the sockets process knows its port."""
        if self.sockets_url is not None or self.sockets_port == 0:
            return self.sockets_url
        return f"ws://{local_host(self.host)}:{self.sockets_port}/ws"
