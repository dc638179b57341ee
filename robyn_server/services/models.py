"""Which models a principal may name. A model runs on the server's API keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Forbidden, Invalid

_FIELD = "config.configurable.model_name"
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class AllowedModels:
    """The default model is always allowed.

    `patterns` (AGENTHALL_MODELS, with `*` and `?`) hold for everybody, and for the catalogue's agents. Without them an
    assistant keeps the model that it has, and only administrators may name another.
    """

    default: str
    patterns: tuple[str, ...] | None = None

    def check(
        self, principal: Principal, configurable: Mapping[str, Any] | None, owned: Mapping[str, Any] | None = None
    ) -> None:
        """Raises Forbidden naming the model of `configurable`, and Invalid.

        `owned`: the `configurable` that the assistant has.
        """
        name = (configurable or {}).get("model_name")
        if name is None or name == self.default:
            return
        if not isinstance(name, str):
            raise Invalid("model_name: must be a string", field=_FIELD)
        if not self._allows(principal, name, owned or {}):
            raise Forbidden(
                f"The model '{name[:_SHOWN]}' is not allowed here; an administrator can allow it (AGENTHALL_MODELS).",
                code="model_not_allowed",
                field=_FIELD,
            )

    def _allows(self, principal: Principal, name: str, owned: Mapping[str, Any]) -> bool:
        if self.patterns is not None:
            return any(fnmatchcase(name, pattern) for pattern in self.patterns)
        return principal.is_admin or owned.get("model_name") == name
