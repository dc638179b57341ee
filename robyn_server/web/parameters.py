"""The query parameters that a route takes. What is refused and what `/openapi.json` says are made from the same definition.

Rules
  1. A name that the route does not know is refused: a filter that is misspelt must not filter nothing, a `dry_run` that is not there
     must not delete.
  2. What has one value is given once: nobody knows which of two was meant.
  3. An empty value names nothing and is refused, unless the parameter says that it may be empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robyn_server.core.errors import Invalid

from .http import Query

_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Parameter:
    """`most`: how many values it may have. `longest`: characters of each. `choices`: the words there are. `within`: an integer of that
    range, both ends in it; `default` is for the description alone."""

    name: str
    description: str
    most: int = 1
    longest: int | None = None
    choices: tuple[str, ...] = ()
    within: tuple[int, int] | None = None
    default: int | None = None
    may_be_empty: bool = False

    def ensure_fits(self, query: Query) -> None:
        """Raises Invalid, and BadRequest for what is no integer; both name the parameter."""
        values = query.get_all(self.name)
        if len(values) > self.most:
            raise self._refusal("give it once" if self.most == 1 else f"at most {self.most}")
        for value in values:
            self._ensure_word(value)
        if self.within is not None:
            query.integer(self.name, None, *self.within)

    def _ensure_word(self, value: str) -> None:
        if not value and not self.may_be_empty:
            raise self._refusal("must not be empty")
        if "\0" in value:
            raise self._refusal("Text must not contain the character NUL (\\u0000)", code="nul")
        if self.longest is not None and len(value) > self.longest:
            raise self._refusal(f"must have at most {self.longest} characters")
        if self.choices and value not in self.choices:
            raise self._refusal(f"must be one of {', '.join(self.choices)}")

    def _refusal(self, rule: str, code: str | None = None) -> Invalid:
        return Invalid(f"{self.name}: {rule}", field=self.name, code=code)

    @property
    def schema(self) -> dict[str, Any]:
        """Of OpenAPI: an array where it may be repeated."""
        value = self._integer if self.within is not None else self._text
        return value if self.most == 1 else {"type": "array", "items": value, "maxItems": self.most}

    @property
    def _integer(self) -> dict[str, Any]:
        low, high = self.within or (None, None)
        limits = {"minimum": low, "maximum": high, "default": self.default}
        return {"type": "integer", **{name: limit for name, limit in limits.items() if limit is not None}}

    @property
    def _text(self) -> dict[str, Any]:
        limits = {"maxLength": self.longest, "minLength": None if self.may_be_empty else 1}
        if self.choices:
            return {"type": "string", "enum": list(self.choices)}
        return {"type": "string", **{name: limit for name, limit in limits.items() if limit is not None}}


def ensure_fits(query: Query, parameters: Sequence[Parameter]) -> None:
    """Raises Invalid naming the first parameter that is none of `parameters`, or not as it must be; BadRequest for what is no integer."""
    known = [each.name for each in parameters]
    for name in sorted(query.names):  # they come in no order, and an error is the same each time
        if name not in known:
            raise _unknown(name[:_LONGEST_NAME].replace("\0", "\\u0000"), known)
    for each in parameters:
        each.ensure_fits(query)


def _unknown(name: str, known: Sequence[str]) -> Invalid:
    there = f"no such parameter; there are {', '.join(known)}" if known else "this takes no parameters in its address"
    return Invalid(f"{name}: {there}", field=name)
