"""Types of request bodies with a bound on their size. `max_length` is checked before the cost of a value grows with its
length.

Rules
  1. A list ends at its first bad element (`fail_fast`): the errors of a body are few, whatever its length.
  2. Every list, tuple, object and string in a body has one of these types, or a bound of its own. `tests/web/schemas`
     walks all bodies.
  3. The members of an object may be of any type: pydantic would report each bad one.
  4. A value of any shape (`Any`) is bounded by the body: AGENTHALL_MAX_BODY_BYTES and AGENTHALL_MAX_BODY_VALUES.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field

T = TypeVar("T")

MAX_ITEMS = 1000
"""Elements of a list. Not more than the largest page of a search."""
MAX_MEMBERS = 10_000
"""Members of an object that the server stores as it is."""
MAX_NAME = 1024
"""Characters of a name, a tag or a key."""
MAX_TEXT = 65_536
"""Characters of a text for people."""
_SHOWN = 64


def _strings(members: dict[str, Any]) -> dict[str, Any]:
    for name, value in members.items():
        if not isinstance(value, str):
            raise ValueError(f"{name[:_SHOWN]}: must be a string")  # noqa: TRY004 - pydantic reports a ValueError
    return members


Listed = Annotated[list[T], Field(max_length=MAX_ITEMS, fail_fast=True)]
JsonObject = Annotated[dict[str, Any], Field(max_length=MAX_MEMBERS)]
StringMap = Annotated[JsonObject, AfterValidator(_strings)]
JsonList = Annotated[list[Any], Field(max_length=MAX_MEMBERS, fail_fast=True)]
Name = Annotated[str, Field(max_length=MAX_NAME)]
Identifier = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
