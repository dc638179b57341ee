"""The base URL of a model is the operator's, and still never a metadata service's."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from robyn_server.app.parts.egress import enforce_egress
from robyn_server.settings import load_settings
from tools_agent.agent import graph
from tools_agent.transports import set_client_guard, set_transport

MODELS = {"openai:gpt-test": "OPENAI_BASE_URL", "anthropic:claude-test": "ANTHROPIC_BASE_URL"}


@pytest.fixture(autouse=True)
def _policy() -> Iterator[None]:
    enforce_egress(load_settings(auth_mode="keys", egress_level="listed"))
    yield
    set_transport(None)
    set_client_guard(None)


class Counting(BaseHTTPRequestHandler):
    location: str | None = None
    asked = 0

    def do_POST(self) -> None:
        type(self).asked += 1
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(307 if self.location else 500)
        if self.location:
            self.send_header("location", self.location)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def counting() -> Iterator[ThreadingHTTPServer]:
    Counting.asked, Counting.location = 0, None
    server = ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def causes(error: BaseException | None) -> str:
    return "" if error is None else f"{error} {causes(error.__cause__ or error.__context__)}"


async def test_a_model_on_loopback_answers_whatever_agents_may_connect_to(provider, configure, ask):
    name, api = provider
    assert (await ask(await graph(configure(model_name=name)), "hello"))[-1].content == "fine"
    assert len(api.requests) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "[::ffff:169.254.169.254]", "2852039166"])
async def test_the_base_url_of_a_model_is_never_an_address_that_is_always_refused(
    provider, counting, configure, ask, monkeypatch, host
):
    name, _ = provider
    monkeypatch.setenv(MODELS[name], f"http://{host}:{counting.server_port}")
    with pytest.raises(Exception, match=r"[Cc]onnection error") as caught:
        await ask(await graph(configure(model_name=name, system_prompt=host)), "hello")
    assert "AGENTHALL_EGRESS" in causes(caught.value) and Counting.asked == 0


async def test_a_redirect_of_a_model_is_not_followed(provider, counting, configure, ask, monkeypatch):
    name, api = provider
    path = "/v1/chat/completions" if name.startswith("openai") else "/v1/messages"
    Counting.location = f"{api.url}{path}"
    monkeypatch.setenv(MODELS[name], f"http://127.0.0.1:{counting.server_port}")
    with pytest.raises(Exception, match="307"):
        await ask(await graph(configure(model_name=name, system_prompt="redirect")), "hello")
    assert Counting.asked == 1 and api.requests == []
