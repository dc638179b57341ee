"""Which members of a context reach a graph."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel, ConfigDict, Field

from robyn_server.graphs.loading.contexts import context_for


@dataclass
class Data:
    name: str = ""
    seed: InitVar[int] = 0
    made: str = field(default="", init=False)


class Typed(TypedDict, total=False):
    name: str
    seed: int


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = ""
    size: int = Field(default=0, alias="seed")


@pytest.mark.parametrize("schema", [Data, Typed, Strict])
def test_members_that_the_schema_does_not_have_are_left_out(schema: Any) -> None:
    assert context_for(schema, {"name": "a", "seed": 1, "other": 2, "made": 3}) == {"name": "a", "seed": 1}
    assert context_for(schema, {"other": 2}) == {}


class Ignoring(BaseModel):
    name: str = ""


@pytest.mark.parametrize("schema", [Ignoring, dict, None])
def test_a_schema_that_takes_others_or_does_not_say_gets_all(schema: Any) -> None:
    assert context_for(schema, {"name": "a", "other": 2}) == {"name": "a", "other": 2}


def test_an_empty_context_is_one_only_for_a_schema() -> None:
    assert (context_for(Data, {}), context_for(None, {})) == ({}, None)
