"""Loads the graphs of AGENTHALL_GRAPHS and the built-in one, and builds them for a run.

`AGENTHALL_GRAPHS` maps a graph id to `module:name` or `path/to/file.py:name`. The name is a compiled graph, a builder
(anything with `.compile()`), or a factory (factories.py). Optional attributes of a factory:

- `topology`: a function of the config that builds the same nodes and channels without connecting to anything. It is
  used to read a thread's state, which therefore needs no tool server and no token.
- `close`: a coroutine function, called when the worker stops.
- `collect_notices`: a function of a run's messages that returns notices.

A graph may have these attributes:

- `notices`: what is missing from it. All notices end up in the run's metadata as `agenthall_notices`.
- `keeps_finished_tasks`: true if the writes of tasks that had finished when a run was stopped stay in the state when
  the next run has an input. LangGraph drops them otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from robyn_server.core.errors import Misconfigured, NotFound
from robyn_server.core.registry.instances import INSTANCES_GRAPH
from robyn_server.graphs.tracebacks import own_traceback

from .factories import MakeRuntime, Reading, is_factory, opened, reading_runtime
from .imports import import_object

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.pregel import Pregel

TOOLS_AGENT = "tools_agent."
_BUILT_IN = {INSTANCES_GRAPH: "robyn_server.graphs.instances.factory:graph"}

_log = structlog.get_logger(__name__)


class Graphs:
    """The served graphs. The code of a graph is imported when it is first used.

    Clients name the graphs of `paths`. Only assistants of configurations have the built-in graph.
    """

    def __init__(self, paths: Mapping[str, str], default_model: str) -> None:
        self._named = sorted(paths)
        self._paths = {**paths, **_BUILT_IN}
        self._default_model = default_model
        self._loaded: dict[str, Any] = {}
        self._loading = asyncio.Lock()

    @property
    def ids(self) -> list[str]:
        """The graphs that clients may name."""
        return self._named

    @property
    def all_ids(self) -> list[str]:
        return sorted(self._paths)

    def serves(self, graph_id: str) -> bool:
        return graph_id in self._paths

    def check(self, graph_id: str) -> None:
        """Raises NotFound, with the wording of LangGraph's server, for a graph that is not served."""
        if graph_id not in self._paths:
            raise NotFound(f"Graph '{graph_id}' not found. Expected one of: {self.ids}", field="graph_id")

    def check_nameable(self, graph_id: str) -> None:
        """As `check`, also for the built-in graph, which a client cannot give to an assistant."""
        if graph_id not in self._named:
            raise NotFound(f"Graph '{graph_id}' not found. Expected one of: {self.ids}", field="graph_id")

    def is_tools_agent(self, graph_id: str) -> bool:
        """Whether the graph is the agent that the server ships, so that its configuration is known."""
        return self._paths.get(graph_id, "").startswith(TOOLS_AGENT)

    def load(self, graph_id: str) -> Any:
        """Return the object that the path names. Raises NotFound, or Misconfigured when it cannot be imported."""
        self.check(graph_id)
        if graph_id not in self._loaded:
            self._loaded[graph_id] = _import(graph_id, self._paths[graph_id])
        return self._loaded[graph_id]

    def describe(self, graph_id: str) -> str:
        """Load a graph and compile it if it is a builder; a factory is built for each run.

        Raises NotFound, Misconfigured.
        """
        source = self.load(graph_id)
        if hasattr(source, "astream"):
            return "a compiled graph"
        if not hasattr(source, "compile"):
            return "a factory, which builds a graph for each run"
        try:
            source.compile()
        except Exception as error:
            raise _unloadable(graph_id, self._paths[graph_id], error) from error
        return "a builder, which compiles"

    async def preload(self) -> None:
        """Import the code of all graphs off the event loop, so that no run waits for it. Failures are logged; a run of
        such a graph reports them, too."""
        for graph_id in self.all_ids:
            try:
                await self._load_async(graph_id)
            except Misconfigured as error:
                shown = {} if error.__cause__ is None else {"exception": own_traceback(error.__cause__)}
                _log.error("graph cannot be loaded", graph_id=graph_id, reason=error.detail, **shown)

    @asynccontextmanager
    async def opened(
        self, graph_id: str, config: RunnableConfig, make_runtime: MakeRuntime
    ) -> AsyncIterator[Pregel[Any, Any, Any, Any]]:
        """The graph that a run with `config` executes. The factory closes its resources behind the block."""
        async with opened(await self._load_async(graph_id), self._complete(config), make_runtime) as graph:
            yield graph

    async def build_topology(
        self, graph_id: str, config: RunnableConfig, reading: Reading = "threads.read"
    ) -> Pregel[Any, Any, Any, Any]:
        """Build the graph that states are read with. The factory has closed its resources already."""
        source = await self._load_async(graph_id)
        topology = getattr(source, "topology", source)
        async with opened(topology, self._complete(config), reading_runtime(reading)) as graph:
            return graph

    async def has_factory(self, graph_id: str) -> bool:
        """Import the graph, and return whether a factory builds its topology. Raises NotFound, Misconfigured."""
        source = await self._load_async(graph_id)
        return is_factory(getattr(source, "topology", source))

    def notices_in(self, graph_id: str, messages: Any) -> list[Any]:
        """Return what the messages of a run report as missing or waiting for the user, if the factory collects
        notices."""
        collect = getattr(self.load(graph_id), "collect_notices", None)
        return list(collect(messages)) if collect is not None and messages else []

    async def close(self) -> None:
        """Close what graphs keep between runs, such as sessions with tool servers."""
        for source in self._loaded.values():
            close = getattr(source, "close", None)
            if close is not None:
                await close()

    async def _load_async(self, graph_id: str) -> Any:
        """Load the graph once, off the event loop."""
        self.check(graph_id)
        if graph_id not in self._loaded:
            async with self._loading:
                return await asyncio.to_thread(self.load, graph_id)
        return self._loaded[graph_id]

    def _complete(self, config: RunnableConfig) -> RunnableConfig:
        configurable = dict(config.get("configurable", {}))
        if configurable.get("model_name") is None:  # a client may send null
            configurable["model_name"] = self._default_model
        return {**config, "configurable": configurable}


def _import(graph_id: str, path: str) -> Any:
    try:
        source = import_object(path, f"agenthall_graph_{graph_id}")
    except (Exception, SystemExit) as error:  # importing executes the code of the graph
        raise _unloadable(graph_id, path, error) from error
    if not callable(source) and not hasattr(source, "astream") and not hasattr(source, "compile"):
        raise Misconfigured(
            f"AGENTHALL_GRAPHS: graph '{graph_id}' at '{path}' is of type {type(source).__name__}. "
            "It must be a compiled graph, a builder with compile(), or a function that makes one.",
            field="AGENTHALL_GRAPHS",
        )
    return source


def _unloadable(graph_id: str, path: str, error: BaseException) -> Misconfigured:
    reason = str(error) if isinstance(error, ImportError | OSError) else f"{type(error).__name__}: {error}"
    return Misconfigured(
        f"AGENTHALL_GRAPHS: graph '{graph_id}' cannot be loaded from '{path}': {reason}", field="AGENTHALL_GRAPHS"
    )
