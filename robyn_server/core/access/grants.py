"""Grants: the rows that a request may reach where a project's handlers decide about access.

The database applies them to every statement: see the migration `auth_handlers`, whose rules these classes mirror.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

import orjson

from robyn_server.core.json.canonical import canonical_json

_CONTAINS, _EQUAL = "$contains", "$eq"


@dataclass(frozen=True, slots=True)
class Condition:
    """A row must contain the metadata `contains`, have exactly the members of `equals`, and belong to `own` (None: to
    anybody).

    `contains` and `equals` are JSON objects as text. `defaults`: the default assistants of graphs need not meet it.
    """

    contains: str = "{}"
    equals: str = "{}"
    own: str | None = None
    defaults: bool = False

    def to_dict(self) -> dict[str, Any]:
        given: dict[str, Any] = {"contains": orjson.Fragment(self.contains), "equals": orjson.Fragment(self.equals)}
        if self.own is not None:
            given["own"] = self.own
        return given | {"defaults": True} if self.defaults else given


Conditions: TypeAlias = tuple[Condition, ...]
"""All must be met. Without any, every row is reached."""


@dataclass(frozen=True, slots=True)
class Grants:
    """The conditions of each resource.

    None closes it. `new_threads` holds for threads that are created; None: as `threads`.
    """

    threads: Conditions | None = None
    assistants: Conditions | None = None
    new_threads: Conditions | None = None

    def narrowed(self, resource: str, conditions: Conditions) -> Grants:
        """The grants with `conditions` on `resource`, in addition to those that it has."""
        merged = tuple(dict.fromkeys((*(getattr(self, resource) or ()), *conditions)))
        return replace(self, **{resource: merged})

    def to_json(self) -> str:
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return orjson.dumps(
            {
                name: [each.to_dict() for each in conditions]
                for name, conditions in given.items()
                if conditions is not None
            }
        ).decode()


def parse_filter(given: Mapping[str, Any]) -> Condition:
    """The condition of a handler's filter, such as `{"owner": "a", "members": {"$contains": ["b"]}}`.

    Raises ValueError.
    """
    contains: dict[str, Any] = {}
    equals: dict[str, Any] = {}
    for name, wanted in given.items():
        if not isinstance(name, str) or name.startswith("$"):
            raise ValueError(f"{name!r} is no field of the metadata; there are no operators between fields")
        for operator, value in _operations(name, wanted):
            if operator == _CONTAINS:
                contains[name] = list(value) if isinstance(value, list | tuple) else [value]
            else:
                contains.setdefault(name, value)  # which an index finds
                if isinstance(value, dict | list | tuple) or contains[name] is not value:
                    equals[name] = value
    return Condition(canonical_json(contains).decode(), canonical_json(equals).decode())


def _operations(name: str, wanted: Any) -> list[tuple[str, Any]]:
    """Pairs of an operator and its value. `$eq` comes last, so that it never replaces a `$contains`."""
    if not isinstance(wanted, Mapping):
        return [(_EQUAL, wanted)]
    unknown = [key for key in wanted if key not in (_CONTAINS, _EQUAL)]
    if unknown or not wanted:
        raise ValueError(
            f"{name}: {unknown[0] if unknown else 'an empty object'!r} is no operator; there are $eq and $contains"
        )
    return sorted(wanted.items())
