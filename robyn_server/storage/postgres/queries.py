"""Named queries: SQL is source.

Rules
  1. `sql/<noun>.sql` holds the statements of one module, each under a line `-- name: <name>`. The name is that of the
     function that runs it, `<function>_<step>` where a function runs several.
  2. A part that several statements share stands once, under `-- fragment: <name>`, and is written `{name}` where it is
     used. `-- include: <noun>` adds the fragments of another file.
  3. A parameter is written `:name`. PostgreSQL gets `$1`, `$2` and so on, in the order of first use; positional ones
     are refused.
  4. A colon in a comment, a literal, a quoted name or a cast starts no parameter. Neither does one right after an
     expression, as in the slice `a[1:n]`.
  5. A statement with optional filters stands under `-- template: <name>`. It has open parts, also written `{part}`,
     which `Template.compose` fills with fragments. Each combination of filters is a statement with a plan of its own,
     because a plan for `(:status is null or status = :status)` cannot use an index of `status`. Open parts never hold
     text of a client.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

_FOLDER = Path(__file__).parents[1] / "sql"
_HEAD = re.compile(r"^-- (name|template|fragment|include): ([\w/]+)\s*$", re.MULTILINE)

_TOKEN = re.compile(
    r"""
    (?=[-eE'"$:{/])(?:                                    # most positions fail here, which makes parsing ten times faster
      --[^\n]*                                            # a comment
    | (?<!\w)[eE]'(?:[^'\\]|\\.|'')*'                     # a literal with backslash escapes
    | '(?:[^']|'')*'                                      # a literal
    | "(?:[^"]|"")*"                                      # a quoted name
    | (?<!\w)\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$  # a literal in dollar quotes
    | ::                                                  # a cast
    | (?<![\w)\]"':]):(?P<parameter>[A-Za-z_]\w*)
    | \{(?P<fragment>\w+)\}
    | (?P<refused>/\*|(?<!\w)\$\d+)
    )
    """,
    re.VERBOSE | re.DOTALL,
)

Bound: TypeAlias = tuple[str, *tuple[Any, ...]]
"""A statement and its arguments in order: what the methods of a connection or a pool take."""


@dataclass(frozen=True, slots=True)
class Query:
    """A statement with positional parameters; `parameters` names them in that order."""

    name: str
    sql: str
    parameters: tuple[str, ...]

    @classmethod
    def parse(cls, name: str, text: str) -> Query:
        """Number the named parameters of `text`. Raises ValueError for positional parameters and `/* */` comments."""
        numbers: dict[str, int] = {}

        def number(token: re.Match[str]) -> str:
            if token["refused"]:
                raise ValueError(f"{name}: {token['refused']} is not supported. Use :name parameters and -- comments.")
            parameter = token["parameter"]
            return f"${numbers.setdefault(parameter, len(numbers) + 1)}" if parameter else token[0]

        sql = _TOKEN.sub(number, text)
        return cls(name, sql, tuple(numbers))

    def bind(self, /, **values: Any) -> Bound:
        """Put the values in the order of the parameters, for `pool.fetch(*query.bind(...))`.

        Raises TypeError unless there is exactly one value for each parameter.
        """
        try:
            arguments = [values[parameter] for parameter in self.parameters]
        except KeyError:
            raise self._mismatch(values) from None
        if len(values) != len(arguments):
            raise self._mismatch(values)
        return (self.sql, *arguments)

    def _mismatch(self, values: Mapping[str, Any]) -> TypeError:
        missing = [parameter for parameter in self.parameters if parameter not in values]
        unknown = [name for name in values if name not in self.parameters]
        return TypeError(f"{self.name}: missing values {missing}, unknown values {unknown}")


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A statement with open parts."""

    name: str
    text: str
    expand: Callable[[str, Mapping[str, str]], str]

    def compose(self, **parts: str | Sequence[str]) -> Query:
        """Fill the open parts and return the statement.

        A part is the name of a fragment, or a sequence of names, which are joined with AND (none: true). Raises
        ValueError for an unknown name and for a part that is missing or not open.
        """
        chosen = {part: _conjunction(names) for part, names in parts.items()}
        return Query.parse(self.name, self.expand(self.text, chosen))


def _conjunction(names: str | Sequence[str]) -> str:
    if isinstance(names, str):
        return _reference(names)
    return " and ".join(f"({_reference(name)})" for name in names) or "true"


def _reference(name: str) -> str:
    if not name.isidentifier():
        raise ValueError(f"a template has no fragment {name!r}")
    return f"{{{name}}}"


@cache
def load(noun: str) -> Mapping[str, Query]:
    """The queries of `sql/<noun>.sql` by name. Raises ValueError for a file that breaks the rules."""
    return parse_queries(noun, _read(noun))


@cache
def load_templates(noun: str) -> Mapping[str, Template]:
    """The templates of `sql/<noun>.sql` by name."""
    return parse_templates(noun, _read(noun))


def parse_queries(noun: str, text: str) -> Mapping[str, Query]:
    """The queries of a file by name. Raises ValueError for a file that breaks the rules."""
    pieces = _pieces(noun, text)
    expand = _expander(noun, _fragments(pieces))
    return MappingProxyType(
        {name: Query.parse(f"{noun}.{name}", expand(body, {})) for kind, name, body in pieces if kind == "name"}
    )


def parse_templates(noun: str, text: str) -> Mapping[str, Template]:
    """The templates of a file by name."""
    pieces = _pieces(noun, text)
    expand = _expander(noun, _fragments(pieces))
    return MappingProxyType(
        {name: Template(f"{noun}.{name}", body, expand) for kind, name, body in pieces if kind == "template"}
    )


def nouns() -> list[str]:
    """Every file of named queries, for the test that prepares them all."""
    return sorted(path.relative_to(_FOLDER).with_suffix("").as_posix() for path in _FOLDER.rglob("*.sql"))


def _read(noun: str) -> str:
    return (_FOLDER / f"{noun}.sql").read_text(encoding="utf-8")


def _pieces(noun: str, text: str) -> list[tuple[str, str, str]]:
    """(kind, name, body) of each part of a file."""
    parts = _HEAD.split(text)
    pieces = [
        (kind, name, body.strip().rstrip(";"))
        for kind, name, body in zip(*(parts[i::3] for i in (1, 2, 3)), strict=True)
    ]
    if len({name for _, name, _ in pieces}) != len(pieces):
        raise ValueError(f"sql/{noun}.sql uses a name twice")
    return pieces


def _fragments(pieces: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, name, body in pieces:
        if kind == "include":
            found |= _fragments(_pieces(name, _read(name)))
        elif kind == "fragment":
            found[name] = body
    return found


def _expander(noun: str, fragments: Mapping[str, str]) -> Callable[[str, Mapping[str, str]], str]:
    def expand(text: str, parts: Mapping[str, str]) -> str:
        used: set[str] = set()

        def fill(text: str) -> str:
            return _TOKEN.sub(lambda token: fragment(token["fragment"]) if token["fragment"] else token[0], text)

        def fragment(name: str) -> str:
            if name in parts:
                used.add(name)
                return fill(parts[name])
            if name not in fragments:
                raise ValueError(f"sql/{noun}.sql has no fragment {name}")
            return fill(fragments[name])

        filled = fill(text)
        if unused := set(parts) - used:
            raise ValueError(f"sql/{noun}.sql: not an open part: {', '.join(sorted(unused))}")
        return filled

    return expand
