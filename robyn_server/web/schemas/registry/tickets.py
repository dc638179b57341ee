"""The body of /agents/tickets, which is empty: a ticket is for the client that requests it."""

from __future__ import annotations

from pydantic import ConfigDict

from robyn_server.web.schemas.fields import Body


class TicketBody(Body):
    model_config = ConfigDict(extra="forbid")
