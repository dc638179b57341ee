"""Connections of users, against a strict authorization server: begun, completed, refreshed, revoked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import asyncpg
import httpx
import pytest
from databases import open_pools
from deadlines import DEADLINE
from remote.authorization_server import AuthorizationServer, authorization_server

from robyn_server.core.access.grants import Grants
from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.erasure import Subject, SubjectType
from robyn_server.core.errors import BadRequest, Forbidden, NotFound
from robyn_server.core.mcp_credentials import CredentialEntry, CredentialKind
from robyn_server.credentials.entries import CredentialEntries
from robyn_server.credentials.keys import Keys
from robyn_server.credentials.oauth.authorizations import AuthorizationAnswer, Authorizations
from robyn_server.credentials.oauth.clients import OAuthClients
from robyn_server.credentials.oauth.connections import Connections, NotConnected
from robyn_server.credentials.oauth.servers import ConnectableServers
from robyn_server.credentials.references import CredentialUnusable
from robyn_server.credentials.token_requests import TokenRefused
from robyn_server.egress.clients import operator_client
from robyn_server.services.connections import ConnectionService
from robyn_server.services.erasure import ErasureService
from robyn_server.storage.erasures import Erasures
from robyn_server.storage.mcp.connections import McpConnections, OwnConnections
from robyn_server.storage.mcp.credentials import McpCredentials

CALLBACK = "http://127.0.0.1:9/connections/callback"
ORGANIZATION = UUID(int=1)
ADA, MIA = Principal("ada", frozenset({ORGANIZATION})), Principal("mia", frozenset({ORGANIZATION}))


class Process:
    """The part of a web process or worker that makes connections."""

    def __init__(self, app: Any, system: Any, folder: Path, url: str, *, on_page: bool = False, **options: str) -> None:
        self.system = system
        self.stored, self.keys, self.entries = McpConnections(system), Keys(None, folder), McpCredentials(system)
        self.entry = CredentialEntry(None, url, CredentialKind.CONNECTION, options)
        clients = OAuthClients(self.stored, self.keys, CALLBACK)
        self.authorizations = Authorizations(
            self.stored, self.keys, clients, lambda: operator_client(DEADLINE), on_page=on_page
        )
        self.connections = Connections(self.stored, self.keys, self.authorizations, lambda: operator_client(DEADLINE))
        servers = ConnectableServers(self.entries, self.keys, self.authorizations)
        self.service = ConnectionService(OwnConnections(app), self.connections, self.authorizations, servers)

    async def token(self, owner: str = "ada", secret: str = "") -> str:
        return await self.connections.token(self.entry, secret, owner, ORGANIZATION)

    async def authorization_url(self, owner: str = "ada", secret: str = "") -> str:
        with pytest.raises(NotConnected) as missing:
            await self.token(owner, secret)
        return missing.value.url


@pytest.fixture(scope="module")
def running() -> Iterator[AuthorizationServer]:
    with authorization_server("unused secret of subjects that is long enough") as server:
        yield server


@pytest.fixture
def issuer(running: AuthorizationServer) -> Iterator[AuthorizationServer]:
    running.lifetime, running.user, running.registers = 3600, "user-at-the-server", True
    running.refusals.clear()
    running.counts.clear()
    running.refreshes.clear()
    running.changed.clear()
    yield running
    running.changed.clear()


@pytest.fixture
async def make(database: str, tmp_path: Path, issuer: AuthorizationServer) -> AsyncIterator[Any]:
    """`make()`: another process of the same server."""
    async with open_pools(database) as (app, system, _login):
        yield lambda **options: Process(app, system, tmp_path, f"{issuer.url}/mcp", **options)


async def approve(url: str) -> AuthorizationAnswer:
    """Open the URL as the user's browser does. Return the parameters with which the browser is sent back."""
    async with httpx.AsyncClient(timeout=DEADLINE) as browser:
        answer = await browser.get(url)
    assert answer.status_code == 302, answer.text
    location = answer.headers["location"]
    assert location.startswith(f"{CALLBACK}?")
    given = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
    return AuthorizationAnswer(given["state"], given.get("code"), given.get("error"), given.get("iss"))


