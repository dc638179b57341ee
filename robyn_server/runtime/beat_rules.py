"""What a heartbeat may say, as `mcp.is_health`, `mcp.is_load` and `mcp.is_metrics` have it (migrations/0010): those decide, and say only
yes or no. Here the same rules name the field that is at fault.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import orjson

from robyn_server.core.errors import Invalid
from robyn_server.core.nul import has_nul
from robyn_server.core.registry import LARGEST_EPOCH, Beat, HealthStatus
from robyn_server.storage.json import dump_json

LARGEST_JSON = 8192
"""Bytes of load, and of metrics, as PostgreSQL writes jsonb: with a space behind each comma and colon, numbers in full."""

_LARGEST_WORKLOAD = 2**31 - 1
_HEALTHS = frozenset(HealthStatus) - {HealthStatus.STALE}


def ensure_sayable(beat: Beat) -> None:
    """Raises Invalid naming the field, for all but what only the size that PostgreSQL makes of it decides."""
    if not 0 <= beat.epoch <= LARGEST_EPOCH:
        raise Invalid("epoch: must be a positive 64-bit integer", field="epoch")
    if beat.health is not None and beat.health not in _HEALTHS:
        raise Invalid("health: must be starting, healthy, degraded or unhealthy", field="health")
    for name in ("load", "metrics"):
        _ensure_object(name, getattr(beat, name))
    if beat.load is not None and "workload" in beat.load and not _is_whole(beat.load["workload"]):
        raise Invalid(
            f"load.workload: must be a whole number from 0 to {_LARGEST_WORKLOAD}: the work in hand",
            field="load.workload",
        )


def refusal_of(beat: Beat) -> Invalid:
    """Of a heartbeat that was sayable and that the database refuses all the same: one of the two is too large as it is written there."""
    if beat.metrics is None or _written(beat.load) > LARGEST_JSON:
        return _too_large("load")
    return _too_large("metrics")


def _ensure_object(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise _too_large(name)
    try:
        text = dump_json(value)
    except (orjson.JSONEncodeError, RecursionError):
        raise Invalid(f"{name}: is no JSON object", field=name) from None
    if len(text) > LARGEST_JSON:  # PostgreSQL never writes it shorter
        raise _too_large(name)
    if has_nul(text):
        raise Invalid(f"{name}: must not contain the character NUL (\\u0000)", field=name)


def _too_large(name: str) -> Invalid:
    return Invalid(f"{name}: must be a JSON object of at most 8 KiB", field=name)


def _is_whole(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and bool(0 <= value <= _LARGEST_WORKLOAD and value == int(value))


def _written(value: Mapping[str, Any] | None) -> int:
    """Bytes of an object as jsonb is written out; 0 for none."""
    return 0 if value is None else _bytes(orjson.loads(dump_json(value)))


def _bytes(value: Any) -> int:
    if isinstance(value, dict):
        return _listed(_bytes(name) + len(": ") + _bytes(each) for name, each in value.items())
    if isinstance(value, list):
        return _listed(map(_bytes, value))
    if isinstance(value, float):
        return len(format(Decimal(repr(value)), "f"))
    return len(json.dumps(value, ensure_ascii=False).encode())


def _listed(sizes: Iterable[int]) -> int:
    """In brackets, a comma and a space between them."""
    found = list(sizes)
    return len("{}") + sum(found) + len(", ") * max(len(found) - 1, 0)
