"""What a client may put into an assistant's or a run's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robyn_server.core.catalogue import CATALOGUE_KEYS
from robyn_server.core.errors import BadRequest, Conflict, Forbidden
from robyn_server.core.principal import Principal

SERVER_KEYS = frozenset(
    {
        "assistant_id",
        "checkpoint_id",
        "checkpoint_map",
        "checkpoint_ns",
        "graph_id",
        "run_id",
        "thread_id",
        "user_id",
    }
)
"""Keys of `configurable` that the server sets for every run; a client's are dropped, as the reference server does."""

ADMIN_KEYS = frozenset({"mcp_config"})
"""Keys that make the server connect to an address: until there is an egress policy, only administrators set them."""

_BOTH = (
    "Cannot specify both configurable and context. Prefer setting context alone. "
    "Context was introduced in LangGraph 0.6.0 and is the long term planned replacement for configurable."
)


def checked(
    principal: Principal, config: Mapping[str, Any] | None, context: Mapping[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Config and context with each mirrored in the other; both None where neither was given.

    Raises BadRequest when both are given, Forbidden when the principal may not set a key.
    """
    given = None if config is None else dict(config)
    configurable = (given or {}).get("configurable")
    if configurable and context:
        raise BadRequest(_BOTH, field="context")
    chosen = context or configurable
    if chosen is None and context is None:
        return given, None if given is None else {}
    allowed = _allowed(principal, chosen or {})
    return {**(given or {}), "configurable": allowed}, dict(allowed)


def refuse_catalogue_keys(owned: Mapping[str, Any], wanted: Mapping[str, Any] | None, what: str) -> None:
    """Raises Conflict naming the key when `wanted` would change what the catalogue owns. `owned`: the synced configurable."""
    for key, value in (wanted or {}).items():
        if key in CATALOGUE_KEYS and owned.get(key) != value:
            raise Conflict(
                f"{what}: '{key}' belongs to the catalogue; change it there.", code="catalogue_owned", field=key
            )


def _allowed(principal: Principal, configurable: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in configurable.items() if key not in SERVER_KEYS and not _is_internal(key)}
    for key in ADMIN_KEYS & kept.keys():
        if not principal.is_admin:
            raise Forbidden(f"Only administrators may set configurable.{key}.", field=f"configurable.{key}")
    return kept


def _is_internal(key: str) -> bool:
    return key.startswith(("__", "langgraph_"))
