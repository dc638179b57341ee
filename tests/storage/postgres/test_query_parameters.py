"""How named parameters of a query become positional ones, and how values are bound to them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robyn_server.storage.postgres.queries import Query, parse_queries, parse_templates


def parse(text: str) -> Query:
    return Query.parse("nouns.name", text)


def test_parameters_are_numbered_in_the_order_of_first_use() -> None:
    query = parse("select :b, :a, :b")
    assert (query.sql, query.parameters) == ("select $1, $2, $1", ("b", "a"))


@pytest.mark.parametrize(
    "text",
    [
        "select ':a'",
        "select 'it''s :a'",
        "select E'\\':a'",
        "select e':a\\\\'",
        "select E'it''s :a'",
        'select 1 as ":a"',
        'select 1 as "a"":a"',
        "select $$ :a $1 $$",
        "select $body$ :a $$ :b $body$",
        "select 1 -- :a, the user's",
        "select a::text, (1)::text, null::text[]",
        "select a[1:n], a[m:n], a[(1):n], a[b[1]:n]",
        "select f(a := 1)",
        "select json_object('a':b)",
    ],
)
def test_other_colons_start_no_parameter(text: str) -> None:
    query = parse(text)
    assert (query.sql, query.parameters) == (text, ())


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("select :a::uuid", "select $1::uuid"),
        ("select (:a)::uuid[]", "select ($1)::uuid[]"),
        ("select j -> :a, j->:a, j ->> :a, j #>:a", "select j -> $1, j->$1, j ->> $1, j #>$1"),
        ("select j @> :a::jsonb and j ?| :a", "select j @> $1::jsonb and j ?| $1"),
        ("select array[:a, 1], array[1,:a]", "select array[$1, 1], array[1,$1]"),
        ("select x[:a : n]", "select x[$1 : n]"),
        ("select ':b' || :a || E'\\':b'", "select ':b' || $1 || E'\\':b'"),
        ("select -- :b\n:a", "select -- :b\n$1"),
        ("select a-:a, f(a => :a), f(a =>:a)", "select a-$1, f(a => $1), f(a =>$1)"),
        ("select date':b', name'x\\' || :a", "select date':b', name'x\\' || $1"),
        ("select $b$:b$b$ || :a", "select $b$:b$b$ || $1"),
    ],
)
def test_parameters_are_found_among_other_syntax(text: str, sql: str) -> None:
    query = parse(text)
    assert (query.sql, query.parameters) == (sql, ("a",))


_OPAQUE = st.sampled_from(
    ["'it''s :no'", "E'\\':no'", '":no"', "$$:no$$", "$t$ :no $$ $t$", "-- :no 'no\n", "x::no", "a[1:no]", "'{no}'"]
)
_NAME = st.sampled_from(["a", "b", "agent_id", "_x", "A1"])


@given(st.lists(st.tuples(_OPAQUE, _NAME), max_size=8))
def test_each_parameter_is_replaced_wherever_it_stands(parts: list[tuple[str, str]]) -> None:
    query = parse(" ".join(f"{opaque} :{name}" for opaque, name in parts))
    names = [name for _, name in parts]
    assert query.parameters == tuple(dict.fromkeys(names))
    numbers = [query.parameters.index(name) + 1 for name in names]
    assert query.sql == " ".join(f"{opaque} ${n}" for (opaque, _), n in zip(parts, numbers, strict=True))


@given(st.text("ab:'\"[]()e\\ \n-,{}1"))
def test_nothing_but_parameters_is_changed(text: str) -> None:
    query = parse(text)
    assert re.sub(r"\$(\d+)", lambda found: ":" + query.parameters[int(found[1]) - 1], query.sql) == text


_NAMES = st.lists(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), unique=True, max_size=20)


@given(_NAMES.flatmap(lambda names: st.tuples(st.just(names), st.permutations(names))))
def test_values_are_bound_by_name_whatever_their_order(names: tuple[list[str], list[str]]) -> None:
    parameters, given = names
    query = parse("select " + ", ".join(f":{name}" for name in parameters))
    assert query.bind(**{name: name.upper() for name in given}) == (query.sql, *map(str.upper, parameters))


@pytest.mark.parametrize("values", [{}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 2}])
def test_missing_and_unknown_values_are_refused_by_name(values: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"nouns\.name: missing values .*, unknown values") as refused:
        parse("select :a, :b").bind(**values)
    for name in {"a", "b"} ^ values.keys():
        assert f"'{name}'" in str(refused.value)


def test_none_is_a_value() -> None:
    assert parse("select :self").bind(self=None) == ("select $1", None)


@pytest.mark.parametrize("text", ["select $1", "select :a, $2", "select /* :a */ 1"])
def test_positional_parameters_and_block_comments_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"nouns\.name: .* is not supported"):
        parse(text)


_TEMPLATE = (
    "-- fragment: a\na = :a\n-- fragment: b\nb = :b or {a}\n-- fragment: down\ndesc\n-- fragment: by_x\nx {direction}\n"
    "-- template: search\nselect x from t where {filters} order by {order}\n-- name: one\nselect {a}"
)


@pytest.mark.parametrize(
    ("filters", "where", "parameters"),
    [
        ((), "true", ()),
        (("a",), "(a = $1)", ("a",)),
        (("b", "a"), "(b = $1 or a = $2) and (a = $2)", ("b", "a")),
    ],
)
def test_a_template_is_composed_of_the_filters_that_are_given(
    filters: tuple[str, ...], where: str, parameters: tuple[str, ...]
) -> None:
    query = parse_templates("nouns", _TEMPLATE)["search"].compose(filters=filters, order="by_x", direction="down")
    assert (query.sql, query.parameters) == (f"select x from t where {where} order by x desc", parameters)


@pytest.mark.parametrize(
    ("parts", "refused"),
    [
        ({"filters": ("x; drop table t",)}, "has no fragment"),
        ({"filters": ("c",)}, "has no fragment c"),
        ({"order": "x desc"}, "has no fragment"),
        ({"order": "{by_x}"}, "has no fragment"),
        ({"more": "a"}, "not an open part: more"),
    ],
)
def test_a_template_takes_names_of_fragments_only(parts: dict[str, Any], refused: str) -> None:
    template = parse_templates("nouns", _TEMPLATE)["search"]
    with pytest.raises(ValueError, match=refused):
        template.compose(**{"filters": (), "order": "by_x", "direction": "down"} | parts)


def test_a_template_needs_all_its_parts_and_is_no_query() -> None:
    with pytest.raises(ValueError, match="has no fragment direction"):
        parse_templates("nouns", _TEMPLATE)["search"].compose(filters=(), order="by_x")
    assert parse_queries("nouns", _TEMPLATE).keys() == {"one"}


def test_fragments_are_filled_in_wherever_they_are_defined() -> None:
    queries = parse_queries(
        "nouns",
        "-- name: one\nselect '{}', '{both}' where {both};\n"
        "-- fragment: b\nb = :b\n-- fragment: both\n{b} and a = :a\n-- name: other\nselect {b}\n",
    )
    assert queries["one"].bind(a=1, b=2) == ("select '{}', '{both}' where b = $1 and a = $2", 2, 1)
    assert queries["other"].bind(b=2) == ("select b = $1", 2)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("-- name: one\nselect {what}", r"sql/nouns\.sql has no fragment what"),
        ("-- name: one\nselect 1\n-- fragment: one\n1", r"sql/nouns\.sql uses a name twice"),
        ("-- name: one\nselect $1", r"nouns\.one: \$1 is not supported"),
    ],
)
def test_a_file_that_breaks_the_rules_is_refused(text: str, refused: str) -> None:
    with pytest.raises(ValueError, match=refused):
        parse_queries("nouns", text)
