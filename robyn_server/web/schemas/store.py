"""Bodies of /store."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from robyn_server.core.bounded import JsonObject, Listed, Name, Text
from robyn_server.core.errors import FieldNotOffered
from robyn_server.core.store import NamespacePattern

from .fields import Body, Limit, Offset

Labels = Listed[Name]


class ItemName(Body):
    namespace: Labels
    key: Name


class ItemPut(ItemName):
    value: JsonObject
    index: Listed[Name] | bool | None = None
    ttl: float | None = None

    def refuse_unbuilt(self) -> None:
        """`false` asks for no index, and there is none."""
        if self.index is not None and self.index is not False:
            raise FieldNotOffered(
                "'index' is not offered by this server yet: the store has no index by meaning.", field="index"
            )


class ItemSearch(Body):
    namespace_prefix: Labels | None = None
    filter: JsonObject | None = None
    limit: Limit = 10
    offset: Offset = 0
    query: Text | None = None
    refresh_ttl: bool | None = None

    def refuse_unbuilt(self) -> None:
        if self.query:
            raise FieldNotOffered("'query' is not offered by this server yet: search with 'filter'.", field="query")


class NamespaceList(Body):
    prefix: Labels | None = None
    suffix: Labels | None = None
    max_depth: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None
    limit: Limit = 100
    offset: Offset = 0

    def patterns(self) -> list[NamespacePattern]:
        given = [NamespacePattern(tuple(self.prefix))] if self.prefix else []
        return [*given, NamespacePattern(tuple(self.suffix), is_suffix=True)] if self.suffix else given