async def connect(process: Process, owner: str = "ada") -> None:
    await process.service.complete(await approve(await process.authorization_url(owner)), None)


async def test_a_user_connects_once_and_every_process_has_the_token(make: Any, issuer: AuthorizationServer):
    worker, web, other = make(), make(), make()
    url = await worker.authorization_url()
    asked = parse_qs(urlsplit(url).query)
    assert (asked["code_challenge_method"], asked["resource"], asked["scope"]) == (
        ["S256"],
        [f"{issuer.url}/mcp"],
        ["tools"],
    )
    done = await web.service.complete(await approve(url), None)
    assert (done.owner_id, done.url) == ("ada", f"{issuer.url}/mcp")
    assert await worker.token() == await other.token() in issuer.secrets
    assert issuer.refusals == [] and issuer.counts == {"register": 1, "authorization_code": 1}


async def test_the_token_of_one_user_is_not_given_to_another_or_to_another_organization(make: Any):
    process = make()
    await connect(process)
    assert await process.token("ada")
    await process.authorization_url("mia")
    with pytest.raises(NotConnected):
        await process.connections.token(process.entry, "", "ada", UUID(int=2))


async def test_the_server_registers_itself_once(make: Any, issuer: AuthorizationServer):
    await asyncio.gather(*(make().authorization_url(f"user-{number}") for number in range(4)))
    first = issuer.counts["register"]
    clients = {parse_qs(urlsplit(await make().authorization_url(f"u{n}")).query)["client_id"][0] for n in range(3)}
    assert len(clients) == 1 and issuer.counts["register"] == first


async def test_a_client_of_the_operator_is_used_where_there_is_one(make: Any, issuer: AuthorizationServer):
    issuer.registers = False
    issuer.add_client("operators-client", "secret:with%chars", CALLBACK)
    process = make(client_id="operators-client", scope="narrow")
    url = await process.authorization_url(secret="secret:with%chars")
    assert parse_qs(urlsplit(url).query)["scope"] == ["narrow"]
    await process.service.complete(await approve(url), None)
    assert await process.token(secret="secret:with%chars") in issuer.secrets and issuer.refusals == []


async def test_without_registration_and_client_the_reason_is_told(make: Any, issuer: AuthorizationServer):
    issuer.registers = False
    with pytest.raises(CredentialUnusable, match="client id"):
        await make().token()


async def test_a_state_is_used_once(make: Any):
    process = make()
    answer = await approve(await process.authorization_url())
    await process.service.complete(answer, None)
    with pytest.raises(BadRequest) as refused:
        await process.service.complete(answer, None)
    assert refused.value.code == "authorization_invalid"


async def test_a_state_that_is_older_than_its_time_is_refused(make: Any, database: str):
    process = make()
    answer = await approve(await process.authorization_url())
    await execute(database, "update agenthall.mcp_authorizations set expires_at = now() - interval '1 second'")
    with pytest.raises(BadRequest) as refused:
        await process.service.complete(answer, None)
    assert refused.value.code == "authorization_invalid"
    await process.authorization_url("mia")
    assert await count(database, "mcp_authorizations") == 1, "expired ones are deleted"


async def test_another_users_credentials_do_not_complete_a_connection(make: Any):
    process = make()
    with pytest.raises(Forbidden):
        await process.service.complete(await approve(await process.authorization_url("ada")), MIA)
    await process.authorization_url("mia")
    await process.authorization_url("ada")


