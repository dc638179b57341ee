"""Notices: what an agent is configured to have but lacks, for its user, its model and the run's metadata.

Rule: nothing is missing silently. A tool server that is down, an allow-list that matches nothing and a tool that waits
for the user become one notice each. A notice is plain JSON, so it can be stored with the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NotRequired, TypedDict
from urllib.parse import urlsplit, urlunsplit

from .plain_values import whole_text

Kind = Literal[
    "mcp_server_unavailable",
    "mcp_tools_not_found",
    "mcp_tools_unusable",
    "agent_tools_not_offered",
    "interaction_required",
]

METADATA_KEY = "agenthall_notices"
"""Key of notices in a run's metadata, in `additional_kwargs` of a message and in a custom stream event."""

HEADING = "# Not available in this conversation"
DETAIL_CHARACTERS = 300
MAX_NAMES = 50
"""Names of unusable tools in a notice. A server may list any number of them."""
NAME_CHARACTERS = 64
SHOWN_NAMES = 3
"""Names of unusable tools in a notice's sentence."""


class Notice(TypedDict):
    """`detail`: a sentence for people. `server`, `url`: an MCP server. `names`: the missing tools or agents."""

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
    """`names`: entries of an allow-list that the server does not have. `offered`: how many entries it has."""
    wanted = ", ".join(names) or "nothing"
    rest = f"; {offered} of its tools are offered" if offered else "; none of its tools is offered"
    return {
        "kind": "mcp_tools_not_found",
        "server": server,
        "url": public_url(url),
        "names": list(names),
        "detail": one_line(f"MCP server {server} has no tool of the agent's list: {wanted}{rest}"),
    }


def tools_unusable(server: str, url: str, tools: Sequence[tuple[str, str]]) -> Notice:
    """`tools`: name and reason of each tool that the server lists and that cannot be used. Not empty."""
    names = [name[:NAME_CHARACTERS] for name, _ in tools[:MAX_NAMES]]
    shown = ", ".join(names[:SHOWN_NAMES]) + (f" and {len(tools) - SHOWN_NAMES} more" if tools[SHOWN_NAMES:] else "")
    why = tools[0][1] if len(tools) == 1 else f"{names[0]}: {tools[0][1]}"
    return {
        "kind": "mcp_tools_unusable",
        "server": server,
        "url": public_url(url),
        "names": names,
        "detail": one_line(f"MCP server {server} lists tools that cannot be used: {shown} ({why})"),
    }


def agent_tools_not_offered(agent_id: object, why: str) -> Notice:
    return {
        "kind": "agent_tools_not_offered",
        "names": [str(agent_id)],
        "detail": one_line(f"Agent {agent_id} is not offered as a tool: {why}"),
    }


def interaction_required(tool: str, detail: str, url: str | None) -> Notice:
    """`url` is kept whole, with its query, because the user has to open it."""
    notice: Notice = {"kind": "interaction_required", "tool": tool, "detail": one_line(detail)}
    if url:
        notice["url"] = url
    return notice


def collect(messages: Iterable[Any]) -> list[Notice]:
    """Collect the notices in `additional_kwargs[METADATA_KEY]` of messages, each once, in order."""
    found: list[Notice] = []
    for message in messages:
        for notice in getattr(message, "additional_kwargs", {}).get(METADATA_KEY, ()):
            if notice not in found:
                found.append(notice)
    return found


def with_notices(system_prompt: str | None, notices: Sequence[Notice]) -> str | None:
    """Append the notices to the system prompt, so that the model can report what is missing instead of guessing."""
    if not notices:
        return system_prompt
    lines = [HEADING, *(f"- {notice['detail']}" for notice in notices)]
    lines.append(
        "When the user needs one of these, say by its name that it is not available. Never pretend to have used it."
    )
    return "\n\n".join(filter(None, [system_prompt, "\n".join(lines)]))


def split_notices(system_prompt: str) -> tuple[str, list[str]]:
    """Undo `with_notices`: return the prompt and the details. The offline model needs them separately."""
    prompt, heading, section = system_prompt.rpartition(HEADING)
    if not heading:
        return system_prompt, []
    return prompt.strip(), [line.removeprefix("- ") for line in section.splitlines() if line.startswith("- ")]


def public_url(url: str) -> str:
    """Strip user, password, query and fragment, which may contain keys."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(invalid URL)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def one_line(text: str) -> str:
    """Shorten untrusted text to one line of a prompt or a log, without characters that cannot be stored."""
    flat = " ".join(whole_text(text).replace("\0", " ").split())
    return flat if len(flat) <= DETAIL_CHARACTERS else flat[: DETAIL_CHARACTERS - 1] + "…"
