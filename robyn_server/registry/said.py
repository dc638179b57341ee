"""What a program of one's own says in Python, before it becomes a statement: nobody has parsed it, and a driver would name no field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from robyn_server.core.errors import Invalid
from robyn_server.core.ids import parse_uuid
from robyn_server.core.registry import HealthStatus, Registering

_NEEDED = ("agent_id", "instance_id")
_TEXTS = ("name", "version", "agent_type", "zone", "idempotency_key")
_WORDS = ("capabilities", "tags")
_OBJECTS = ("connection_details", "runtime_config")
_HEALTHS = tuple(each for each in HealthStatus if each is not HealthStatus.STALE)


def tenant_of(tenant_id: Any) -> UUID:
    """Raises Invalid."""
    return parse_uuid(tenant_id, "tenant_id")


def checked(fields: Mapping[str, Any]) -> Registering:
    """Of the types that `Registering` names. Raises Invalid naming the field, TypeError for one that there is not."""
    asked = dict(fields)
    for name in _NEEDED:
        _ensure_text(name, asked[name])
    for name in _TEXTS:
        if asked.get(name) is not None:
            _ensure_text(name, asked[name])
    for name in _WORDS:
        if asked.get(name) is not None:
            asked[name] = _words(name, asked[name])
    for name in _OBJECTS:
        if not isinstance(asked[name], Mapping):
            raise Invalid(f"{name}: must be a mapping", field=name)
    if "health" in asked:
        asked["health"] = _health(asked["health"])
    return Registering(**asked)


def _words(name: str, value: Any) -> tuple[str, ...]:
    """A text is a list of letters to Python, and is never meant so."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise Invalid(f"{name}: must be a list of words", field=name)
    words = tuple(value)
    for word in words:
        _ensure_text(name, word)
    return words


def _ensure_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise Invalid(f"{name}: must be text, not {type(value).__name__}", field=name)
    if "\0" in value or not _is_unicode(value):
        raise Invalid(f"{name}: must be Unicode text without the character NUL (\\u0000)", field=name)


def _is_unicode(value: str) -> bool:
    """Half of a surrogate pair is no character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _health(value: Any) -> HealthStatus:
    if value not in _HEALTHS:
        raise Invalid(f"health: must be one of {', '.join(_HEALTHS)}", field="health")
    return HealthStatus(value)
