"""Commands of the API as LangGraph's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.types import Command, Send


def command_of(given: Mapping[str, Any]) -> Command[Any]:
    """`given`: {update, resume, goto}. `goto`: nodes, or {node, input}, or a list of them."""
    goto = given.get("goto") or ()
    targets = [goto] if isinstance(goto, str | dict) else list(goto)
    return Command(
        update=given.get("update"),
        resume=given.get("resume"),
        goto=[Send(each["node"], each.get("input")) if isinstance(each, dict) else each for each in targets],
    )
