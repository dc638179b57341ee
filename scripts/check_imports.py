"""Check that no modules import each other in a cycle. Imports inside functions and under TYPE_CHECKING count, too.

The contracts in pyproject.toml find cycles between siblings. They do not find a package whose `__init__` imports a
module that imports the package; this check does.
"""

from __future__ import annotations

import sys
from collections import deque

import grimp

PACKAGES = ("robyn_server", "tools_agent")

Graph = dict[str, set[str]]


def read_graph(*packages: str) -> Graph:
    """Return the modules that each module imports."""
    first, *others = packages
    # Without a cache: import-linter's would be read stale, since graphs with and without external packages share
    # modification times.
    graph = grimp.build_graph(first, *others, cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def shortest_path(graph: Graph, start: str, end: str) -> list[str] | None:
    """Return the modules from `start` to `end`, both included."""
    paths = deque([[start]])
    seen = {start}
    while paths:
        path = paths.popleft()
        if path[-1] == end:
            return path
        for module in sorted(graph.get(path[-1], set()) - seen):
            seen.add(module)
            paths.append([*path, module])
    return None


def cycles(graph: Graph) -> list[list[str]]:
    """Return the shortest cycle through each module that is in one. Cycles of the same modules count once."""
    found: dict[frozenset[str], list[str]] = {}
    for module in sorted(graph):
        paths = [path for imported in sorted(graph[module]) if (path := shortest_path(graph, imported, module))]
        if paths:
            path = min(paths, key=len)
            found.setdefault(frozenset(path), [module, *path])
    return list(found.values())


def main(*packages: str) -> int:
    found = cycles(read_graph(*packages))
    for cycle in found:
        print(f"import cycle: {' -> '.join(cycle)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*PACKAGES))
