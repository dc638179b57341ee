"""Keys of a run's configuration and metadata that the server sets.

A client's values are dropped, as in LangGraph's server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
_INTERNAL = ("__", "agenthall_", "langgraph_")


def without_server_keys(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that a client may set in the metadata of a run or an assistant's config."""
    return {key: value for key, value in given.items() if key not in SERVER_KEYS and not _is_internal(key)}


def settable_configurable(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that a client may set in a `configurable`.

    A run of an authenticated caller replaces `user_id`.
    """
    kept = without_server_keys(given)
    return kept | {"user_id": given["user_id"]} if "user_id" in given else kept


def without_internal_keys(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that a client may set in the metadata of a thread, where `user_id` is only a label."""
    return {key: value for key, value in given.items() if not _is_internal(key)}


def _is_internal(key: str) -> bool:
    return key.startswith(_INTERNAL)
