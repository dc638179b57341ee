"""Bodies of /keys, and the representation of a key, without its secret."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field

from robyn_server.core.ids import parse_uuid
from robyn_server.core.json.bounded import Listed, Name
from robyn_server.identity.api_keys import DEFAULT_OVERLAP, MAX_OVERLAP, KeyRequest
from robyn_server.storage.api_keys import ApiKey
from robyn_server.web.http.parameters import Parameter

from .fields import Body

OrganizationId = Annotated[UUID, BeforeValidator(lambda value: parse_uuid(value, "organization ID"))]
AssistantId = Annotated[UUID, BeforeValidator(lambda value: parse_uuid(value, "assistant ID"))]
OverlapSeconds = Annotated[int, Field(ge=0, le=int(MAX_OVERLAP.total_seconds()), strict=True)]
Seconds = Annotated[int, Field(ge=1, le=10 * 366 * 86400, strict=True)]

DEFAULT_PAGE, LARGEST_PAGE = 100, 1000
KEYS = (
    Parameter("organization_id", "Keys of this organization alone."),
    Parameter("limit", "Keys on a page.", within=(1, LARGEST_PAGE), default=DEFAULT_PAGE),
    Parameter("offset", "How many of the newest keys to skip.", within=(0, 2**31 - 1), default=0),
)


class KeyBody(Body):
    """Unknown fields are refused: a misspelt `scopes` must not make an unlimited key."""

    model_config = ConfigDict(extra="forbid")

    organizations: Annotated[Listed[OrganizationId], Field(default_factory=list)]
    name: Name = ""
    scopes: Listed[Name] | None = None
    agents: Listed[Name] | None = None
    assistants: Listed[AssistantId] | None = None
    expires_in: Seconds | None = None
    identity: Name | None = None
    kind: Name = "service"

    def request(self) -> KeyRequest:
        return KeyRequest(
            frozenset(self.organizations),
            self.name,
            None if self.scopes is None else tuple(self.scopes),
            None if self.expires_in is None else timedelta(seconds=self.expires_in),
            self.identity,
            self.kind,
            None if self.agents is None else tuple(self.agents),
            None if self.assistants is None else tuple(self.assistants),
        )


class RotationBody(Body):
    """`overlap`: the seconds in which the old secret stays valid."""

    model_config = ConfigDict(extra="forbid")

    overlap: OverlapSeconds = int(DEFAULT_OVERLAP.total_seconds())


def rendered(key: ApiKey) -> dict[str, Any]:
    return {
        "prefix": key.prefix,
        "name": key.name,
        "status": key.status,
        "identity": key.identity,
        "kind": key.kind,
        "organizations": [str(each) for each in key.organizations],
        "scopes": key.scopes,
        "agents": key.agents,
        "assistants": None if key.assistants is None else [str(each) for each in key.assistants],
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "rotated_at": key.rotated_at,
        "previous_until": key.previous_until,
        "last_used_at": key.last_used_at,
    }
