"""An agent with a server that its user has to connect to first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from remote.guarded_mcp import GuardedMcp, digest

from tools_agent.agent import graph
from tools_agent.configuration import MCPServerConfig
from tools_agent.credentials import Credentials, MissingCredential, ServerCredential, set_credential_host
from tools_agent.utils.token import fetch_tokens

LOGIN = "https://login.example/authorize?state=s"
ASK = {"messages": [{"role": "user", "content": "use the tool fingerprint {}"}]}


class Host:
    """A CredentialHost: the user has to connect to every server, until there is a token."""

    def __init__(self) -> None:
        self.token: str | None = None

    async def find(self, servers: Sequence[MCPServerConfig], config: Any) -> Credentials:
        missing = MissingCredential("the user has not connected it", LOGIN)
        found = missing if self.token is None else ServerCredential.bearer(self.token)
        return {each.url: found for each in servers}


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    set_credential_host(made)
    yield made
    set_credential_host(None)


@pytest.fixture
def server() -> Iterator[GuardedMcp]:
    running = GuardedMcp()
    yield running
    running.close()


class Conversation:
    """Each run builds the agent again, as the server does."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = {**config, "configurable": {**config["configurable"], "thread_id": "t"}}
        self.saver = InMemorySaver()

    async def run(self, given: Any) -> dict[str, Any]:
        agent = (await graph(self.config)).copy({"checkpointer": self.saver})
        return dict(await agent.ainvoke(given, self.config))


async def test_the_run_is_interrupted_with_the_url_and_goes_on_with_the_tools(
    configure, host: Host, server: GuardedMcp
):
    conversation = Conversation(configure(("vault", server.url)))
    [asked] = (await conversation.run(ASK))["__interrupt__"]
    assert asked.value["kind"] == "mcp_connection_required"
    assert asked.value["connections"] == [{"server": "vault", "url": server.url, "authorization_url": LOGIN}]
    host.token = "made-by-the-user"
    values = await conversation.run(Command(resume=True))
    assert [message.type for message in values["messages"]] == ["human", "ai", "tool", "ai"]
    assert digest("Bearer made-by-the-user") in values["messages"][2].content


async def test_a_run_that_is_resumed_without_a_connection_answers_without_the_server(
    configure, host: Host, server: GuardedMcp
):
    conversation = Conversation(configure(("vault", server.url)))
    await conversation.run(ASK)
    values = await conversation.run(Command(resume=False))
    assert "__interrupt__" not in values and [message.type for message in values["messages"]] == ["human", "ai"]
    assert "the user has not connected it" in values["messages"][-1].content


async def test_the_next_turn_asks_again(configure, host: Host, server: GuardedMcp):
    conversation = Conversation(configure(("vault", server.url)))
    await conversation.run(ASK)
    await conversation.run(Command(resume=False))
    assert "__interrupt__" in await conversation.run(ASK)


async def test_a_run_without_checkpoints_is_not_interrupted_and_names_the_server(
    configure, host: Host, server: GuardedMcp
):
    config = configure(("vault", server.url))
    agent = await graph(config)
    values = await agent.ainvoke(ASK, config)
    assert "__interrupt__" not in values
    assert "vault" in agent.notices[0]["detail"] and LOGIN not in repr(agent.notices)


async def test_the_url_is_in_no_prompt(configure, host: Host, server: GuardedMcp):
    conversation = Conversation(configure(("vault", server.url)))
    await conversation.run(ASK)
    values = await conversation.run(Command(resume=False))
    assert LOGIN not in repr(values)


async def test_fetch_tokens_returns_what_the_host_has(configure, host: Host):
    host.token = "made-by-the-user"
    tokens = await fetch_tokens(configure({"name": "vault", "url": "http://a/mcp", "auth_required": True}))
    assert tokens.first_url == "http://a/mcp"
    credential = tokens.credentials["http://a/mcp"]
    assert isinstance(credential, ServerCredential) and "made-by-the-user" not in repr(tokens)
