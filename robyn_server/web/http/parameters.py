"""The query parameters of a route. Validation and `/openapi.json` derive from the same definition.

Rules
  1. An unknown name is refused: a misspelt filter must not match everything, a misspelt `dry_run` must not delete.
  2. A parameter with one value is given once: of two values, neither is preferred.
  3. An empty value is refused unless the parameter allows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robyn_server.core.errors import Invalid

from .messages import Query

_MAX_NAME_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Parameter:
    """`max_values`: how many values it may have. `max_length`: characters of each. `choices`: the allowed values.
    `within`: an integer in that closed range. `default`: documentation only."""

    name: str
    description: str
    max_values: int = 1
    max_length: int | None = None
    choices: tuple[str, ...] = ()
    within: tuple[int, int] | None = None
    default: int | None = None
    may_be_empty: bool = False

    def ensure_fits(self, query: Query) -> None:
        """Raises Invalid, or BadRequest for a value that is not an integer; both name the parameter."""
        values = query.get_all(self.name)
        if len(values) > self.max_values:
            raise self._refusal("give it once" if self.max_values == 1 else f"at most {self.max_values}")
        for value in values:
            self._ensure_word(value)
        if self.within is not None:
            query.integer(self.name, None, *self.within)

    def _ensure_word(self, value: str) -> None:
        if not value and not self.may_be_empty:
            raise self._refusal("must not be empty")
        if "\0" in value:
            raise self._refusal("Text must not contain the character NUL (\\u0000)", code="nul")
        if self.max_length is not None and len(value) > self.max_length:
            raise self._refusal(f"must have at most {self.max_length} characters")
        if self.choices and value not in self.choices:
            raise self._refusal(f"must be one of {', '.join(self.choices)}")

    def _refusal(self, rule: str, code: str | None = None) -> Invalid:
        return Invalid(f"{self.name}: {rule}", field=self.name, code=code)

    @property
    def schema(self) -> dict[str, Any]:
        """Its OpenAPI schema: an array where it may be repeated."""
        value = self._integer if self.within is not None else self._text
        return value if self.max_values == 1 else {"type": "array", "items": value, "maxItems": self.max_values}

    @property
    def _integer(self) -> dict[str, Any]:
        low, high = self.within or (None, None)
        limits = {"minimum": low, "maximum": high, "default": self.default}
        return {"type": "integer", **{name: limit for name, limit in limits.items() if limit is not None}}

    @property
    def _text(self) -> dict[str, Any]:
        limits = {"maxLength": self.max_length, "minLength": None if self.may_be_empty else 1}
        if self.choices:
            return {"type": "string", "enum": list(self.choices)}
        return {"type": "string", **{name: limit for name, limit in limits.items() if limit is not None}}


def ensure_fits(query: Query, parameters: Sequence[Parameter]) -> None:
    """Raises Invalid naming the first unknown or invalid parameter, BadRequest for a value that is not an integer."""
    known = [each.name for each in parameters]
    for name in sorted(query.names):  # sorted, so that the error is deterministic
        if name not in known:
            raise _unknown(name[:_MAX_NAME_LENGTH].replace("\0", "\\u0000"), known)
    for each in parameters:
        each.ensure_fits(query)


def _unknown(name: str, known: Sequence[str]) -> Invalid:
    there = f"no such parameter; there are {', '.join(known)}" if known else "this takes no parameters in its address"
    return Invalid(f"{name}: {there}", field=name)