async def test_with_a_page_of_the_product_only_the_user_completes_a_connection(make: Any):
    process = make(on_page=True)
    answer = await approve(await process.authorization_url("ada"))
    with pytest.raises(Forbidden) as refused:
        await process.service.complete(answer, None)
    assert refused.value.code == "user_required"
    await process.service.complete(answer, ADA)
    assert await process.token("ada")


async def test_a_user_who_declines_is_not_connected(make: Any, issuer: AuthorizationServer):
    process = make()
    issuer.user = None
    with pytest.raises(BadRequest) as refused:
        await process.service.complete(await approve(await process.authorization_url()), None)
    assert refused.value.code == "authorization_denied"
    await process.authorization_url()


@pytest.mark.parametrize("iss", ["https://attacker.example", None])
async def test_an_answer_of_another_issuer_is_refused(make: Any, iss: str | None, issuer: AuthorizationServer):
    process = make()
    answer = await approve(await process.authorization_url())
    with pytest.raises(BadRequest) as refused:
        await process.service.complete(AuthorizationAnswer(answer.state, answer.code, None, iss), None)
    assert refused.value.code == "issuer_mismatch" and "authorization_code" not in issuer.counts


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"issuer": "https://attacker.example"}, "another issuer"),
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        ({"code_challenge_methods_supported": None}, "PKCE"),
        ({"token_endpoint": "http://attacker.example/token"}, "without TLS"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "without TLS"),
        ({"authorization_endpoint": None}, "authorization_endpoint"),
        ({"resource": "https://other.example/mcp"}, "another resource"),
        ({"authorization_servers": []}, "no authorization server"),
        ({"authorization_servers": ["file:///etc/passwd"]}, "without TLS"),
    ],
)
async def test_metadata_that_is_not_as_it_must_be_is_refused(
    make: Any, issuer: AuthorizationServer, changed: dict[str, Any], why: str
):
    issuer.changed.update(changed)
    with pytest.raises(CredentialUnusable, match=why):
        await make().token()


async def test_an_expired_token_is_refreshed_by_one_of_many_processes(make: Any, issuer: AuthorizationServer):
    issuer.lifetime = 1  # less than what a run needs, so that it counts as expired
    await connect(make())
    issuer.lifetime = 3600
    tokens = await asyncio.gather(*(make().token() for _ in range(6)))
    assert len(set(tokens)) == 1 and tokens[0] in issuer.secrets
    assert issuer.counts["refresh_token"] == 1 and issuer.refusals == []
    assert await make().token() == tokens[0]


async def test_a_refresh_of_a_process_that_died_is_done_by_another_after_its_lease(
    make: Any, issuer: AuthorizationServer, database: str
):
    issuer.lifetime = 1
    process = make()
    await connect(process)
    issuer.lifetime = 3600
    await execute(database, "update agenthall.mcp_connections set refreshing_until = now() + interval '1 second'")
    assert await process.token() in issuer.secrets
    assert issuer.counts["refresh_token"] == 1


async def test_a_refresh_token_that_is_refused_makes_the_user_connect_again(
    make: Any, issuer: AuthorizationServer, database: str
):
    issuer.lifetime = 1
    process = make()
    await connect(process)
    issuer.refreshes.clear()
    await process.authorization_url()
    assert await count(database, "mcp_connections") == 0


async def test_an_authorization_server_that_is_away_costs_no_connection(
    make: Any, issuer: AuthorizationServer, database: str
):
    issuer.lifetime = 1
    process = make()
    await connect(process)
    away = Connections(
        process.stored, process.keys, process.authorizations, lambda: httpx.AsyncClient(transport=_Away())
    )
    with pytest.raises(TokenRefused, match="cannot be reached"):
        await away.token(process.entry, "", "ada", ORGANIZATION)
    assert await count(database, "mcp_connections") == 1
    issuer.lifetime = 3600
    assert await process.token() in issuer.secrets


