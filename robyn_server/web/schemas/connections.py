"""Bodies and representations of /connections, and the page that a browser shows."""

from __future__ import annotations

from html import escape
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from robyn_server.core.mcp_credentials import MAX_URL_LENGTH
from robyn_server.credentials.oauth.authorizations import MAX_ANSWER, AuthorizationAnswer, Connected
from robyn_server.services.connections import Connectable
from robyn_server.storage.mcp.connections import OwnConnection

from .fields import Body

Text = Annotated[str, Field(max_length=MAX_ANSWER)]

_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Connected</title>'
    "<p>{user} is now connected to {url}.</p><p>You can close this page and continue the conversation.</p>"
    "<p>If {user} is not you, somebody else sent you here: remove the access in the settings of that service.</p></html>"
)


class ConnectBody(Body):
    """`url`: of the MCP server, as in GET /connections/servers."""

    url: Annotated[str, Field(min_length=1, max_length=MAX_URL_LENGTH)]


class CallbackBody(Body):
    """The parameters with which the authorization server sent the user back."""

    model_config = ConfigDict(extra="ignore")

    state: Text
    code: Text | None = None
    error: Text | None = None
    iss: Text | None = None

    def answer(self) -> AuthorizationAnswer:
        return AuthorizationAnswer(self.state, self.code, self.error, self.iss)


def rendered_server(server: Connectable) -> dict[str, Any]:
    organization = None if server.organization_id is None else str(server.organization_id)
    return {"url": server.url, "organization_id": organization, "is_connected": server.is_connected}


def rendered(connection: OwnConnection) -> dict[str, Any]:
    return {
        "connection_id": str(connection.connection_id),
        "url": connection.url,
        "organization_id": None if connection.organization_id is None else str(connection.organization_id),
        "issuer": connection.issuer,
        "scope": connection.scope,
        "expires_at": connection.expires_at,
        "created_at": connection.created_at,
        "updated_at": connection.updated_at,
    }


def page(connected: Connected) -> bytes:
    return _PAGE.format(user=escape(connected.owner_id), url=escape(connected.url)).encode()
