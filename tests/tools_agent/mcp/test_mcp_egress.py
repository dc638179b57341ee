"""MCP servers at addresses that the policy refuses are unavailable, and learn nothing of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from robyn_server.app.parts.egress import enforce_egress
from robyn_server.egress.network import REFUSED
from robyn_server.settings import load_settings
from tools_agent.agent import graph
from tools_agent.limits import Limits
from tools_agent.transports import set_transport


@pytest.fixture(autouse=True)
def _without_policy_afterwards() -> Iterator[None]:
    yield
    set_transport(None)


def enforce(level: str, allow: str = "") -> None:
    enforce_egress(load_settings(auth_mode="keys", egress_level=level, egress_allow=allow))


@pytest.mark.parametrize("form", ["json", "events"])
async def test_a_server_on_loopback_is_unavailable_unless_loopback_is_allowed(start_mcp, configure, form):
    server = start_mcp("oversized.py", "--large", "result", "--bytes", "10", "--as", form)
    enforce("private")
    began = time.monotonic()
    (notice,) = (await graph(configure(("server-1", f"{server.url}?key=secret")))).notices
    assert notice["kind"] == "mcp_server_unavailable"
    assert notice["detail"] == f"MCP server server-1 ({server.url}) is unavailable: no connection: {REFUSED}"
    assert time.monotonic() - began < Limits().connect, "it did not wait for a timeout"
    enforce("loopback")
    assert (await graph(configure(("server-2", f"{server.url}/mcp")))).notices == ()


@pytest.mark.parametrize("form", ["json", "events"])
async def test_a_call_is_answered_through_the_checked_connection(start_mcp, configure, ask, form):
    server = start_mcp("oversized.py", "--large", "result", "--bytes", "10", "--as", form)
    enforce("public", f"127.0.0.1:{server.port}")
    message = (await ask(await graph(configure(("server-1", server.url))), "use the tool large with {}"))[2]
    assert message.status == "success"


async def test_a_refusal_is_the_same_for_a_port_where_nobody_listens(shared_toolbox, configure):
    enforce("public")
    urls = [shared_toolbox.url, "http://127.0.0.1:1", "http://169.254.169.254", "http://10.0.0.1:22"]
    notices = (await graph(configure(*((f"server-{at}", url) for at, url in enumerate(urls))))).notices
    assert len(notices) == len(urls)
    assert {one["detail"].partition(": ")[2] for one in notices} == {f"no connection: {REFUSED}"}


class Redirecting(BaseHTTPRequestHandler):
    location = ""
    asked = 0

    def do_POST(self) -> None:
        type(self).asked += 1
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(307)
        self.send_header("location", self.location)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


async def test_a_server_cannot_redirect_to_an_address_that_is_refused(shared_toolbox, configure):
    Redirecting.location = f"http://127.0.0.2:{shared_toolbox.port}/mcp"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Redirecting)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    enforce("public", f"127.0.0.1:{server.server_port}")
    (notice,) = (await graph(configure(("server-1", f"http://127.0.0.1:{server.server_port}")))).notices
    server.shutdown()
    server.server_close()
    assert notice["kind"] == "mcp_server_unavailable" and Redirecting.asked == 1
    assert "it answered 307" in notice["detail"], "the SDK follows redirects within the origin only"
