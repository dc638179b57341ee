"""Bodies of /store."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from robyn_server.core.json.bounded import JsonObject, Listed, Name, Text
from robyn_server.core.store.items import NamespacePattern
from robyn_server.graphs.embeddings import Paths

from .fields import Body, Limit, Offset

Labels = Listed[Name]


class ItemName(Body):
    namespace: Labels
    key: Name


class ItemPut(ItemName):
    value: JsonObject
    index: Listed[Name] | bool | None = None
    ttl: float | None = None

    def paths(self) -> Paths:
        """`true` is the default of the server."""
        return None if self.index is True else self.index


class ItemSearch(Body):
    namespace_prefix: Labels | None = None
    filter: JsonObject | None = None
    limit: Limit = 10
    offset: Offset = 0
    query: Text | None = None
    refresh_ttl: bool | None = None


class NamespaceList(Body):
    prefix: Labels | None = None
    suffix: Labels | None = None
    max_depth: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None
    limit: Limit = 100
    offset: Offset = 0

    def patterns(self) -> list[NamespacePattern]:
        given = [NamespacePattern(tuple(self.prefix))] if self.prefix else []
        return [*given, NamespacePattern(tuple(self.suffix), is_suffix=True)] if self.suffix else given
