"""Compare an answer with what was recorded.

In a recorded text, `<time>`, `<text>` and `<int>` stand for any value of that kind, and `<any>` for any value at all.
Another name in such brackets, as `<run1>`, is an id. The first answer that has it says what it is. From then on it must
be the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_NAME = re.compile(r"<([a-z_]+\d*)>")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)")
_UNKNOWN = r"([0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|[\w.:-]+)"


class Ids:
    """The ids of one conversation by their names in the recording."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def fill(self, text: str) -> str:
        """Replace the names in a request. Fails for a name that no answer had."""
        return _NAME.sub(lambda found: self.known[found.group(1)], text)

    def match(self, expected: str, actual: str) -> bool:
        """Whether a text is the expected one. Learns new ids from it."""
        names: list[str] = []

        def pattern(found: re.Match[str]) -> str:
            name = found.group(1)
            if name in self.known:
                return re.escape(self.known[name])
            if name in names:
                return rf"\{names.index(name) + 1}"
            names.append(name)
            return _UNKNOWN

        pieces = _NAME.split(expected)
        parts = [
            re.escape(piece) if index % 2 == 0 else pattern(_NAME.fullmatch(f"<{piece}>"))  # type: ignore[arg-type]
            for index, piece in enumerate(pieces)
        ]
        found = re.fullmatch("".join(parts), actual, re.DOTALL)
        if found:
            self.known |= dict(zip(names, found.groups(), strict=True))
        return found is not None

    def copy(self) -> Ids:
        other = Ids()
        other.known = dict(self.known)
        return other


def differences(expected: Any, actual: Any, ids: Ids, path: str = "") -> Iterator[str]:
    """Yield a line for each place where `actual` is not as recorded."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        yield from _of_objects(expected, actual, ids, path)
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{path}: {len(actual)} items, not {len(expected)}: {actual!r:.300}"
        for index, (one, other) in enumerate(zip(expected, actual, strict=False)):
            yield from differences(one, other, ids, f"{path}[{index}]")
    elif not _is_equal(expected, actual, ids):
        yield f"{path}: {actual!r:.300}, not {expected!r:.300}"


def _of_objects(expected: dict[str, Any], actual: dict[str, Any], ids: Ids, path: str) -> Iterator[str]:
    names = {name: each for name, each in expected.items() if "<" not in name}
    for name in names.keys() - actual.keys():
        yield f"{path}.{name}: missing, not {expected[name]!r:.300}"
    unnamed = [name for name in expected if "<" in name]  # a name that is an id, such as a task's
    for name, value in actual.items():
        if name in names:
            yield from differences(names[name], value, ids, f"{path}.{name}")
            continue
        wanted = next((each for each in unnamed if _fits(each, expected[each], name, value, ids)), None)
        if wanted is None:
            yield f"{path}.{name}: unexpected: {value!r:.300}"
        else:
            unnamed.remove(wanted)
    for name in unnamed:
        yield f"{path}.{name}: missing, not {expected[name]!r:.300}"


def _fits(wanted: str, expected: Any, name: str, value: Any, ids: Ids) -> bool:
    """Whether a member whose name is an id is the expected one. Learns the ids from it."""
    trial = ids.copy()
    if not trial.match(wanted, name) or any(differences(expected, value, trial)):
        return False
    ids.known = trial.known
    return True


def _is_equal(expected: Any, actual: Any, ids: Ids) -> bool:
    if not isinstance(expected, str):
        return type(expected) is type(actual) and bool(expected == actual)
    kinds = {"<any>": object, "<int>": int, "<text>": str, "<number>": (int, float)}
    if expected in kinds:
        return isinstance(actual, kinds[expected])  # type: ignore[arg-type]
    if not isinstance(actual, str):
        return False
    if expected == "<time>":
        return _TIME.fullmatch(actual) is not None
    return ids.match(expected, actual)
