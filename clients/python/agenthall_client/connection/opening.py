"""Open a WebSocket, and decide what follows when that fails."""

from __future__ import annotations

import json

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException
from websockets.typing import Subprotocol

from agenthall_client.errors import Refused

from .address import ServerAddress, is_loopback
from .close_policy import RetryConnection, error_for_status, parse_retry_after
from .credentials import Credentials
from .timing import Timing

_SUBPROTOCOL = Subprotocol("mcp.v1")
MAX_RECEIVED_BYTES = 16 * 2**20
"""Of a message from the server. The largest is a page of instances with all their metadata."""


async def open_websocket(address: ServerAddress, credentials: Credentials, timing: Timing) -> ClientConnection:
    """Raises RetryConnection, Refused, Unauthenticated, Forbidden."""
    url = await address.websocket_url()
    try:
        return await connect(
            url,
            additional_headers=await credentials.headers(),
            subprotocols=[_SUBPROTOCOL],
            compression=None,
            proxy=None if is_loopback(url) else True,
            open_timeout=timing.answer,
            ping_interval=None,  # MessageChannel sends the pings, and aborts at the first that is not answered
            close_timeout=timing.leave,
            max_size=MAX_RECEIVED_BYTES,
        )
    except InvalidStatus as error:
        response = error.response
        raise error_for_status(
            response.status_code, _problem_detail(response.body), parse_retry_after(response.headers)
        ) from None
    except InvalidURI as error:
        raise Refused(str(error), reason="url") from None
    except (OSError, WebSocketException) as error:  # TimeoutError is an OSError
        address.forget()
        raise RetryConnection(f"{url} cannot be reached: {error or type(error).__name__}") from None


def _problem_detail(body: bytes | bytearray | None) -> str:
    """`detail` of a problem document (RFC 9457). A proxy may answer with something else."""
    try:
        return str(json.loads(body or b"")["detail"])
    except (ValueError, KeyError, TypeError):
        return "the handshake was refused"
