"""Checks of the code that a project brings: each graph is loaded, as a worker loads it, and the store's model embeds a
text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from robyn_server.core.errors import Misconfigured
from robyn_server.core.store.options import StoreIndex
from robyn_server.graphs.embeddings import ItemEmbedder
from robyn_server.graphs.loading.served_graphs import Graphs
from robyn_server.settings import load_settings

from .checks import Check, check, check_async


def graph_checks() -> Iterator[Check]:
    """Yield a check for each graph, and for the store's index if there is one; none with wrong settings, which another
    check reports."""
    try:
        settings = load_settings(host="127.0.0.1")
    except Misconfigured:
        return
    graphs = Graphs(settings.graph_paths, settings.default_model)
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))  # the server's processes run as `python -m`, which looks there first
    for graph_id in graphs.ids:
        yield check(f"graph {graph_id}", lambda graph_id=graph_id: graphs.describe(graph_id))  # type: ignore[misc]
    if settings.store_index is not None:
        yield check_async("store index", _embed(settings.store_index))


async def _embed(index: StoreIndex) -> str:
    vector = await ItemEmbedder(index).embed_query("agenthall doctor")
    return f"{index.embed} makes vectors of {len(vector)} numbers"
