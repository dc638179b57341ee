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
        update=_update(given.get("update")),
        resume=given.get("resume"),
        goto=[Send(each["node"], each.get("input")) if isinstance(each, dict) else each for each in targets],
    )


def _update(given: Any) -> Any:
    """The update of a command. LangGraph takes `[channel, value]` pairs as tuples only, and JSON has none."""
    is_pairs = isinstance(given, list) and all(
        isinstance(each, list) and len(each) == len(("channel", "value")) and isinstance(each[0], str) for each in given
    )
    return [tuple(each) for each in given] if is_pairs else given
