"""The TypeScript client as browsers load it: without headers, pings, files and signals.

Node runs the modules for browsers with the WebSocket that browsers have.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from databases import fresh_database
from network.faulty_proxy import WebSocketProxy
from node_client import NodeClient, NodeError
from registry_server import ORGANIZATION, OTHER_ORGANIZATION, RegistryServer
from servers.live_server import free_port, live_server, until
from servers.sockets_process import SocketsProcess

Start = Callable[..., Awaitable[NodeClient]]
BROWSER = ("--conditions=browser", "--experimental-websocket", "--no-warnings")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser has none, and must not read it."""
    monkeypatch.setenv("AGENTHALL_URL", "ftp://nowhere")


async def test_a_ticket_shows_the_credentials(server: RegistryServer, start: Start) -> None:
    me = await start("page", url=server.url, tenantId=ORGANIZATION, flags=BROWSER)
    await me.call("open")
    shown = await server.get_instance(await me.call("registrationId"))
    assert shown["tenant_id"] == ORGANIZATION and shown["instance_id"].startswith("browser-")
    await me.call("close")
    assert await me.stopped() == 0


async def test_the_first_message_shows_the_credentials_at_a_websocket_url(server: RegistryServer, start: Start) -> None:
    me = await start("page", tenantId=ORGANIZATION, flags=BROWSER)
    await me.call("open")
    assert (await server.get_instance(await me.call("registrationId")))["tenant_id"] == ORGANIZATION


@pytest.mark.parametrize("is_http", [True, False], ids=["ticket", "first message"])
async def test_bad_credentials_are_final_in_a_browser(server: RegistryServer, start: Start, is_http: bool) -> None:
    url = server.url if is_http else server.sockets_url
    for options, name in (
        ({"apiKey": "ahk_nonsense"}, "Unauthenticated"),
        ({"tenantId": OTHER_ORGANIZATION}, "Forbidden"),
    ):
        me = await start("nobody", url=url, flags=BROWSER, **options)
        with pytest.raises(NodeError) as failed:
            await me.call("open")
        assert failed.value.name == name


async def test_a_half_open_connection_of_a_browser_is_detected_and_replaced(
    start: Start, proxy: WebSocketProxy
) -> None:
    me = await start("page-half", url=proxy.url, flags=BROWSER)
    await me.call("open")
    proxy.freeze()
    await me.reached(2)
    assert proxy.accepted == 2


async def test_a_quiet_connection_of_a_browser_stays(start: Start, proxy: WebSocketProxy) -> None:
    client = await start(url=proxy.url, timing={"keepalive": 0.1}, flags=BROWSER)
    await client.call("open")
    sent = proxy.bytes_to_client
    await until(lambda: proxy.bytes_to_client > sent + 10 * len('{"type":5,"id":"ping"}'))
    assert proxy.accepted == 1 and client.find("warn") == []


async def test_sigterm_is_refused_in_a_browser(start: Start) -> None:
    me = await start("page", drainOnSigterm=True, flags=BROWSER)
    with pytest.raises(NodeError, match="no signals"):
        await me.call("open")


@pytest.fixture(scope="module")
async def open_server(postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The URL of a server that requires no credentials."""
    port = free_port()
    settings = {"AUTH_MODE": "none", "AGENTHALL_SOCKETS_PORT": str(port)}
    async with fresh_database(postgres, template) as database, live_server(database, workers=0, **settings) as live:
        sockets = SocketsProcess(live.environment, tmp_path_factory.mktemp("sockets") / "sockets.log", port)
        try:
            await sockets.ready()
            yield live.url
        finally:
            sockets.kill()
            sockets.popen.wait()


@pytest.mark.parametrize("flags", [BROWSER, ()], ids=["browser", "node"])
async def test_a_server_without_authentication_needs_no_credentials(
    open_server: str, start: Start, flags: tuple[str, ...]
) -> None:
    options = {"tenantId": ORGANIZATION}
    me = await start("page", url=open_server, apiKey=None, flags=flags, **options)
    await me.call("open")
    assert (await me.call("discover"))[0]["tenantId"] == ORGANIZATION
