"""Entries of the operator, and the credentials that runs get from them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from databases import open_pools

from robyn_server.core.errors import Invalid, NotFound
from robyn_server.core.mcp_credentials import CredentialEntry, CredentialKind
from robyn_server.credentials.caller_tokens import KeptTokens
from robyn_server.credentials.entries import CredentialEntries
from robyn_server.credentials.exchange import TokenExchange
from robyn_server.credentials.finder import CredentialFinder, RunUser
from robyn_server.credentials.keys import Keys
from robyn_server.credentials.oauth.authorizations import Authorizations
from robyn_server.credentials.oauth.clients import OAuthClients
from robyn_server.credentials.oauth.connections import Connections
from robyn_server.egress.clients import operator_client
from robyn_server.storage.mcp.connections import McpConnections
from robyn_server.storage.mcp.credentials import McpCredentials
from robyn_server.storage.mcp.run_credentials import RunCredentials

HARBOUR, MEADOW = UUID(int=1), UUID(int=2)
URL = "https://tools.example/mcp"
SECRET = "sk-unmistakable-1"


class Vault:
    """The operator's side and the workers' side on one database."""

    def __init__(self, pool: object, database: str, folder: Path) -> None:
        self.stored = McpCredentials(pool)  # type: ignore[arg-type]
        self.database = database
        self.keys = Keys(None, folder)
        self.connections = McpConnections(pool)  # type: ignore[arg-type]
        self.entries = CredentialEntries(self.stored, self.keys, self.connections)
        kept = KeptTokens(RunCredentials(pool), self.keys)  # type: ignore[arg-type]
        exchange = TokenExchange(lambda: operator_client(5))
        clients = OAuthClients(self.connections, self.keys, "http://127.0.0.1:9/connections/callback")
        authorizations = Authorizations(self.connections, self.keys, clients, lambda: operator_client(5), on_page=False)
        connections = Connections(self.connections, self.keys, authorizations, lambda: operator_client(5))
        self.finder = CredentialFinder(self.stored, self.keys, {"DATABASE_URL"}, kept, exchange, connections)

    async def put(
        self, kind: CredentialKind, secret: str = "", organization: UUID | None = None, **options: str
    ) -> None:
        await self.entries.put(CredentialEntry(organization, URL, kind, options), secret, "test")

    async def find(self, organization: UUID | None = HARBOUR, url: str = URL) -> tuple[str, str] | str | None:
        """Header and value, the reason, or None without an entry."""
        found = (await self.finder.find(RunUser(UUID(int=9), "ada", organization), [url])).get(url)
        if found is None:
            return None
        return found.why or (found.header, found.value.get_secret_value())

    async def execute(self, sql: str) -> None:
        connection = await asyncpg.connect(self.database)
        await connection.execute(sql)
        await connection.close()


@pytest.fixture
async def vault(database: str, tmp_path: Path) -> AsyncIterator[Vault]:
    async with open_pools(database) as (_, system, _login):
        yield Vault(system, database, tmp_path)


async def test_a_stored_credential_is_found_and_the_table_does_not_have_it(vault: Vault):
    await vault.put(CredentialKind.STORED, SECRET)
    assert await vault.find() == ("Authorization", f"Bearer {SECRET}")
    (stored,) = await vault.entries.list()
    assert SECRET.encode() not in stored.sealed and SECRET not in repr(stored)


async def test_a_server_without_an_entry_has_none(vault: Vault):
    await vault.put(CredentialKind.STORED, SECRET)
    assert await vault.find(url="https://tools.example/other") is None
    assert await vault.find(url="http://tools.example/mcp") is None
    assert await vault.find(url="stdio://sh") is None


async def test_a_credential_of_an_organization_is_not_used_by_another(vault: Vault):
    await vault.put(CredentialKind.STORED, SECRET, HARBOUR)
    assert await vault.find(MEADOW) is None
    assert await vault.find(None) is None
    assert await vault.find(HARBOUR) == ("Authorization", f"Bearer {SECRET}")


async def test_a_variable_is_read_when_it_is_used(vault: Vault, monkeypatch: pytest.MonkeyPatch):
    await vault.put(CredentialKind.ENV, name="TOOLS_KEY", header="X-Api-Key")
    assert await vault.find() == "the variable TOOLS_KEY of its credential is not set"
    monkeypatch.setenv("TOOLS_KEY", SECRET)
    assert await vault.find() == ("X-Api-Key", SECRET)


async def test_a_setting_of_the_server_is_given_to_nobody(vault: Vault, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", SECRET)
    await vault.put(CredentialKind.ENV, name="DATABASE_URL")
    assert SECRET not in str(await vault.find()) and "setting of this server" in str(await vault.find())


async def test_a_file_is_read_at_each_use(vault: Vault, tmp_path: Path):
    path = tmp_path / "token"
    await vault.put(CredentialKind.FILE, path=str(path))
    assert await vault.find() == f"the file {path} of its credential cannot be read"
    for text in ("one", "two"):
        path.write_text(f"{text}\n")
        assert await vault.find() == ("Authorization", f"Bearer {text}")


async def test_the_file_of_keys_is_no_credential(vault: Vault):
    await vault.put(CredentialKind.FILE, path=str(vault.keys.path))
    assert "that of the server's keys" in str(await vault.find())


@pytest.mark.parametrize("text", ["two\nlines", "é", "x" * 20_000, "tab\tbed"])
async def test_a_file_that_is_no_header_is_not_sent(vault: Vault, tmp_path: Path, text: str):
    path = tmp_path / "token"
    path.write_text(text)
    await vault.put(CredentialKind.FILE, path=str(path))
    assert "cannot be a header" in str(await vault.find())


@pytest.mark.parametrize(
    "edit",
    [
        "url = 'https://attacker.example/mcp'",
        "organization_id = '00000000-0000-0000-0000-000000000001'",
        'kind = \'env\', options = \'{"name":"PATH","header":"Authorization","scheme":""}\'',
        "options = replace(options, 'Authorization', 'X-Leak')",
    ],
)
async def test_an_entry_that_was_edited_without_the_key_gives_nothing(vault: Vault, edit: str):
    await vault.put(CredentialKind.STORED, SECRET)
    await vault.execute(f"update agenthall.mcp_credentials set {edit}")
    for url in (URL, "https://attacker.example/mcp"):
        assert await vault.find(url=url) in (None, "its credential cannot be decrypted; the server's log says why")


async def test_a_rotation_encrypts_with_the_new_key_and_the_old_one_is_not_needed(vault: Vault):
    await vault.put(CredentialKind.STORED, SECRET)
    await vault.put(CredentialKind.STORED, SECRET, MEADOW)
    done = await vault.entries.rotate(new_key=True)
    assert (done.changed, done.unreadable) == (2, ())
    assert (await vault.entries.rotate(new_key=False)).changed == 0
    newest = vault.keys.path.read_text().splitlines()[0]
    vault.keys.path.write_text(newest)
    assert await Vault.find(_reopened(vault)) == ("Authorization", f"Bearer {SECRET}")


async def test_a_rotation_names_what_no_key_opens(vault: Vault):
    await vault.put(CredentialKind.STORED, SECRET)
    vault.keys.path.unlink()
    assert (await _reopened(vault).entries.rotate(new_key=False)).unreadable == (URL,)


async def test_a_second_put_replaces_and_a_delete_removes(vault: Vault):
    await vault.put(CredentialKind.STORED, "first")
    await vault.put(CredentialKind.STORED, "second")
    assert await vault.find() == ("Authorization", "Bearer second")
    await vault.entries.delete("https://TOOLS.example", None)
    assert await vault.find() is None
    with pytest.raises(NotFound):
        await vault.entries.delete(URL, None)


@pytest.mark.parametrize(
    ("kind", "secret", "options", "field"),
    [
        (CredentialKind.STORED, "", {}, "secret"),
        (CredentialKind.ENV, "x", {"name": "A"}, "secret"),
        (CredentialKind.ENV, "", {"name": "A B"}, "env"),
        (CredentialKind.FILE, "", {"path": "relative"}, "file"),
        (CredentialKind.STORED, "x", {"header": "Host"}, "header"),
        (CredentialKind.STORED, "x", {"header": "A: B"}, "header"),
        (CredentialKind.STORED, "x", {"scheme": "a b"}, "scheme"),
    ],
)
async def test_an_entry_that_cannot_work_is_refused(
    vault: Vault, kind: CredentialKind, secret: str, options: dict[str, str], field: str
):
    with pytest.raises(Invalid) as refused:
        await vault.put(kind, secret, **options)
    assert refused.value.field == field


async def test_many_entries_are_listed_in_order(vault: Vault):
    for number in range(7):
        entry = CredentialEntry(UUID(int=number + 1), URL, CredentialKind.STORED, {})
        await vault.entries.put(entry, SECRET, "test")
    listed = [each.entry.organization_id async for each in _small_pages(vault).walk()]
    assert listed == [UUID(int=number + 1) for number in range(7)]


def _reopened(vault: Vault) -> Vault:
    return Vault(vault.stored._pool, vault.database, vault.keys.path.parent)


def _small_pages(vault: Vault) -> McpCredentials:
    made = McpCredentials(vault.stored._pool)
    made.page = 3
    return made


async def test_members_connect_to_servers_of_their_organization_and_of_all(vault: Vault) -> None:
    async def put(kind: CredentialKind, name: str, organization: UUID | None) -> None:
        url = f"https://{name}.example/mcp"
        secret = "" if kind is CredentialKind.CONNECTION else SECRET
        await vault.entries.put(CredentialEntry(organization, url, kind, {}), secret, "test")

    async def seen(organization: UUID | None) -> list[str]:
        found = await vault.stored.find_connectable(organization, None, 10)
        return [each.entry.url.removeprefix("https://").partition(".")[0] for each in found]

    await put(CredentialKind.CONNECTION, "all", None)
    await put(CredentialKind.CONNECTION, "hidden-in-harbour", None)
    await put(CredentialKind.STORED, "hidden-in-harbour", HARBOUR)
    await put(CredentialKind.CONNECTION, "of-harbour", HARBOUR)
    await put(CredentialKind.CONNECTION, "of-meadow", MEADOW)
    await put(CredentialKind.STORED, "of-nobody", None)
    assert await seen(HARBOUR) == ["all", "of-harbour"]
    assert await seen(MEADOW) == ["all", "hidden-in-harbour", "of-meadow"]
    assert await seen(None) == ["all", "hidden-in-harbour"]
    assert await vault.stored.find_connectable(HARBOUR, "https://of-meadow.example/mcp", 10) == []
    assert len(await vault.stored.find_connectable(MEADOW, None, 2)) == 2
