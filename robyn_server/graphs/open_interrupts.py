"""The open interrupts in the values that LangGraph streams.

Each task that interrupts yields values of its own, with its own interrupt. The result of the run has them all. The
thread keeps its values without them, because its column `interrupts` has them by task.
"""

from __future__ import annotations

from typing import Any

INTERRUPT = "__interrupt__"


def has_interrupts(values: Any) -> bool:
    return isinstance(values, dict) and INTERRUPT in values


def with_earlier_interrupts(values: Any, earlier: Any) -> Any:
    """Return the values of a step so far: `values`, and what was streamed before them.

    A step in which a task interrupts is not applied, so what other tasks return in it belongs to no state yet.
    """
    if not has_interrupts(earlier):
        return values
    if not has_interrupts(values):
        return earlier
    own = {each.id for each in values[INTERRUPT]}
    others = [each for each in earlier[INTERRUPT] if each.id not in own]
    return {**values, INTERRUPT: [*others, *values[INTERRUPT]]}


def without_interrupts(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != INTERRUPT}
