"""Attributes of a model call, by the GenAI conventions. Each is copied by its name; a client's other arguments may hold
its key.

https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-spans.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PROVIDERS = {
    "amazon_bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "ibm": "ibm.watsonx.ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "offlinechatmodel": "offline",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""LangChain's names of providers that the conventions call otherwise."""

_NUMBERS = {
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_tokens": "gen_ai.request.max_tokens",
    "n": "gen_ai.request.choice.count",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "temperature": "gen_ai.request.temperature",
    "top_k": "gen_ai.request.top_k",
    "top_p": "gen_ai.request.top_p",
}
_MODEL_KEYS = ("model", "model_name", "model_id")
_FINISH_KEYS = ("finish_reason", "stop_reason", "done_reason")


def model_name(metadata: Mapping[str, Any] | None, started: Mapping[str, Any]) -> str:
    """The model that is asked. `started`: the arguments of LangChain's start event."""
    named = (metadata or {}).get("ls_model_name") or _first(_invocation(started), _MODEL_KEYS)
    return named if isinstance(named, str) else ""


def request_attributes(metadata: Mapping[str, Any] | None, started: Mapping[str, Any]) -> dict[str, Any]:
    given, invocation = metadata or {}, _invocation(started)
    provider = given.get("ls_provider")
    found: dict[str, Any] = {
        "gen_ai.provider.name": PROVIDERS.get(provider, provider) if isinstance(provider, str) else "_OTHER"
    }
    if model := model_name(metadata, started):
        found["gen_ai.request.model"] = model
    sampling = {"temperature": given.get("ls_temperature"), "max_tokens": given.get("ls_max_tokens"), **invocation}
    for name, attribute in _NUMBERS.items():
        if _is_number(sampling.get(name)):
            found[attribute] = sampling[name]
    stop = given.get("ls_stop")
    if isinstance(stop, Sequence) and not isinstance(stop, str) and all(isinstance(each, str) for each in stop):
        found["gen_ai.request.stop_sequences"] = list(stop)
    return found


def response_attributes(response: Any) -> dict[str, Any]:
    """`response`: an LLMResult."""
    messages = [message for each in _generations(response) if (message := getattr(each, "message", None)) is not None]
    details = [getattr(each, "response_metadata", None) or {} for each in messages]
    first = details[0] if details else {}
    reasons = [str(reason) for each in details if (reason := _first(each, _FINISH_KEYS))]
    found = {
        "gen_ai.response.model": _text(_first(first, _MODEL_KEYS)),
        "gen_ai.response.id": _text(first.get("id")),
        "gen_ai.response.finish_reasons": reasons or None,
    } | _usage(response, messages)
    return {name: value for name, value in found.items() if value is not None}


def _usage(response: Any, messages: Sequence[Any]) -> dict[str, Any]:
    usage = next((given for each in messages if (given := getattr(each, "usage_metadata", None))), None)
    if usage is None:
        counted = (getattr(response, "llm_output", None) or {}).get("token_usage") or {}
        read, written = (
            _first(counted, ("prompt_tokens", "input_tokens")),
            _first(counted, ("completion_tokens", "output_tokens")),
        )
        return {"gen_ai.usage.input_tokens": _count(read), "gen_ai.usage.output_tokens": _count(written)}
    of_input, of_output = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
    return {
        "gen_ai.usage.input_tokens": _count(usage.get("input_tokens")),
        "gen_ai.usage.output_tokens": _count(usage.get("output_tokens")),
        "gen_ai.usage.cache_read.input_tokens": _count(of_input.get("cache_read")),
        "gen_ai.usage.cache_creation.input_tokens": _count(of_input.get("cache_creation")),
        "gen_ai.usage.reasoning.output_tokens": _count(of_output.get("reasoning")),
    }


def _generations(response: Any) -> list[Any]:
    return [each for batch in getattr(response, "generations", None) or () for each in batch]


def _invocation(started: Mapping[str, Any]) -> Mapping[str, Any]:
    given = started.get("invocation_params")
    return given if isinstance(given, Mapping) else {}


def _first(given: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((given[name] for name in names if given.get(name) is not None), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any) -> int | None:
    return int(value) if _is_number(value) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
