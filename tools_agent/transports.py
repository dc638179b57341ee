"""The connections of agents to MCP servers and models. A host decides where they may go.

A transport carries the requests to MCP servers, whose URLs are part of an agent's configuration. A guard is given the
clients of models, whose URLs are part of the server's environment.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    NewTransport = Callable[[ssl.SSLContext], httpx.AsyncBaseTransport]

ClientGuard = Callable[[Any], None]
"""Takes an AsyncClient of httpx or httpx2, or None where the client of a model is not known."""

_new: NewTransport | None = None
_guard: ClientGuard | None = None


def set_transport(new: NewTransport | None) -> None:
    """For the whole process. None: agents connect to any address.

    The transport must not read proxies, netrc or certificates of the environment.
    """
    global _new  # noqa: PLW0603 - one for the process, as the limits are
    _new = new


def new_transport(context: ssl.SSLContext) -> httpx.AsyncBaseTransport:
    import httpx  # imported here: the composition root of a process that runs no agents does not need it

    return httpx.AsyncHTTPTransport(verify=context, trust_env=False) if _new is None else _new(context)


def set_client_guard(guard: ClientGuard | None) -> None:
    """For the whole process. None: the clients of models are left as they are."""
    global _guard  # noqa: PLW0603 - as above
    _guard = guard


def guard_model(model: Any) -> None:
    """Hand the HTTP client of a chat model of langchain-openai or langchain-anthropic to the guard.

    Clients are shared: the guard gets the same one many times.
    """
    if _guard is None:
        return
    sdk = getattr(model, "root_async_client", None) or getattr(model, "_async_client", None)
    _guard(getattr(sdk, "_client", None))
