"""Vectors for the store's index by meaning: of the texts in an item's value, and of a query.

The embedding model is LangChain's (`provider:model`), or a function or object of the project. Its code is imported at
the first use.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from robyn_server.core.errors import Invalid, Unavailable
from robyn_server.core.store.options import StoreIndex

from .loading.imports import import_object

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

MOST_TEXTS = 100
"""Of one item."""

Vectors: TypeAlias = dict[str, list[float]]
"""By field: the path in the value, and the number of the text if there are several."""

Paths: TypeAlias = Sequence[str] | Literal[False] | None
"""Of the texts to index. None: those of the settings. False: none."""


class ItemEmbedder:
    """Methods raise Unavailable if the model fails, cannot be loaded or has other dimensions."""

    def __init__(self, index: StoreIndex) -> None:
        self._index = index
        self._embeddings: Embeddings | None = None
        self._loading = asyncio.Lock()

    async def embed_item(self, value: Mapping[str, Any], paths: Paths) -> Vectors:
        """Raises Invalid for more than MOST_TEXTS texts."""
        if paths is False:
            return {}
        texts = await asyncio.to_thread(_texts, value, self._index.fields if paths is None else paths)
        if len(texts) > MOST_TEXTS:
            raise Invalid(f"index: {len(texts)} texts; an item has at most {MOST_TEXTS}", field="index")
        return dict(zip(texts, await self._embed(list(texts.values())), strict=True)) if texts else {}

    async def embed_query(self, query: str) -> list[float]:
        embeddings = await self.load()
        try:
            vector = await embeddings.aembed_query(query)
        except Exception as error:  # each provider's client has its own exception types
            raise self._failed(error) from error
        return self._checked(vector)

    async def load(self) -> Embeddings:
        async with self._loading:
            if self._embeddings is None:
                self._embeddings = await asyncio.to_thread(_load, self._index.embed)
            return self._embeddings

    async def _embed(self, texts: list[str]) -> list[list[float]]:
        embeddings = await self.load()
        try:
            vectors = await embeddings.aembed_documents(texts)
        except Exception as error:  # as above
            raise self._failed(error) from error
        if len(vectors) != len(texts):
            raise Unavailable(f"store.index: {self._index.embed} made {len(vectors)} vectors of {len(texts)} texts")
        return [self._checked(vector) for vector in vectors]

    def _checked(self, vector: Sequence[float]) -> list[float]:
        numbers = [float(number) for number in vector]
        if len(numbers) != self._index.dims:
            raise Unavailable(
                f"store.index: {self._index.embed} makes vectors of {len(numbers)} numbers, and `dims` is {self._index.dims}"
            )
        if not all(map(math.isfinite, numbers)):
            raise Unavailable(f"store.index: {self._index.embed} made a vector with a number that is not finite")
        return numbers

    def _failed(self, error: Exception) -> Unavailable:
        return Unavailable(f"store.index: {self._index.embed} failed: {type(error).__name__}: {error}")


def _load(embed: str) -> Embeddings:
    from langgraph.store.base.embed import ensure_embeddings

    try:
        source = import_object(embed, "agenthall_embed") if ".py:" in embed else embed
        return ensure_embeddings(source)
    except (Exception, SystemExit) as error:  # importing executes the code of the project
        raise Unavailable(f"store.index.embed: '{embed}' cannot be loaded: {type(error).__name__}: {error}") from error


def _texts(value: Mapping[str, Any], paths: Sequence[str]) -> dict[str, str]:
    from langgraph.store.base.embed import get_text_at_path

    found = dict[str, str]()
    for path in paths:
        texts = get_text_at_path(value, path)
        found |= {f"{path}.{number}" if len(texts) > 1 else path: text for number, text in enumerate(texts)}
    return found
