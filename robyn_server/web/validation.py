"""Request bodies: JSON into a route's pydantic model, and pydantic's findings into one sentence that names the field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from robyn_server.core.errors import Invalid

from .http import parse_json

SHOWN_PROBLEMS = 5


def parse_body(model: type[BaseModel], body: bytes) -> BaseModel:
    """Raises Invalid when `body` is missing, is no JSON, or does not fit `model`."""
    value = parse_json(body)
    if not isinstance(value, dict) and not _is_root_model(model):
        raise Invalid("The request body must be a JSON object.")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False, include_context=False)) from None


def _is_root_model(model: type[BaseModel]) -> bool:
    return "root" in model.model_fields and model.__pydantic_root_model__


def _invalid(problems: Sequence[Any]) -> Invalid:
    sentences = [_sentence(problem) for problem in problems[:SHOWN_PROBLEMS]]
    return Invalid("; ".join(sentences), field=_field(problems[0]) or None)


def _sentence(problem: Any) -> str:
    field = _field(problem)
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{field}: {message}" if field else message


def _field(problem: Any) -> str:
    return ".".join(str(part) for part in problem["loc"])
