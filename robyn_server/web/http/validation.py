"""Parse request bodies into a route's pydantic model, and turn validation errors into a sentence that names the field.

Rules
  1. The cost of a refusal does not grow with the body. A body with too many values is refused before it is parsed, and
     the lists of a model end at their first bad element (`core/json/bounded.py`).
  2. A large body is parsed and validated in a thread. There is one, so that several large bodies do not hold memory at
     once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import BaseModel, ValidationError

from robyn_server.core.errors import Invalid, TooLarge
from robyn_server.core.json.json_terms import json_message, json_paths
from tools_agent.json_size import has_more_values

from .messages import parse_json

MAX_PROBLEMS = 5
MAX_VALUES = 150_000
LARGE_BODY = 32_768
"""Bytes above which a body is parsed in the thread. Below, the change of threads takes longer than parsing."""
_SHOWN = 64

_large_bodies = ThreadPoolExecutor(1, thread_name_prefix="large bodies")


async def parse_request_body(model: type[BaseModel], body: bytes, max_values: int = MAX_VALUES) -> BaseModel:
    """As `parse_body`, off the event loop when the body is large."""
    if len(body) <= LARGE_BODY:
        return parse_body(model, body, max_values)
    return await asyncio.get_running_loop().run_in_executor(_large_bodies, parse_body, model, body, max_values)


def parse_body(model: type[BaseModel], body: bytes, max_values: int = MAX_VALUES) -> BaseModel:
    """Raises Invalid when `body` is missing, is not JSON, or does not fit `model`; TooLarge when it has too many
    values."""
    if has_more_values(body, max_values):
        raise TooLarge(
            f"The request body has more than {max_values} values (AGENTHALL_MAX_BODY_VALUES).", code="too_many_values"
        )
    value = parse_json(body)
    if not isinstance(value, dict) and not _is_root_model(model):
        raise Invalid("The request body must be a JSON object.")
    _refuse_unknown(model, value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False, include_context=False, include_input=False), value) from None


def _refuse_unknown(model: type[BaseModel], value: Any) -> None:
    """Refuse the first unknown field. pydantic would report each of them."""
    if model.model_config.get("extra") != "forbid":
        return
    known = {field.alias or name for name, field in model.model_fields.items()}
    unknown = next((name for name in value if name not in known), None)
    if unknown is not None:
        name = unknown[:_SHOWN].replace("\0", "\\u0000")
        raise Invalid(f"{name}: Extra inputs are not permitted", field=name)


def _is_root_model(model: type[BaseModel]) -> bool:
    return "root" in model.model_fields and model.__pydantic_root_model__


def _invalid(problems: Sequence[Any], value: Any) -> Invalid:
    fields = json_paths(problems, value)
    sentences = [_sentence(field, problem) for field, problem in fields[:MAX_PROBLEMS]]
    return Invalid("; ".join(sentences), field=fields[0][0] or None)


def _sentence(field: str, problem: Any) -> str:
    message = json_message(problem)
    return f"{field}: {message}" if field else message