async def test_a_connection_is_listed_without_tokens_and_deleted_with_them(make: Any, issuer: AuthorizationServer):
    process = make()
    await connect(process)
    [listed] = await process.service.list(ADA)
    assert (listed.url, listed.scope, listed.issuer) == (f"{issuer.url}/mcp", "tools", issuer.url)
    assert not any(secret in repr(listed) for secret in issuer.secrets)
    assert await process.service.list(MIA) == ()
    with pytest.raises(NotFound):
        await process.service.delete(MIA, listed.connection_id)
    await process.service.delete(ADA, listed.connection_id)
    assert issuer.counts["revoke"] == 2 and issuer.refreshes == {} and issuer.refusals == []
    assert await process.service.list(ADA) == ()
    await process.authorization_url()


@pytest.mark.parametrize("subject", [Subject.user("ada"), Subject.organization(ORGANIZATION)])
async def test_an_erasure_revokes_connections_at_their_servers(
    make: Any, issuer: AuthorizationServer, database: str, subject: Subject
):
    process = make()
    await connect(process, "ada")
    await connect(process, "mia")
    erasure = ErasureService(Erasures(process.system), revoke=process.connections.revoke)
    erased = await erasure.erase(LOCAL, subject)
    users = 1 if subject.type is SubjectType.USER else 2
    assert erased["agenthall.mcp_connections"] == users and issuer.counts["revoke"] == 2 * users
    assert len(issuer.refreshes) == 2 - users == await count(database, "mcp_connections")


async def test_an_erasure_goes_on_without_an_authorization_server(make: Any, database: str):
    process = make()
    await connect(process)
    away = Connections(
        process.stored, process.keys, process.authorizations, lambda: httpx.AsyncClient(transport=_Away())
    )
    subject = Subject.user("ada")
    assert await ErasureService(Erasures(process.system), revoke=away.revoke).erase(LOCAL, subject)
    assert await count(database, "mcp_connections") == 0


async def test_a_user_of_a_projects_handlers_has_connections_too(make: Any):
    process = make()
    await connect(process, "ada")
    granted = Principal("ada", grants=Grants())
    [listed] = await process.service.list(granted)
    await process.service.delete(granted, listed.connection_id)
    assert await process.service.list(ADA) == ()


async def test_an_administrator_has_no_connections_of_others(make: Any):
    process = make()
    await connect(process, "ada")
    root = Principal("root", None, frozenset({"admin"}))
    assert await process.service.list(root) == ()


async def test_a_rotation_encrypts_connections_and_clients_too(make: Any):
    process = make()
    await connect(process)
    entries = CredentialEntries(process.entries, process.keys, process.stored)
    assert (await entries.rotate(new_key=True)).changed == 2
    process.keys.path.write_text(process.keys.path.read_text().splitlines()[0])
    again = make()
    assert await again.token()
    assert (await CredentialEntries(again.entries, again.keys, again.stored).rotate(new_key=False)).unreadable == ()


async def test_the_tables_have_no_secret(make: Any, issuer: AuthorizationServer, database: str):
    process = make()
    url = await process.authorization_url()
    answer = await approve(url)
    before = await dump(database)
    await process.service.complete(answer, None)
    text = before + await dump(database)
    for secret in (*issuer.secrets, answer.state):
        assert secret not in text and secret.encode().hex() not in text
    assert hashlib.sha256(answer.state.encode()).hexdigest() in before, "the search reads the tables"


class _Away(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("away", request=request)


async def execute(database: str, sql: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(sql)
    await connection.close()


async def count(database: str, table: str) -> int:
    connection = await asyncpg.connect(database)
    found: int = await connection.fetchval(f"select count(*) from agenthall.{table}")
    await connection.close()
    return found


async def dump(database: str) -> str:
    connection = await asyncpg.connect(database)
    tables = ("mcp_authorizations", "mcp_connections", "mcp_clients")
    rows = [row[0] for table in tables for row in await connection.fetch(f"select t::text from agenthall.{table} t")]
    await connection.close()
    return "\n".join(rows)
