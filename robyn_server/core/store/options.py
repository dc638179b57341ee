"""Options of the store: the index by meaning, and the lifetime of items.

They are `store.index` and `store.ttl` of a `langgraph.json`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MOST_DIMENSIONS = 16_000
"""Of a vector in pgvector."""

Path = Annotated[str, Field(min_length=1, max_length=1024)]


class StoreIndex(BaseModel):
    """`embed`: `provider:model` or `path/to/file.py:name`. `fields`: paths in a value; `$` is all of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embed: Annotated[str, Field(min_length=1)]
    dims: Annotated[int, Field(ge=1, le=MOST_DIMENSIONS)]
    fields: Annotated[tuple[Path, ...], Field(min_length=1, max_length=100)] = ("$",)


class StoreLifetimes(BaseModel):
    """`default_ttl`: minutes, of items that are put without a `ttl`. `refresh_on_read`: of reads that do not say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default_ttl: Annotated[float, Field(gt=0)] | None = None
    refresh_on_read: bool = True
