"""Credentials of MCP servers in a whole server: from the operator's entry and the caller's token to the tool's answer.

The tool answers with the digest of what it was sent, so that the answer itself is no leak.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import pytest
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from commands.command_line import agenthall
from databases import fresh_database
from remote.authorization_server import AuthorizationServer, authorization_server
from remote.guarded_mcp import GuardedMcp
from remote.kms_server import ALIAS, kms_server
from remote.otlp_receiver import OtlpReceiver
from secret_search import search_everything, shown
from servers.live_server import LiveServer, live_server, until
from users.demo_users import HARBOUR, MEADOW, SECRET, token

from contract.conftest import UserClient, UserClientFactory
from robyn_server.credentials.key_service import CONTEXT, PREFIX

STORED, OF_ENV, OF_FILE, OF_CLIENT = (f"credential-{name}-7f3a91" for name in ("stored", "env", "file", "client"))
TOOL = "use the tool fingerprint {}"


class Key(NamedTuple):
    """The key of the server, which AWS KMS encrypted. `environment`: of processes that have it."""

    environment: dict[str, str]
    plaintext: str


@pytest.fixture(scope="module")
def key() -> Iterator[Key]:
    with kms_server() as kms:
        made = agenthall("credentials", "new-key", "--aws-kms", ALIAS, **kms.environment).stdout.strip()
        sealed = {"CiphertextBlob": made.removeprefix(PREFIX), "EncryptionContext": CONTEXT}
        plaintext = kms.answer("Decrypt", sealed)["Plaintext"]
        yield Key({"AGENTHALL_SECRET_KEY": made, **kms.environment}, plaintext)


@pytest.fixture(scope="module")
def issuer() -> Iterator[AuthorizationServer]:
    with authorization_server(SECRET) as running:
        running.add_client("agenthall", OF_CLIENT)
        yield running


@pytest.fixture(scope="module")
def tools() -> Iterator[str]:
    running = GuardedMcp()
    yield running.url
    running.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("credentials")
    (made / "token").write_text(OF_FILE)
    return made


@pytest.fixture(scope="module")
async def product_server(
    postgres: str,
    template: str,
    tools: str,
    folder: Path,
    issuer: AuthorizationServer,
    traced: dict[str, str],
    key: Key,
) -> AsyncIterator[LiveServer]:
    async with fresh_database(postgres, template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        await connection.close()
        for arguments, secret in (
            (["?stored"], STORED),
            (["?env", "--env", "TOOLS_TOKEN"], ""),
            (["?file", "--file", str(folder / "token"), "--header", "X-Api-Key"], ""),
            (["?unset", "--env", "TOOLS_NOT_SET"], ""),
            (["?mine", "--tenant", HARBOUR], STORED),
            (["?passed", "--pass-through", "--audience", "tools", "--audience", "more-tools"], ""),
            (
                ["?changed", "--exchange", f"{issuer.url}/token", "--client-id", "agenthall", "--client-secret"],
                OF_CLIENT,
            ),
        ):
            put(url, key, tools + arguments[0], *arguments[1:], secret=secret)
        settings = {
            "AUTH_MODE": "jwt",
            "AUTH_JWT_SECRET": SECRET,
            "AGENT_SYNC_SCOPE": "all",
            **key.environment,
            "TOOLS_TOKEN": OF_ENV,
            "AGENTHALL_MCP_CONNECT_TIMEOUT": "60",
        }
        async with live_server(url, **settings, **traced) as running:
            yield running


def put(database: str, key: Key, url: str, *options: str, secret: str) -> None:
    done = agenthall(
        "credentials",
        "put",
        url,
        *options,
        given=f"{secret}\n" if secret else None,
        DATABASE_URL=database,
        **key.environment,
    )
    assert done.returncode == 0, done.stderr
    assert not secret or secret not in done.stdout + done.stderr


class Told:
    """All that clients were told, for the search at the end."""

    def __init__(self) -> None:
        self.parts: list[str] = []


@pytest.fixture(scope="module")
def told() -> Told:
    return Told()


async def ask(user: UserClient, agent_id: str, told: Told, text: str = TOOL) -> tuple[str, list[str]]:
    """The text of the last tool message, and the notices of the run."""
    thread = (await user.sdk.threads.create())["thread_id"]
    answer = ""
    modes: Any = ["values", "messages-tuple", "updates", "debug", "custom", "events"]
    async for part in user.sdk.runs.stream(
        thread, agent_id, input={"messages": [{"role": "user", "content": text}]}, stream_mode=modes
    ):
        told.parts.append(shown(part))
        if part.event == "values":
            answer = next((m["content"] for m in reversed(part.data["messages"]) if m["type"] == "tool"), "")
    [run] = await user.sdk.runs.list(thread)
    assert run["status"] == "success", run
    told.parts += [repr(run), repr(await user.sdk.threads.get_state(thread))]
    return answer, [each["detail"] for each in run["metadata"].get("agenthall_notices", [])]


def says(sent: str) -> str:
    return f"credential {hashlib.sha256(sent.encode()).hexdigest()} "


@pytest.fixture
async def agent(catalogue_writer: CatalogueWriter, tools: str) -> Any:
    """`agent(query)` adds an agent whose server is the one with that query."""

    async def add(query: str, **columns: Any) -> str:
        agent_id = await catalogue_writer.add_agent(**columns)
        await catalogue_writer.add_tool(UUID(agent_id), tools + query, "fingerprint", auth_required=True)
        return agent_id

    return add


@pytest.mark.parametrize(
    ("query", "sent"),
    [("?stored", f"Bearer {STORED}"), ("?env", f"Bearer {OF_ENV}"), ("?file", OF_FILE), ("?mine", f"Bearer {STORED}")],
)
async def test_the_tool_gets_the_credential_of_the_operator(
    anna: UserClient, agent: Any, told: Told, query: str, sent: str
) -> None:
    answer, notices = await ask(anna, await agent(query, organization_id=HARBOUR), told)
    assert answer.startswith(says(sent)) and notices == []


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("?unset", "the variable TOOLS_NOT_SET of its credential is not set"),
        ("?nothing", "it needs a credential, and this server has none for it"),
        ("?passed", "the token of the caller is for none of the audiences that may be passed to it"),
    ],
)
async def test_the_agent_answers_without_a_server_whose_credential_is_missing_and_says_which(
    anna: UserClient, agent: Any, told: Told, tools: str, query: str, why: str
) -> None:
    answer, notices = await ask(anna, await agent(query, organization_id=HARBOUR), told, "hello")
    assert answer == ""
    assert notices == [f"MCP server server-1 ({tools}) is unavailable: {why}"]


async def test_a_credential_of_one_organization_is_not_used_by_another(
    user: UserClientFactory, agent: Any, told: Told
) -> None:
    _, notices = await ask(user("mia", MEADOW), await agent("?mine", organization_id=MEADOW), told, "hello")
    assert notices[0].endswith("it needs a credential, and this server has none for it")


@pytest.mark.parametrize("audience", ["tools", ["other", "more-tools"]])
async def test_the_callers_token_is_passed_to_an_allowed_audience(
    product_server: LiveServer, agent: Any, told: Told, audience: Any
) -> None:
    text = token("ada", HARBOUR, aud=audience)
    async with client_with(product_server, text) as ada:
        answer, notices = await ask(ada, await agent("?passed", organization_id=HARBOUR), told)
    assert answer.startswith(says(f"Bearer {text}")) and notices == []


async def test_the_callers_token_is_exchanged_once_and_kept_for_this_user_alone(
    product_server: LiveServer, agent: Any, told: Told, issuer: AuthorizationServer
) -> None:
    agent_id = await agent("?changed", organization_id=HARBOUR)
    before = len(issuer.secrets)
    async with (
        client_with(product_server, token("ada", HARBOUR)) as ada,
        client_with(product_server, token("bo", HARBOUR)) as bo,
    ):
        answers = [await ask(user, agent_id, told) for user in (ada, ada, bo)]
    issued = issuer.secrets[before:]
    assert len(issued) == 2 and issuer.refusals == []
    assert [answer.split(" session ")[0] for answer, _ in answers] == [
        says(f"Bearer {issued[at]}").strip() for at in (0, 0, 1)
    ]
    assert len({answer for answer, _ in answers}) == 2, "two users share no session"


async def test_two_users_share_no_session_where_the_credential_is_the_operators(
    user: UserClientFactory, agent: Any, told: Told
) -> None:
    agent_id = await agent("?stored", organization_id=HARBOUR)
    answers = [(await ask(user(name, HARBOUR), agent_id, told))[0] for name in ("ada", "bo", "ada")]
    assert all(answer.startswith(says(f"Bearer {STORED}")) for answer in answers)
    assert answers[0] == answers[2] != answers[1]


async def test_the_token_is_there_for_the_run_alone(
    product_server: LiveServer, product_database: asyncpg.Connection[Any], agent: Any
) -> None:
    """A run that waits for its time has the encrypted token, and none once it is over."""
    text = token("ada", HARBOUR, aud="tools")
    async with client_with(product_server, text) as ada:
        thread = (await ada.sdk.threads.create())["thread_id"]
        words = {"messages": [{"role": "user", "content": "hello"}]}
        agent_id = await agent("?passed", organization_id=HARBOUR)
        run = await ada.sdk.runs.create(thread, agent_id, input=words, after_seconds=3600)
        sealed = await product_database.fetchval(_SEALED, UUID(run["run_id"]))
        assert sealed is not None and text.encode() not in sealed
        await ada.sdk.runs.cancel(thread, run["run_id"])

        async def is_gone() -> bool:
            return await product_database.fetchval(_SEALED, UUID(run["run_id"])) is None

        await until(is_gone)
        assert (await ada.sdk.runs.get(thread, run["run_id"]))["status"] == "interrupted"


async def test_a_run_that_needs_no_token_keeps_none(
    product_server: LiveServer, product_database: asyncpg.Connection[Any], agent: Any
) -> None:
    async with client_with(product_server, token("ada", HARBOUR)) as ada:
        thread = (await ada.sdk.threads.create())["thread_id"]
        words = {"messages": [{"role": "user", "content": "hello"}]}
        agent_id = await agent("?stored", organization_id=HARBOUR)
        run = await ada.sdk.runs.create(thread, agent_id, input=words, after_seconds=3600)
        assert await product_database.fetchval(_SEALED, UUID(run["run_id"])) is None
        await ada.sdk.runs.cancel(thread, run["run_id"])


async def test_no_secret_is_anywhere(
    product_server: LiveServer,
    agent: Any,
    told: Told,
    issuer: AuthorizationServer,
    tools: str,
    receiver: OtlpReceiver,
    key: Key,
) -> None:
    """In all tables, logs, metrics, streams and traces after a conversation in each mode."""
    passed, changed = token("ada", HARBOUR, aud="tools"), token("ada", HARBOUR)
    for query, text in (
        ("?stored", changed),
        ("?env", changed),
        ("?file", changed),
        ("?passed", passed),
        ("?changed", changed),
    ):
        async with client_with(product_server, text) as ada:
            answer, notices = await ask(ada, await agent(query, organization_id=HARBOUR), told)
            assert answer and notices == []
    await until(lambda: len(receiver.find(name="execute_tool fingerprint")) >= 5)
    found = await search_everything(product_server, told.parts, receiver.texts())
    secrets = {STORED, OF_ENV, OF_FILE, OF_CLIENT, passed, changed, key.plaintext, SECRET, *issuer.secrets}
    assert len(secrets) >= 9
    assert {secret[:24]: places for secret in secrets if (places := found.places_of(secret))} == {}
    for place in ("table agenthall.runs", "table agenthall.mcp_credentials", "streamed", "traces"):
        assert tools.removeprefix("http://") in found.places[place], f"the search reads {place}"
    assert "fingerprint" in found.places["table langgraph.checkpoint_blobs"] or found.places_of("fingerprint")


_SEALED = "select sealed from agenthall.run_credentials where run_id = $1"


@contextlib.asynccontextmanager
async def client_with(server: LiveServer, text: str) -> AsyncIterator[UserClient]:
    made = UserClient(server, {"authorization": f"Bearer {text}"})
    try:
        yield made
    finally:
        await made.http.aclose()
