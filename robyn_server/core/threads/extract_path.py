"""Paths of `extract`: `values.messages[-1].content` names a part of a thread."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from robyn_server.core.errors import Invalid

ROOTS = ("config", "interrupts", "metadata", "values")
MAX_PATHS = 10
MAX_STEPS = 64
_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>-?[0-9]{1,9})\]")
_SHOWN = 100


def parse_extract(paths: Mapping[str, str]) -> dict[str, Sequence[str]]:
    """Parse the path of each alias into a root and steps below it.

    Negative indexes count from the end. Raises Invalid.
    """
    if len(paths) > MAX_PATHS:
        raise Invalid(f"extract: at most {MAX_PATHS} paths", field="extract")
    return {alias: _parse(path) for alias, path in paths.items()}


def _parse(path: str) -> Sequence[str]:
    root = re.match(r"[^.\[]*", path)
    name = root.group() if root else ""
    if name not in ROOTS:
        raise Invalid(f"Extract path '{path[:_SHOWN]}' must start with one of: {', '.join(ROOTS)}", field="extract")
    steps, end = [name], len(name)
    while end < len(path):
        step = _STEP.match(path, end)
        if step is None or len(steps) > MAX_STEPS:
            raise Invalid(
                f"Extract path '{path[:_SHOWN]}' must have at most {MAX_STEPS} steps of the form .name or [0] below {name}",
                field="extract",
            )
        steps.append(step["name"] or step["index"])
        end = step.end()
    return steps
