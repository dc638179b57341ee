"""Whether LangSmith is used, by the rules of its client, without an import of it."""

from __future__ import annotations

import os
from collections.abc import Mapping

_ON = ("LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2", "LANGSMITH_TRACING", "LANGCHAIN_TRACING")
_ENDPOINTS = ("LANGSMITH_ENDPOINT", "LANGCHAIN_ENDPOINT")
_PROJECTS = ("LANGSMITH_PROJECT", "LANGCHAIN_PROJECT", "LANGSMITH_SESSION", "LANGCHAIN_SESSION")
_DEFAULT_ENDPOINT = "https://api.smith.langchain.com"


def is_langsmith_on(environment: Mapping[str, str] | None = None) -> bool:
    return _first(_ON, environment) == "true"


def langsmith_endpoint(environment: Mapping[str, str] | None = None) -> str:
    return _first(_ENDPOINTS, environment) or _DEFAULT_ENDPOINT


def langsmith_project(environment: Mapping[str, str] | None = None) -> str:
    return _first(_PROJECTS, environment) or "default"


def _first(names: tuple[str, ...], environment: Mapping[str, str] | None) -> str:
    given = os.environ if environment is None else environment
    return next((value for name in names if (value := given.get(name, "")).strip()), "")
