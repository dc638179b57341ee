"""Checks of the code that a project brings: its graphs, its app, and the model of the store.

They are loaded as the server's processes load them, and the model embeds a text.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from robyn_server.core.errors import Misconfigured
from robyn_server.core.store.options import StoreIndex
from robyn_server.doctor.check import Check, check, check_async
from robyn_server.graphs.embeddings import ItemEmbedder
from robyn_server.graphs.loading.served_graphs import Graphs
from robyn_server.settings import load_settings
from robyn_server.web.asgi.loading import load_app
from robyn_server.web.asgi.middleware import middleware_names


def graph_checks() -> Iterator[Check]:
    """Yield a check for each graph, and for the app and the store's index if there are any; none with wrong settings,
    which another check reports."""
    try:
        settings = load_settings(host="127.0.0.1")
    except Misconfigured:
        return
    graphs = Graphs(settings.graph_paths, settings.default_model)
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))  # the server's processes run as `python -m`, which looks there first
    for graph_id in graphs.ids:
        yield check(f"graph {graph_id}", lambda graph_id=graph_id: graphs.describe(graph_id))  # type: ignore[misc]
    if settings.http_app is not None:
        yield check("http.app", lambda: _app(str(settings.http_app), is_authenticated=settings.http_app_auth))
    if settings.store_index is not None:
        yield check_async("store index", _embed(settings.store_index))


def _app(path: str, *, is_authenticated: bool) -> str:
    """Load the app, without its startup. Raises Misconfigured."""
    app = load_app(path)
    around = ", ".join(middleware_names(app))
    return "; ".join(
        [
            f"{path} answers its own routes",
            "their requests are authenticated" if is_authenticated else "they need no credentials",
            *([f"{around} runs around all routes"] if around else []),
        ]
    )


async def _embed(index: StoreIndex) -> str:
    vector = await ItemEmbedder(index).embed_query("agenthall doctor")
    return f"{index.embed} makes vectors of {len(vector)} numbers"
