"""The serializer of checkpoints: LangGraph's own, extended by values that msgpack has no form for.

- An integer over 64 bits is stored exactly. Without this a run ends after a tool ran that returned one.
- Lists and objects that are nested deeper than msgpack writes are stored as JSON text, and read as they were.
"""

from __future__ import annotations

import json
import os
from typing import Any

os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")  # a checkpoint may import known types only

import ormsgpack
from langgraph.checkpoint.serde import jsonplus
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

_OPTIONS = jsonplus._option | ormsgpack.OPT_PASSTHROUGH_BIG_INT  # noqa: SLF001
_TOO_DEEP = "Recursion limit reached"
_LEVELS = 100
"""Levels that are stored as they are, when all of them are too many."""

_CONSTRUCTORS = (("builtins", "int"), ("json", "loads"))
"""Functions that a checkpoint may name besides LangGraph's safe types. Each returns data of JSON."""


def checkpoint_serializer() -> JsonPlusSerializer:
    return JsonPlusSerializer(allowed_msgpack_modules=_CONSTRUCTORS)


class _JsonText(str):
    """JSON text of a value that is too deep for msgpack."""

    __slots__ = ()


def _pack(data: Any) -> bytes:
    try:
        return ormsgpack.packb(data, default=_default, option=_OPTIONS)
    except ormsgpack.MsgpackEncodeError as error:
        if _TOO_DEEP not in str(error):
            raise
        folded = _folded(data, _LEVELS)
        return ormsgpack.packb(folded, default=_default, option=_OPTIONS | ormsgpack.OPT_PASSTHROUGH_SUBCLASS)


def _default(value: Any) -> Any:
    if isinstance(value, _JsonText):
        return _constructed("json", "loads", [str(value)])
    if type(value) is int:
        return _constructed("builtins", "int", [hex(value), 16])  # hexadecimal: Python limits the decimal digits
    return jsonplus._msgpack_default(value)  # noqa: SLF001


def _constructed(module: str, name: str, arguments: list[Any]) -> ormsgpack.Ext:
    return ormsgpack.Ext(jsonplus.EXT_CONSTRUCTOR_POS_ARGS, _pack((module, name, arguments)))


def _folded(value: Any, levels: int) -> Any:
    if isinstance(value, dict):
        return _json(value) if levels == 0 else {key: _folded(each, levels - 1) for key, each in value.items()}
    if isinstance(value, list | tuple) and type(value) in {list, tuple}:
        return _json(value) if levels == 0 else [_folded(each, levels - 1) for each in value]
    return value


def _json(value: Any) -> _JsonText:
    try:
        return _JsonText(json.dumps(value))
    except (RecursionError, ValueError):  # the second: a list that contains itself
        raise ValueError("A value of the state is nested too deeply to be stored.") from None


# LangGraph's encoder of nested values (messages, dataclasses) is a function of its module, not of the serializer, so
# there is no other place to extend it. `tests/graphs/checkpoints/test_checkpoint_serializer.py` fails if that changes.
jsonplus._msgpack_enc = _pack  # noqa: SLF001
