"""The body of /agents/tickets, which has nothing to say: a ticket is for whoever asks, as it asks, and for as long as tickets live."""

from __future__ import annotations

from pydantic import ConfigDict

from .fields import Body


class TicketBody(Body):
    model_config = ConfigDict(extra="forbid")
