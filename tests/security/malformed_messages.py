"""Messages on a WebSocket that are close to valid ones. The same seed makes the same messages."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from robyn_server.sockets.methods.table import AUTH, METHODS

from .malformed_requests import VALUES
from .plausible import PLAUSIBLE


class MalformedMessages:
    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)

    def make(self) -> str | bytes:
        text = json.dumps(self._wrapped(self._envelope()))
        change = self._chance.randrange(12)
        if change == 0:
            return text[: self._chance.randrange(len(text))]
        if change == 1:
            return text.replace(":", self._chance.choice(["", "::", ": NaN, :"]), 1)
        if change == 2:
            return text.replace("{", '{"type": 0, "type": 0, ', 1)
        return text.encode() if change == 3 else text

    def _envelope(self) -> dict[str, Any]:
        chance = self._chance
        method = chance.choice([*METHODS, *AUTH, chance.choice(VALUES)])
        head: dict[str, Any] = chance.choice([{"type": 0, "id": 1}, {"jsonrpc": "2.0", "id": 1}, {"type": 2}])
        message = {**head, "method": method, "params": self._params(method)}
        if chance.random() < 0.3:
            message[chance.choice(["type", "id", "method", "params", "jsonrpc", "messages", "x"])] = chance.choice(
                VALUES
            )
        return message

    def _params(self, method: Any) -> dict[str, Any]:
        known = METHODS.get(method) if isinstance(method, str) else None
        names = list(known.params.model_fields) if known is not None else ["tenant_id", "auth", "api_key"]
        given = {name: PLAUSIBLE[name] for name in names if name in PLAUSIBLE and self._chance.random() < 0.5}
        for _ in range(self._chance.choice([0, 1, 1, 2])):
            given[self._chance.choice([*names, "auth", "x"])] = self._chance.choice(VALUES)
        return given

    def _wrapped(self, message: dict[str, Any]) -> Any:
        kind = self._chance.randrange(10)
        if kind == 0:
            return [message] * self._chance.choice([1, 3, 64, 65])
        if kind == 1:
            return {"type": 6, "id": "b", "messages": [message] * self._chance.choice([0, 1, 64, 65])}
        return message if kind > 2 else self._chance.choice(VALUES)
