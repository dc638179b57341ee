"""The keys of `langgraph.json`, and how each is treated."""

from __future__ import annotations

from collections.abc import Mapping

HONOURED = frozenset(
    {
        "$schema",
        "api_version",
        "auth",
        "checkpointer",
        "dependencies",
        "env",
        "graphs",
        "http",
        "python_version",
        "store",
    }
)

OF_IMAGES = frozenset(
    {
        "base_image",
        "distributed",
        "docker_compose_file",
        "dockerfile_lines",
        "image_distro",
        "keep_pkg_tools",
        "node_version",
        "pip_config_file",
        "pip_installer",
        "source",
    }
)
"""They say how `langgraph build` makes an image. A server that runs already needs none of them."""

REFUSED: Mapping[str, str] = {
    "encryption": "not offered; encrypt the disks of the database",
    "priority": "not offered; runs are executed in the order of their creation",
    "ui": "not offered; serve the components from a web server of yours",
    "ui_config": "not offered; serve the components from a web server of yours",
    "webhooks": "not offered yet; wait for the run, or join its stream",
}

IGNORED_OF_AUTH = frozenset({"cache", "disable_studio_auth", "openapi"})
"""Nobody is let in because of these: each request is authenticated, also one of LangSmith's Studio."""

REFUSED_OF_HTTP: Mapping[str, str] = {
    "configurable_headers": "not offered; send the values in `config.configurable`",
    "logging_headers": "not offered; headers are not logged",
    "mount_prefix": "not offered; let the proxy before the server strip the prefix",
}

GRAPH_ELSEWHERE = "this server runs Python graphs. Run it elsewhere, and register it as an instance"
APP_ELSEWHERE = "serve it from a process of its own, behind the same proxy"
"""The alternative for a file of JavaScript."""

OF_APP = frozenset({"app", "enable_custom_route_auth", "middleware_order"})
"""Of `http`: routes of the project's own."""

MIDDLEWARE_ORDERS = ("middleware_first", "auth_first")
"""Of `http.middleware_order`."""

DISABLING_ABSENT = frozenset({"disable_a2a", "disable_mcp", "disable_store", "disable_ui", "disable_webhooks"})
"""Of `http`: they switch off endpoints that this server does not have."""

DISABLING = DISABLING_ABSENT | {"disable_assistants", "disable_meta", "disable_runs", "disable_threads"}

CORS_OPEN = frozenset({"allow_methods", "allow_headers", "expose_headers"})
"""Of `http.cors`: every method and header is allowed, so only a list with `*` says the same."""

CORS_IGNORED = frozenset({"allow_credentials", "max_age"})
"""Of `http.cors`: hints to browsers without an effect on who may call. Credentials are headers here, never cookies."""

REFUSED_OF_CORS: Mapping[str, str] = {
    "allow_origin_regex": "not offered; list the origins in `allow_origins`",
}

REFUSED_OF_STORE: Mapping[str, str] = {
    "path": "a store of your own is not offered; items are in the server's PostgreSQL",
}

SWEEP_INTERVAL = "sweep_interval_minutes"
"""Of `store.ttl`: without an effect, because an item is gone when its time is over. Its space is freed every minute."""

REFUSED_OF_CHECKPOINTER: Mapping[str, str] = {
    "path": "a saver of your own is not offered; checkpoints are in the server's PostgreSQL",
    "serde": "not offered; values are stored by LangGraph's own serializer",
}

OF_THREAD_TTL: Mapping[str, str] = {
    "strategy": "AGENTHALL_THREAD_TTL_STRATEGY",
    "default_ttl": "AGENTHALL_THREAD_TTL",
    "sweep_interval_minutes": "AGENTHALL_THREAD_SWEEP",
    "sweep_limit": "AGENTHALL_THREAD_SWEEP_LIMIT",
}
"""Of `checkpointer.ttl`: the variables that they are."""
