"""Check of AGENTHALL_GRAPHS: each graph is loaded, as a worker loads it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from robyn_server.core.errors import Misconfigured
from robyn_server.graphs.loading import Graphs
from robyn_server.settings import load_settings

from .checks import Check, check


def graph_checks() -> Iterator[Check]:
    """Yield a check for each graph; none with wrong settings, which another check reports."""
    try:
        settings = load_settings(host="127.0.0.1")
    except Misconfigured:
        return
    graphs = Graphs(settings.graph_paths, settings.default_model)
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))  # the server's processes run as `python -m`, which looks there first
    for graph_id in graphs.ids:
        yield check(f"graph {graph_id}", lambda graph_id=graph_id: graphs.describe(graph_id))  # type: ignore[misc]
