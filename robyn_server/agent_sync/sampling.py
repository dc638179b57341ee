"""`sampling_params`: an allow-list of keys, each of its own type."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import AgentRejected


class _Sampling(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None


def checked_sampling(agent_id: UUID, params: dict[str, Any]) -> dict[str, Any]:
    """`params` without its nulls. Raises AgentRejected for a key that is not on the list, or has the wrong type."""
    try:
        _Sampling.model_validate(params)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise AgentRejected(agent_id, f"agents.sampling_params.{first['loc'][0]}", _problem(first)) from None
    return {key: value for key, value in params.items() if value is not None}


def _problem(detail: Any) -> str:
    return "not a sampling parameter" if detail["type"] == "extra_forbidden" else str(detail["msg"])
