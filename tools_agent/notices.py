"""Notices: what an agent was meant to have and has not, told to its user, to its model and to the run's metadata.

Rule: nothing is missing silently. A tool server that is down, an allow-list that matches nothing and a tool that waits
for the user each become one notice. A notice is plain JSON, so it may be stored with the run as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NotRequired, TypedDict
from urllib.parse import urlsplit, urlunsplit

Kind = Literal["mcp_server_unavailable", "mcp_tools_not_found", "agent_tools_not_offered", "interaction_required"]

METADATA_KEY = "agenthall_notices"
"""Where notices stand: in a run's metadata, in `additional_kwargs` of a message, in a custom stream event."""

HEADING = "# Not available in this conversation"
DETAIL_CHARACTERS = 300


class Notice(TypedDict):
    """`detail` is a sentence for people; `server` and `url` name an MCP server; `names` what was asked for."""

    kind: Kind
    detail: str
    server: NotRequired[str]
    url: NotRequired[str]
    tool: NotRequired[str]
    names: NotRequired[list[str]]


def server_unavailable(server: str, url: str, why: str) -> Notice:
    shown = public_url(url)
    return {
        "kind": "mcp_server_unavailable",
        "server": server,
        "url": shown,
        "detail": one_line(f"MCP server {server} ({shown}) is unavailable: {why}"),
    }


def tools_not_found(server: str, url: str, names: Sequence[str], *, offered: int) -> Notice:
    """Of an allow-list, `names` are not tools of the server; `offered` others are."""
    wanted = ", ".join(names) or "nothing"
    rest = f"; {offered} of its tools are offered" if offered else "; none of its tools is offered"
    return {
        "kind": "mcp_tools_not_found",
        "server": server,
        "url": public_url(url),
        "names": list(names),
        "detail": one_line(f"MCP server {server} has no tool of the agent's list: {wanted}{rest}"),
    }


def agent_tools_not_offered(ids: Iterable[object]) -> Notice:
    names = [str(agent) for agent in ids]
    return {
        "kind": "agent_tools_not_offered",
        "names": names,
        "detail": one_line(f"Other agents are not offered as tools yet: {', '.join(names)}"),
    }


def interaction_required(tool: str, detail: str, url: str | None) -> Notice:
    """`url` is kept whole: the user must open exactly it."""
    notice: Notice = {"kind": "interaction_required", "tool": tool, "detail": one_line(detail)}
    if url:
        notice["url"] = url
    return notice


def collect(messages: Iterable[Any]) -> list[Notice]:
    """The notices that a run's messages carry (`additional_kwargs[METADATA_KEY]`), each once, in order."""
    found: list[Notice] = []
    for message in messages:
        for notice in getattr(message, "additional_kwargs", {}).get(METADATA_KEY, ()):
            if notice not in found:
                found.append(notice)
    return found


def with_notices(system_prompt: str | None, notices: Sequence[Notice]) -> str | None:
    """The system prompt that also tells the model what is missing, so that it can say so instead of guessing."""
    if not notices:
        return system_prompt
    lines = [HEADING, *(f"- {notice['detail']}" for notice in notices)]
    lines.append(
        "When the user needs one of these, say by its name that it is not available. Never pretend to have used it."
    )
    return "\n\n".join(filter(None, [system_prompt, "\n".join(lines)]))


def split_notices(system_prompt: str) -> tuple[str, list[str]]:
    """Undo `with_notices`: the prompt alone, and the details. A model without understanding needs them apart."""
    prompt, heading, section = system_prompt.rpartition(HEADING)
    if not heading:
        return system_prompt, []
    return prompt.strip(), [line.removeprefix("- ") for line in section.splitlines() if line.startswith("- ")]


def public_url(url: str) -> str:
    """`url` without user, password, query and fragment: people keep keys there."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(an address that cannot be read)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def one_line(text: str) -> str:
    """Text from a stranger's server, made fit for one line of a prompt or a log."""
    flat = " ".join(text.split())
    return flat if len(flat) <= DETAIL_CHARACTERS else flat[: DETAIL_CHARACTERS - 1] + "…"
