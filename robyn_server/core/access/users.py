"""The user that a project's handler authenticated, in handlers and in graphs.

A web process stores it with each run, as JSON, and the worker gives it to the graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

SHARED_STORE = "agenthall:project"
"""The owner of the store's items where a handler decides about them: all users share one space, which the handler
divides."""


class User(Mapping[str, Any]):
    """A mapping whose members are attributes, too: LangGraph's `BaseUser`.

    `identity`, `display_name`, `is_authenticated` and `permissions` always exist.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        defaults = {"display_name": fields["identity"], "is_authenticated": True, "permissions": []}
        self._fields = {**defaults, **{name: value for name, value in fields.items() if value is not None}}

    @property
    def identity(self) -> str:
        return str(self._fields["identity"])

    @property
    def display_name(self) -> str:
        return str(self._fields["display_name"])

    @property
    def is_authenticated(self) -> bool:
        return bool(self._fields["is_authenticated"])

    @property
    def permissions(self) -> list[str]:
        return list(self._fields["permissions"])

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(f"the user has no {name!r}") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, User) and self._fields == other._fields

    def __hash__(self) -> int:
        return hash(self.identity)

    def __reduce__(self) -> tuple[type[User], tuple[dict[str, Any]]]:
        return User, (self._fields,)

    def __repr__(self) -> str:
        return f"User({self.identity!r})"  # other fields may be secrets

    def to_dict(self) -> dict[str, Any]:
        return dict(self._fields)


def run_auth(user: User, *, shares_store: bool) -> str:
    """The JSON text that is stored with a run of the user. Raises TypeError for a field that is not JSON."""
    return orjson.dumps({"user": user.to_dict(), "shares_store": shares_store}).decode()


def user_of(auth: Mapping[str, Any] | None) -> User | None:
    """The user that was stored with a run."""
    return None if auth is None else User(auth["user"])


def store_owner(auth: Mapping[str, Any] | None, owner_id: str) -> str:
    """The owner of the items that a run of `owner_id` reads and writes."""
    return SHARED_STORE if auth is not None and auth["shares_store"] else owner_id
