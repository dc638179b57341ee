"""An MCP server for tests. Prints a line for each call: `call <tool> <json>`; a cancelled `slow` prints `cancelled`.

- `--port N`: listen on this port.
- `--tools N`: offer N more plain tools.
- `--token T`: answer 401 to requests without this token.
- `--offer NAME,NAME`: offer only these of the tools below.
- `--stateless`: use no sessions, and JSON instead of event streams.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
from typing import Any

import uvicorn
from mcp.server.fastmcp import Context, FastMCP
from starlette.responses import PlainTextResponse


def log(line: str) -> None:
    print(line, flush=True)  # noqa: T201  the test reads it


def call(tool: str, **arguments: Any) -> None:
    log(f"call {tool} {json.dumps(arguments)}")


async def echo(text: str) -> str:
    """Say the text again."""
    call("echo", text=text)
    return text


async def whoami(context: Context) -> dict[str, str]:
    """The caller's credentials and session."""
    headers = context.request_context.request.headers
    return {"authorization": headers.get("authorization", ""), "session": headers.get("mcp-session-id", "")}


async def slow(seconds: float) -> str:
    """Answer after a while."""
    call("slow", seconds=seconds)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        log("cancelled")
        raise
    return "at last"


async def wait_for(path: str) -> str:
    """Answer when a file is there."""
    call("wait_for", path=path)
    while not os.path.exists(path):  # noqa: PTH110, ASYNC240  a test's file
        await asyncio.sleep(0.02)
    return "at last"


async def fail(why: str) -> str:
    """Fail for a reason."""
    raise ValueError(why)


async def die() -> str:
    """End the server's process in the middle of the call."""
    call("die")
    os._exit(1)


async def odd(config: str, runtime: str, run_manager: str, callbacks: str, kwargs: str) -> str:
    """Arguments whose names mean something to LangChain."""
    return f"{config} {runtime} {run_manager} {callbacks} {kwargs}"


async def picture() -> Any:
    """Text and an image."""
    from mcp.types import ImageContent, TextContent

    return [TextContent(type="text", text="look:"), ImageContent(type="image", data="aGk=", mimeType="image/png")]


async def sound() -> Any:
    """Audio."""
    from mcp.types import AudioContent

    return [AudioContent(type="audio", data="aGk=", mimeType="audio/wav")]


async def grow(name: str, context: Context) -> str:
    """Offer one more tool and say that the list changed."""
    context.fastmcp.add_tool(echo, name=name)
    await context.session.send_tool_list_changed()
    return "grown"


TOOLS = [echo, whoami, slow, wait_for, fail, die, odd, picture, sound, grow]


def server(options: argparse.Namespace) -> FastMCP:
    mcp = FastMCP("toolbox", log_level="CRITICAL", stateless_http=options.stateless, json_response=options.stateless)
    for tool in TOOLS:
        if not options.offer or tool.__name__ in options.offer.split(","):
            mcp.add_tool(tool)
    for number in range(options.tools):
        mcp.add_tool(echo, name=f"plain_{number}", description=f"Plain tool number {number}.")
    return mcp


def guarded(app: Any, token: str) -> Any:
    async def guard(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers") or ())
        if scope["type"] == "http" and headers.get(b"authorization") != f"Bearer {token}".encode():
            await PlainTextResponse("who are you?", 401)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return guard


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tools", type=int, default=0)
    parser.add_argument("--token", default="")
    parser.add_argument("--offer", default="")
    parser.add_argument("--stateless", action="store_true")
    options = parser.parse_args()
    logging.disable()  # the SDK logs a traceback for each client that leaves
    app = server(options).streamable_http_app()
    uvicorn.run(
        guarded(app, options.token) if options.token else app,
        host="127.0.0.1",
        port=options.port,
        log_level="critical",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
