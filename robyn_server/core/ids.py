"""Identifiers: UUIDv7 for new resources, uuid5 for those that have the same id on every server."""

from __future__ import annotations

from uuid import UUID, uuid5

from uuid_utils.compat import uuid7

from .errors import Invalid

GRAPH_NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
"""Namespace of default assistants. LangGraph's server uses the same, so ids agree between servers."""


def new_id() -> UUID:
    """A UUIDv7: unique, and ordered by the time it was made within this process."""
    return uuid7()


def default_assistant_id(graph_id: str) -> UUID:
    """The id of a graph's own default assistant."""
    return uuid5(GRAPH_NAMESPACE, graph_id)


def user_assistant_id(agent_id: UUID, identity: str) -> UUID:
    """The id of one user's copy of a template agent (AGENT_SYNC_TEMPLATES)."""
    return uuid5(agent_id, identity)


def parse_uuid(text: object, what: str) -> UUID:
    """`text` as a UUID. Raises Invalid, with the wording of LangGraph's server (`what` is e.g. "thread ID")."""
    if isinstance(text, UUID):
        return text
    try:
        return UUID(text if isinstance(text, str) else "")
    except ValueError:
        raise Invalid(f"Invalid {what}: must be a UUID", field=what) from None


def find_uuid(text: str) -> UUID | None:
    """`text` as a UUID, or None when it is something else, such as a graph's name."""
    try:
        return UUID(text)
    except ValueError:
        return None
