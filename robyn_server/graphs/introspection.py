"""Drawings of graphs, and the JSON schemas of their inputs, outputs, states and contexts.

The answers are cached for a minute, because a graph with messages takes 80 ms. LangGraph is imported by the first
request that needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import orjson
import structlog

from robyn_server.concurrency.ttl_cache import TtlCache
from robyn_server.core.json import exact_json

from .topologies import Topologies

if TYPE_CHECKING:
    from langgraph.pregel import Pregel

    Graph = Pregel[Any, Any, Any, Any]

_SECONDS = 60.0
_ANSWERS = 128
DEEPEST = 100
"""Levels of subgraphs in a drawing. A greater depth is drawn as this one."""

_log = structlog.get_logger(__name__)


class _Question(NamedTuple):
    """`what`: a name in `_READERS`.

    `arguments` and `config` are JSON, which tells `true` from 1, as equality does not.
    """

    graph_id: str
    what: str
    arguments: bytes
    config: bytes


class GraphIntrospection:
    """All methods raise NotFound, Unservable (the graph cannot be built) and Unavailable."""

    def __init__(self, topologies: Topologies) -> None:
        self._topologies = topologies
        self._answers = TtlCache(self._read, seconds=_SECONDS, max_size=_ANSWERS)

    async def drawing(self, graph_id: str, config: Mapping[str, Any], xray: bool | int) -> bytes:
        """Nodes and edges as JSON. `xray`: whether subgraphs are drawn, or to which depth."""
        depth = xray if isinstance(xray, bool) else min(xray, DEEPEST)
        return cast("bytes", await self._answer(graph_id, "drawing", config, depth))

    async def schemas(self, graph_id: str, config: Mapping[str, Any]) -> bytes:
        """The five schemas, and `graph_id`, as JSON. A schema that cannot be made is null."""
        return cast("bytes", await self._answer(graph_id, "schemas", config))

    async def subgraph_schemas(
        self, graph_id: str, config: Mapping[str, Any], namespace: str | None, *, recurse: bool
    ) -> bytes:
        """The schemas of subgraphs by their path `node|node`, as JSON: of one, of the first level, or of all."""
        schemas: dict[str, Any] = await self._answer(graph_id, "subgraphs", config)
        if namespace is not None:
            chosen = [namespace] if namespace in schemas else []
        else:
            chosen = [path for path in schemas if recurse or "|" not in path]
        return orjson.dumps({path: orjson.Fragment(schemas[path]) for path in chosen})

    async def _answer(self, graph_id: str, what: str, config: Mapping[str, Any], *arguments: object) -> Any:
        depends = await self._topologies.is_configurable(graph_id)
        given = exact_json.dumps(config if depends else {})
        return await self._answers.get(_Question(graph_id, what, orjson.dumps(arguments), given))

    async def _read(self, question: _Question) -> Any:
        read = partial(_READERS[question.what], question.graph_id, *orjson.loads(question.arguments))
        return await self._topologies.read(question.graph_id, exact_json.loads(question.config), read)


def _drawing(_graph_id: str, xray: bool | int, graph: Graph) -> bytes:
    from .checkpoints.serialization import dumps

    drawn: dict[str, Any] = graph.get_graph(xray=xray).to_json()
    for node in drawn["nodes"]:
        if isinstance(node.get("data"), dict):
            node["data"].pop("id", None)  # a path of LangChain's classes
    return dumps(drawn)


def _schemas(graph_id: str, graph: Graph) -> bytes:
    from .checkpoints.serialization import dumps

    return dumps({"graph_id": graph_id} | _schemas_of(graph.copy({"name": graph_id})))


def _subgraphs(_graph_id: str, graph: Graph) -> dict[str, bytes]:
    from .checkpoints.serialization import dumps

    return {path: dumps(_schemas_of(cast("Graph", each))) for path, each in graph.get_subgraphs(recurse=True)}


_READERS: dict[str, Callable[..., Any]] = {"drawing": _drawing, "schemas": _schemas, "subgraphs": _subgraphs}


def _schemas_of(graph: Graph) -> dict[str, Any]:
    builder = getattr(graph, "builder", None)
    context = _schema(graph, "context", graph.get_context_jsonschema, graph.context_schema)
    return {
        "input_schema": _schema(graph, "input", graph.get_input_jsonschema, getattr(builder, "input_schema", None)),
        "output_schema": _schema(graph, "output", graph.get_output_jsonschema, getattr(builder, "output_schema", None)),
        "state_schema": _schema(graph, "state", partial(_state_schema, graph), None),
        "config_schema": {} if graph.context_schema is None else context,
        "context_schema": context,
    }


def _schema(graph: Graph, name: str, make: Callable[[], Any], declared: Any) -> Any:
    """The schema that `make` returns, else that of the type `declared`; None if there is none."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - a type of the graph may raise anything, and the others have schemas
        reason = error
    if _is_old_typed_dict(declared):
        return _type_schema(_portable(declared))
    _log.warning("graph has no schema", name=graph.get_name(), schema=name, reason=repr(reason)[:500])
    return None


def _state_schema(graph: Graph) -> dict[str, Any]:
    """The channels that a run's values have. A channel whose type has no schema takes any value."""
    from pydantic import create_model

    channels: Mapping[str, Any] = graph.channels
    fields: dict[str, Any] = {
        name: (_describable(channels[name].UpdateType), None) for name in graph.stream_channels_list
    }
    model: Any = create_model(graph.get_name("State"), **fields)
    return dict(model.model_json_schema())


def _type_schema(type_: Any) -> dict[str, Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(type_).json_schema()


def _describable(type_: Any) -> Any:
    described = _portable(type_) if _is_old_typed_dict(type_) else type_
    try:
        _type_schema(described)
    except Exception:  # noqa: BLE001 - as in _schema
        return Any
    return described


def _is_old_typed_dict(type_: Any) -> bool:
    """Whether it is a typing.TypedDict that pydantic refuses: Python has told its own fields from inherited ones since
    3.12."""
    import typing

    return sys.version_info < (3, 12) and typing.is_typeddict(type_)


def _portable(type_: Any) -> Any:
    """The TypedDict of typing_extensions with the fields of a typing.TypedDict."""
    from typing import NotRequired, Required

    from typing_extensions import TypedDict, get_type_hints

    fields = {
        name: (Required if name in type_.__required_keys__ else NotRequired)[_describable(hint)]
        for name, hint in get_type_hints(type_).items()
    }
    return TypedDict(type_.__name__, fields)  # type: ignore[operator]
