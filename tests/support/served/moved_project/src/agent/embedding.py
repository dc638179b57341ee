"""A model without a network: texts are near that have the same letters."""

from __future__ import annotations

import string


async def embed(texts: list[str]) -> list[list[float]]:
    return [[0.01 + text.lower().count(letter) for letter in string.ascii_lowercase] for text in texts]
