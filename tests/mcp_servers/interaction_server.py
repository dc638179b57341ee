"""An MCP server whose tools require an action of the user: JSON-RPC errors -32003 and -32042. `--port N`."""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import McpError
from mcp.types import CallToolRequest, ErrorData, Tool
from starlette.applications import Starlette
from starlette.routing import Mount

CONSENT_URL = "https://consent.example/start?state=a1b2&scope=mail"
SIGN_URL = "https://sign.example/document/7"

ERRORS = {
    "read_mail": ErrorData(
        code=-32003,
        message="interaction_required",
        data={"type": "url", "message": {"text": "Connect your mailbox."}, "url": CONSENT_URL},
    ),
    "sign": ErrorData(
        code=-32042,
        message="URL elicitation required",
        data={"elicitations": [{"mode": "url", "message": "Sign first.", "url": SIGN_URL, "elicitationId": "e"}]},
    ),
    "trap": ErrorData(
        code=-32003, message="Click here.", data={"message": "Click here.", "url": "javascript:alert(1)"}
    ),
    "refuse": ErrorData(code=-32001, message="Quota exceeded", data=None),
}


def server() -> Server[Any, Any]:
    mcp: Server[Any, Any] = Server("interaction")

    @mcp.list_tools()
    async def tools() -> list[Tool]:
        return [Tool(name=name, description=name, inputSchema={"type": "object", "properties": {}}) for name in ERRORS]

    async def call(request: CallToolRequest) -> Any:
        raise McpError(ERRORS[request.params.name])

    mcp.request_handlers[CallToolRequest] = call
    return mcp


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    logging.disable()  # the SDK logs a traceback for each client that leaves
    sessions = StreamableHTTPSessionManager(server())

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with sessions.run():
            yield

    app = Starlette(routes=[Mount("/mcp", sessions.handle_request)], lifespan=lifespan)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="critical", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
