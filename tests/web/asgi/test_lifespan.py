"""Startup and shutdown of an app."""

from __future__ import annotations

import asyncio

import pytest

from robyn_server.core.errors import Misconfigured
from robyn_server.web.asgi.host import AppHost
from robyn_server.web.asgi.lifespan import Lifespan
from robyn_server.web.asgi.protocol import App, Receive, Scope, Send
from robyn_server.web.asgi.scope import AppRequest
from robyn_server.web.http.messages import Response


def recording(events: list[str], *, shuts_down: bool = True) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        while True:
            event = (await receive())["type"]
            events.append(event)
            if event == "lifespan.startup":
                scope["state"]["begun"] = True
            elif not shuts_down:
                await asyncio.Event().wait()
            await send({"type": f"{event}.complete"})

    return app


async def test_an_app_starts_once_and_shuts_down_once() -> None:
    events: list[str] = []
    lifespan = Lifespan(recording(events))
    await lifespan.start()
    assert (events, lifespan.state) == (["lifespan.startup"], {"begun": True})
    await lifespan.stop(60)
    await lifespan.stop(60)
    assert events == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.parametrize(
    ("message", "reason"),
    [({"message": "Traceback:\n  line\nOSError: no route\n"}, "failed: OSError: no route"), ({}, "it gave no reason")],
)
async def test_a_startup_that_fails_is_refused_with_the_last_line_of_its_reason(
    message: dict[str, str], reason: str
) -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", **message})
        raise OSError("no route")

    with pytest.raises(Misconfigured, match=f"AGENTHALL_HTTP_APP.*{reason}$"):
        await Lifespan(app).start()


async def test_an_app_without_a_lifespan_is_served() -> None:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served"})

    host = AppHost(app, "x:app", ("127.0.0.1", 1), heartbeat_seconds=60, stop_seconds=60)
    await host.start()
    answer = await host.call(AppRequest("GET", "/", (), (), b"", "1")).answer()
    await host.stop()
    assert isinstance(answer, Response) and answer.body == b"served"


async def test_a_shutdown_that_hangs_is_given_up() -> None:
    events: list[str] = []
    lifespan = Lifespan(recording(events, shuts_down=False))
    await lifespan.start()
    await lifespan.stop(0.001)
    assert events[-1] == "lifespan.shutdown"


async def test_each_request_has_a_copy_of_the_state() -> None:
    states = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["pool"] = "shared"
            await receive()
            await send({"type": "lifespan.startup.complete"})
            return
        states.append(dict(scope["state"]))
        scope["state"]["mine"] = 1
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    host = AppHost(app, "x:app", ("127.0.0.1", 1), heartbeat_seconds=60, stop_seconds=60)
    await host.start()
    for _ in range(2):
        await host.call(AppRequest("GET", "/", (), (), b"", "1")).answer()
    await host.stop()
    assert states == [{"pool": "shared"}, {"pool": "shared"}]


async def test_work_that_does_not_end_is_cancelled_before_the_shutdown() -> None:
    events = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                events.append(event := (await receive())["type"])
                await send({"type": f"{event}.complete"})
            return
        await send({"type": "http.response.start", "status": 202})
        await send({"type": "http.response.body"})
        try:
            await asyncio.Event().wait()
        finally:
            events.append("cancelled")

    host = AppHost(app, "x:app", ("127.0.0.1", 1), heartbeat_seconds=60, stop_seconds=0.001)
    await host.start()
    await host.call(AppRequest("GET", "/", (), (), b"", "1")).answer()
    await host.stop()
    assert events == ["lifespan.startup", "cancelled", "lifespan.shutdown"]
