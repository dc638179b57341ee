"""Every named query bears the name of the function that runs it, and is bound to exactly the values that it takes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from robyn_server import storage
from robyn_server.core.access.principal import LOCAL
from robyn_server.storage.postgres.pools import acting
from robyn_server.storage.postgres.queries import load, load_templates, nouns

UNRUN = {"fragments", "agent_sync/fragments"}
"""Files that hold fragments only."""


@dataclass(frozen=True)
class Use:
    """One `_SQL["name"]` or `_TEMPLATES["name"]` in `function`.

    `values`: what `.bind()` is given there; None where that cannot be read off the code.
    """

    where: str
    noun: str
    function: str
    name: str
    values: frozenset[str] | None


def _uses() -> Iterator[Use]:
    (folder,) = storage.__path__
    for path in sorted(Path(folder).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        noun = next((_noun(node) for node in tree.body if _noun(node)), None)
        for function in ast.walk(tree):
            if noun is not None and isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _uses_in(function, noun, path.name)


def _noun(node: ast.stmt) -> str | None:
    """The noun in `_SQL = load("noun")`."""
    match node:
        case ast.Assign([ast.Name("_SQL")], ast.Call(ast.Name("load"), [ast.Constant(str(noun))])):
            return noun
    return None


def _uses_in(function: ast.FunctionDef | ast.AsyncFunctionDef, noun: str, file: str) -> Iterator[Use]:
    bound = {id(call.func.value): call for call in ast.walk(function) if _is_bind(call)}
    for node in ast.walk(function):
        match node:
            case ast.Subscript(ast.Name("_SQL"), ast.Constant(str(name))):
                values = _values(bound[id(node)]) if id(node) in bound else None
                yield Use(f"{file}:{node.lineno}", noun, function.name.strip("_"), name, values)
            case ast.Subscript(ast.Name("_TEMPLATES"), ast.Constant(str(name))):
                yield Use(f"{file}:{node.lineno}", noun, function.name.strip("_"), name, None)
            case ast.Subscript(ast.Name("_SQL" | "_TEMPLATES")):
                pytest.fail(f"{file}:{node.lineno} does not name its query")


def _is_bind(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "bind"


def _values(call: ast.Call) -> frozenset[str] | None:
    names = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
    for unpacked in (keyword.value for keyword in call.keywords if keyword.arg is None):
        if not (
            isinstance(unpacked, ast.Call) and isinstance(unpacked.func, ast.Name) and unpacked.func.id == "acting"
        ):
            return None
        names |= acting(LOCAL).keys()
    return frozenset(names)


USES = list(_uses())


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.where}")
def test_a_query_is_named_after_the_function_that_runs_it(use: Use) -> None:
    assert use.name == use.function or use.name.startswith(f"{use.function}_")


@pytest.mark.parametrize("use", [use for use in USES if use.values is not None], ids=lambda use: f"{use.where}")
def test_a_query_is_given_the_values_that_it_takes(use: Use) -> None:
    assert use.values == set(load(use.noun)[use.name].parameters)


@pytest.mark.parametrize("noun", sorted(set(nouns()) - UNRUN))
def test_every_query_is_run(noun: str) -> None:
    assert load(noun).keys() | load_templates(noun).keys() == {use.name for use in USES if use.noun == noun}
