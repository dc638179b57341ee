"""Names under which an agent's tools are offered to a model: unique, and of the form that providers take."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import count

from .providers import NAME_LENGTH, NOT_IN_NAMES

SEPARATOR = "__"
NAMELESS = "tool"


def offered_names(tools: Sequence[tuple[str, str]]) -> list[str]:
    """Return a name for each (server, tool), in the same order.

    A name that needs no change goes to the first tool that has it. The others get the server's name as a prefix, and a
    number if that is taken, too.
    """
    taken: set[str] = set()
    keep_theirs = [at for at, (_, tool) in enumerate(tools) if adapted(tool) == tool]
    others = [at for at, (_, tool) in enumerate(tools) if adapted(tool) != tool]
    names = {at: _free(*tools[at], taken) for at in (*keep_theirs, *others)}
    return [names[at] for at in range(len(tools))]


def adapted(name: str, length: int = NAME_LENGTH) -> str:
    """Return `name` in the form that providers take: 1 to 64 ASCII letters, digits, "_" and "-"."""
    ascii_like = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    usable = NOT_IN_NAMES.sub("_", ascii_like)[:length]
    return usable if usable.strip("_-") or (usable and usable == name) else NAMELESS


def _free(server: str, tool: str, taken: set[str]) -> str:
    name = adapted(tool)
    if name in taken:
        name = adapted(f"{adapted(server, NAME_LENGTH // 2)}{SEPARATOR}{name}")
    return unique(name, taken)


def unique(name: str, taken: set[str], separator: str = SEPARATOR, length: int = NAME_LENGTH) -> str:
    """Return `name`, shortened and with a number when it is taken, and add it to `taken`."""
    free = next(candidate for candidate in _candidates(name, separator, length) if candidate not in taken)
    taken.add(free)
    return free


def _candidates(name: str, separator: str, length: int) -> Iterable[str]:
    yield name
    for number in count(2):
        ending = f"{separator}{number}"
        yield name[: length - len(ending)] + ending
