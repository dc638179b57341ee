"""Errors of pydantic as paths of the JSON that a client sent."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from robyn_server.core.json.json_terms import json_paths

Name = Annotated[str, Field(max_length=5)]


class Target(BaseModel):
    node: Name


class Body(BaseModel):
    mode: Literal["a", "b"] | list[Literal["a", "b"]] = "a"
    goto: Name | Target | list[Name | Target] = "x"
    size: Annotated[int, Field(le=9)] = 0


def paths(value: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Body.model_validate(value)
    return [path for path, _ in json_paths(caught.value.errors(), value)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"mode": "c"}, ["mode", "mode"]),
        ({"mode": ["a", "c"]}, ["mode.1"]),
        ({"goto": {"node": 3}}, ["goto.node"]),
        ({"goto": {}}, ["goto.node"]),
        ({"goto": ["x", {}]}, ["goto.1.node"]),
        ({"size": 10, "mode": ["c"]}, ["mode.0", "size"]),
        ([], [""]),
    ],
)
def test_a_path_has_names_of_the_json_and_not_of_the_branches_of_a_union(value: Any, expected: list[str]) -> None:
    assert paths(value) == expected
