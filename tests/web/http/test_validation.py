from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, Field, RootModel, field_validator

from robyn_server.core.errors import Invalid
from robyn_server.web.http.validation import parse_body


class Inner(BaseModel):
    size: int


class Search(BaseModel):
    limit: int = Field(10, le=1000)
    inner: Inner | None = None
    name: str = "x"
    order: Literal["up", "down"] | list[Literal["up", "down"]] = "up"

    @field_validator("name")
    @classmethod
    def _no_dots(cls, value: str) -> str:
        if "." in value:
            raise ValueError("must not have dots")
        return value


class Batch(RootModel[list[Inner]]):
    pass


@pytest.mark.parametrize(
    ("body", "detail", "field"),
    [
        (b'{"limit": 1001}', "limit: Input should be less than or equal to 1000", "limit"),
        (b'{"inner": {}}', "inner.size: Field required", "inner.size"),
        (b'{"name": "a.b"}', "name: must not have dots", "name"),
        (b'{"order": ["up", "x"]}', "order.1: Input should be 'up' or 'down'", "order.1"),
        (b'{"order": "x"}', "order: Input should be 'up' or 'down'; order: Input should be a valid list", "order"),
        (b"[1]", "The request body must be a JSON object.", None),
        (b"", "Invalid JSON in request body", None),
    ],
)
def test_a_body_that_does_not_fit_names_the_field(body: bytes, detail: str, field: str | None) -> None:
    with pytest.raises(Invalid) as caught:
        parse_body(Search, body)
    assert (str(caught.value), caught.value.field) == (detail, field)


def test_every_problem_is_named() -> None:
    with pytest.raises(Invalid, match=r"limit: .*; name: must not have dots"):
        parse_body(Search, b'{"limit": 1001, "name": "."}')


def test_unknown_fields_are_left_to_the_model() -> None:
    assert parse_body(Search, b'{"limit": 5, "other": 1}') == Search(limit=5)


def test_a_list_fits_a_root_model() -> None:
    assert parse_body(Batch, b'[{"size": 1}]') == Batch([Inner(size=1)])
