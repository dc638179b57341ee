"""Validate heartbeats by the rules of `mcp.is_health`, `mcp.is_load` and `mcp.is_metrics` (migrations/0010).

The SQL functions decide, but return only yes or no. These rules name the invalid field, and keep values out of a batch
that would make its statement fail.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from robyn_server.core.errors import Invalid
from robyn_server.core.json.nul import has_nul
from robyn_server.core.registry.instances import MAX_EPOCH, REPORTABLE_HEALTHS, Heartbeat
from robyn_server.storage.postgres.json import dump_json

MAX_JSON_BYTES = 8192
"""Size of load, and of metrics, as PostgreSQL writes jsonb: with a space after each comma and colon, numbers in
full."""

_MAX_WORKLOAD = 2**31 - 1


def validate_heartbeat(heartbeat: Heartbeat) -> None:
    """Raise Invalid naming the field, for anything invalid except a size that only PostgreSQL's notation exceeds."""
    if not 0 <= heartbeat.epoch <= MAX_EPOCH:
        raise Invalid("epoch: must be a positive 64-bit integer", field="epoch")
    if heartbeat.health is not None and heartbeat.health not in REPORTABLE_HEALTHS:
        raise Invalid("health: must be starting, healthy, degraded or unhealthy", field="health")
    for name in ("load", "metrics"):
        _validate_object(name, getattr(heartbeat, name))
    if heartbeat.load is not None and "workload" in heartbeat.load and not _is_workload(heartbeat.load["workload"]):
        raise Invalid(
            f"load.workload: must be a whole number from 0 to {_MAX_WORKLOAD}: the work in hand", field="load.workload"
        )


def rejection_reason(heartbeat: Heartbeat) -> Invalid:
    """Return why the database rejects a heartbeat that `validate_heartbeat` accepts: load or metrics is too large as
    jsonb."""
    if heartbeat.metrics is None or (heartbeat.load is not None and jsonb_size(heartbeat.load) > MAX_JSON_BYTES):
        return _too_large("load")
    return _too_large("metrics")


def jsonb_size(value: Mapping[str, Any]) -> int:
    """Return the bytes of an object as PostgreSQL writes jsonb, which are those of `json.dumps` except for floats."""
    # Each float is replaced by a string that is as long, quotes included, as the number in full.
    floats_replaced = json.loads(
        dump_json(value), parse_float=lambda text: "0" * (len(format(Decimal(text), "f")) - len('""'))
    )
    return len(json.dumps(floats_replaced, ensure_ascii=False).encode())


def _validate_object(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise _too_large(name)
    try:
        text = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
    except (orjson.JSONEncodeError, RecursionError):
        raise Invalid(f"{name}: must be a JSON object with integers of at most 64 bits", field=name) from None
    if len(text) > MAX_JSON_BYTES:  # jsonb is never shorter
        raise _too_large(name)
    if has_nul(text):
        raise Invalid(f"{name}: must not contain the character NUL (\\u0000)", field=name)


def _too_large(name: str) -> Invalid:
    return Invalid(f"{name}: must be a JSON object of at most 8 KiB", field=name)


def _is_workload(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and bool(0 <= value <= _MAX_WORKLOAD and value == int(value))
