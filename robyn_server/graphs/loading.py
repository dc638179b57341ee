"""Which graphs this server serves, and how one becomes something that runs.

`AGENTHALL_GRAPHS` maps a graph's id to `module:name`, or `path/to/file.py:name`. The name is a compiled graph, a builder
(anything with `.compile()`), or a factory: a function, sync or async, of the run's config. A factory may carry an attribute
`topology`, a function of the config that builds the same nodes and channels without dialling anything: reading a thread's
state uses it, so it needs no tool server and no token. It may also carry `close`, a coroutine function called when the worker
stops, and `collect_notices`, a function of a run's messages. A graph may carry `notices`: what it was meant to have and has not.
Both kinds end up in the run's metadata as `agenthall_notices`.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from robyn_server.core.errors import Misconfigured, NotFound

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.pregel import Pregel

_log = structlog.get_logger(__name__)


class Graphs:
    """Knows the ids at once, and imports a graph's code when it is first used."""

    def __init__(self, paths: Mapping[str, str], default_model: str) -> None:
        self._paths = dict(paths)
        self._default_model = default_model
        self._loaded: dict[str, Any] = {}
        self._loading = asyncio.Lock()

    @property
    def ids(self) -> list[str]:
        return sorted(self._paths)

    def check(self, graph_id: str) -> None:
        """Raises NotFound, worded as the reference server words it, for a graph that is not served."""
        if graph_id not in self._paths:
            raise NotFound(f"Graph '{graph_id}' not found. Expected one of: {self.ids}", field="graph_id")

    def load(self, graph_id: str) -> Any:
        """The object that the path names. Raises NotFound, or Misconfigured when the path does not lead anywhere."""
        self.check(graph_id)
        if graph_id not in self._loaded:
            self._loaded[graph_id] = _import(graph_id, self._paths[graph_id])
        return self._loaded[graph_id]

    async def preload(self) -> None:
        """Imports every graph's code, off the event loop, so that no run waits for it. A graph that cannot be loaded is
        logged; its runs will say so too."""
        for graph_id in self.ids:
            try:
                await self._loaded_one(graph_id)
            except Misconfigured as error:
                _log.error("graph cannot be loaded", graph_id=graph_id, reason=error.detail)

    async def build(self, graph_id: str, config: RunnableConfig) -> Pregel[Any, Any, Any, Any]:
        """The graph to run with `config`."""
        return await self._made(await self._loaded_one(graph_id), config)

    async def build_topology(self, graph_id: str, config: RunnableConfig) -> Pregel[Any, Any, Any, Any]:
        """The graph to read states with."""
        source = await self._loaded_one(graph_id)
        return await self._made(getattr(source, "topology", source), config)

    def notices_in(self, graph_id: str, messages: Any) -> list[Any]:
        """What a run's messages say is missing or waits for the user, as far as the graph's factory knows how to tell."""
        collect = getattr(self.load(graph_id), "collect_notices", None)
        return list(collect(messages)) if collect is not None and messages else []

    async def close(self) -> None:
        """Lets go of what graphs keep between runs, such as sessions with tool servers."""
        for source in self._loaded.values():
            close = getattr(source, "close", None)
            if close is not None:
                await close()

    async def _loaded_one(self, graph_id: str) -> Any:
        """As `load`; an import that takes long does not hold up the event loop, and happens once."""
        self.check(graph_id)
        if graph_id not in self._loaded:
            async with self._loading:
                return await asyncio.to_thread(self.load, graph_id)
        return self._loaded[graph_id]

    async def _made(self, source: Any, config: RunnableConfig) -> Pregel[Any, Any, Any, Any]:
        made = source
        if _is_factory(source):
            configurable = {"model_name": self._default_model} | config.get("configurable", {})
            made = _call(source, {**config, "configurable": configurable})
            made = await made if inspect.isawaitable(made) else made
        compiled: Pregel[Any, Any, Any, Any] = (
            made.compile() if hasattr(made, "compile") and not hasattr(made, "astream") else made
        )
        return compiled


def _is_factory(source: Any) -> bool:
    return callable(source) and not hasattr(source, "astream") and not hasattr(source, "compile")


def _call(factory: Callable[..., Any], config: Any) -> Any:
    return factory(config) if inspect.signature(factory).parameters else factory()


def _import(graph_id: str, path: str) -> Any:
    where, _, name = path.rpartition(":")
    try:
        module = _module_from_file(graph_id, Path(where)) if where.endswith(".py") else importlib.import_module(where)
        return getattr(module, name)
    except (ImportError, AttributeError, OSError, ValueError) as error:
        raise Misconfigured(f"AGENTHALL_GRAPHS: graph '{graph_id}' cannot be loaded from '{path}': {error}") from error


def _module_from_file(graph_id: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"agenthall_graph_{graph_id}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"no such file: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
