"""Load a chat model by name ("provider:model") with the sampling keys that the agent sets.

Rules
- A sampling key reaches the provider's request, or the run fails and says why; it is never dropped.
- The base URL comes only from the server's environment. A catalogue row that could set it could send our key anywhere.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from tools_agent.configuration import AgentConfig
from tools_agent.errors import ModelKeyMissing, ModelPackageMissing, ModelUnavailable, SamplingNotOffered, UnknownModel
from tools_agent.notices import one_line
from tools_agent.transports import guard_model

from .offline import PREFIX, offline_model
from .providers import OPENAI_FAMILY, provider_of

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_NOT_TYPED_BY_OPENAI = frozenset({"top_k", "repetition_penalty"})
"""Clients built on langchain-openai have no argument for these. They go into `extra_body` and so into the request."""

_NOT_OFFERED = {
    "anthropic": frozenset({"frequency_penalty", "presence_penalty", "repetition_penalty", "seed"}),
}
"""Sampling keys that the API of a provider refuses, although its client passes them on."""

_KEYS = {
    "anthropic": "ANTHROPIC_API_KEY",
    "azure_openai": "AZURE_OPENAI_API_KEY",
    "cohere": "COHERE_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "fireworks": "FIREWORKS_API_KEY",
    "groq": "GROQ_API_KEY",
    "mistralai": "MISTRAL_API_KEY",
    "openai": "OPENAI_API_KEY",
    "together": "TOGETHER_API_KEY",
    "xai": "XAI_API_KEY",
}
_EXTRAS = {
    "anthropic": "agenthall[anthropic]",
    "azure_openai": "agenthall[openai]",
    "openai": "agenthall[openai]",
}


def load_model(agent: AgentConfig) -> BaseChatModel:
    """Load the model that the agent names. The first import blocks for seconds: call it in a thread.

    Raises UnknownModel, ModelPackageMissing, ModelKeyMissing, SamplingNotOffered, ModelUnavailable.
    """
    if agent.model_name.startswith(PREFIX):
        return offline_model(agent.model_name)
    return _provider_model(agent.model_name, agent.sampling())


def _provider_model(name: str, sampling: dict[str, Any]) -> BaseChatModel:
    from langchain.chat_models import init_chat_model  # imported late: providers' packages are large and optional

    provider = provider_of(name)
    if not name.partition(":")[2 if ":" in name else 0].strip():
        raise _unknown(name)  # init_chat_model would take the name from the run's configuration instead
    try:
        model: BaseChatModel = init_chat_model(name, **_arguments(provider, sampling))
    except ImportError as error:
        raise ModelPackageMissing(_package_missing(name, provider, error)) from None
    except Exception as error:  # each provider's client has its own exception types
        raise _refusal(name, provider, error) from error
    _require_key(name, provider)
    _require_supported(name, model, sampling, _NOT_OFFERED.get(provider, frozenset()))
    guard_model(model)
    return model


def _arguments(provider: str, sampling: dict[str, Any]) -> dict[str, Any]:
    if provider not in OPENAI_FAMILY:
        return sampling
    typed = {key: value for key, value in sampling.items() if key not in _NOT_TYPED_BY_OPENAI}
    extra = {key: value for key, value in sampling.items() if key in _NOT_TYPED_BY_OPENAI}
    return typed | ({"extra_body": extra} if extra else {})


def _package_missing(name: str, provider: str, error: ImportError) -> str:
    found = re.search(r"pip install ([\w.-]+)", str(error))
    package = _EXTRAS.get(provider) or (found[1] if found else f"langchain-{provider.replace('_', '-')}")
    return f"The model {name} needs a package that is not installed: pip install '{package}'"


def _refusal(name: str, provider: str, error: Exception) -> ModelUnavailable:
    if re.search(r"unable to infer model provider|unsupported provider", str(error), re.IGNORECASE):
        return _unknown(name)
    if (key := _KEYS.get(provider)) and not os.environ.get(key):
        return _key_missing(name, key)
    return ModelUnavailable(one_line(f"The model {name} cannot be used: {error}"), field="model_name")


def _unknown(name: str) -> UnknownModel:
    return UnknownModel(
        f"Unknown model {name!r}: write provider:model, for example openai:gpt-4o or offline:demo.", field="model_name"
    )


def _require_key(name: str, provider: str) -> None:
    # Some clients are created without a key and fail at the first request, with a message that names no variable.
    if (key := _KEYS.get(provider)) and not os.environ.get(key):
        raise _key_missing(name, key)


def _key_missing(name: str, key: str) -> ModelKeyMissing:
    return ModelKeyMissing(f"The model {name} needs an API key: set {key} where the server runs.", field=key)


def _require_supported(
    name: str, model: BaseChatModel, sampling: dict[str, Any], refused: frozenset[str] = frozenset()
) -> None:
    fields = {alias for field, info in type(model).model_fields.items() for alias in (field, info.alias)}
    elsewhere = {*(getattr(model, "model_kwargs", None) or {}), *(getattr(model, "extra_body", None) or {})}
    dropped = sorted((set(sampling) - fields - elsewhere) | (set(sampling) & refused))
    if dropped:
        raise SamplingNotOffered(f"The model {name} does not support {', '.join(dropped)}.", field=dropped[0])
