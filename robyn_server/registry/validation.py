"""Validate arguments of the Python API before they reach SQL, so that errors name the field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from robyn_server.core.errors import Invalid
from robyn_server.core.registry.instances import REPORTABLE_HEALTHS, HealthStatus, RegistrationRequest

_REQUIRED_STRINGS = ("agent_id", "instance_id")
_OPTIONAL_STRINGS = ("name", "version", "agent_type", "zone", "idempotency_key")
_STRING_LISTS = ("capabilities", "tags")
_OBJECTS = ("connection_details", "runtime_config")


def validate(fields: Mapping[str, Any]) -> RegistrationRequest:
    """Return `fields` with the types of RegistrationRequest.

    Raises Invalid naming the field, TypeError for an unknown field.
    """
    valid = dict(fields)
    for name in _REQUIRED_STRINGS:
        _validate_string(name, valid[name])
    for name in _OPTIONAL_STRINGS:
        if valid.get(name) is not None:
            _validate_string(name, valid[name])
    for name in _STRING_LISTS:
        if valid.get(name) is not None:
            valid[name] = _strings(name, valid[name])
    for name in _OBJECTS:
        if valid.get(name) is not None and not isinstance(valid[name], Mapping):
            raise Invalid(f"{name}: must be a mapping", field=name)
    if "health" in valid:
        valid["health"] = _health(valid["health"])
    return RegistrationRequest(**valid)


def _strings(name: str, value: Any) -> tuple[str, ...]:
    # A string is an iterable of strings as well, but never meant as a list of letters.
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise Invalid(f"{name}: must be a list of strings", field=name)
    strings = tuple(value)
    for each in strings:
        _validate_string(name, each)
    return strings


def _validate_string(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise Invalid(f"{name}: must be a string, not {type(value).__name__}", field=name)
    if "\0" in value or not _is_unicode(value):
        raise Invalid(f"{name}: must be Unicode text without the character NUL (\\u0000)", field=name)


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _health(value: Any) -> HealthStatus:
    if value not in REPORTABLE_HEALTHS:
        raise Invalid(f"health: must be one of {', '.join(REPORTABLE_HEALTHS)}", field="health")
    return HealthStatus(value)
