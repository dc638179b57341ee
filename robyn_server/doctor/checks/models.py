"""Check of models: each one that an agent of the catalogue names is loaded, with the keys of the server."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator

from robyn_server.agent_sync.catalogue_db.models import count_models
from robyn_server.agent_sync.errors import CatalogueAbsent
from robyn_server.agent_sync.options import configured_scope
from robyn_server.core.errors import CatalogueUnavailable, Misconfigured
from robyn_server.doctor.check import Check, check_async
from robyn_server.doctor.database import connect_to_catalogue
from robyn_server.settings import Settings

from .agent_sync import configured_source, settings_of_sync

_OUR_AGENT = "tools_agent.agent:graph"
_DEFAULT_GRAPH = "agent"


def model_checks(dsn: str, known_keys: Collection[str]) -> Iterator[Check]:
    """Yield the check; none if nothing is synced. `known_keys`: API keys that the running server has."""
    settings = settings_of_sync()
    if settings is not None:
        yield check_async("models", _models(dsn, settings, known_keys))


async def _models(dsn: str, settings: Settings, known_keys: Collection[str]) -> str:
    """Name the models of the agents. Raises Misconfigured naming those that cannot be used."""
    models = await _counted(dsn, settings)
    reasons = {model: _reason(model, known_keys) for model in models}
    broken = [f"{reason} ({_agents(models[model])})" for model, reason in reasons.items() if reason]
    if broken:
        raise Misconfigured("; ".join(broken))
    return ", ".join(f"{model} ({_agents(count)})" for model, count in models.most_common()) or "no agent needs one"


async def _counted(dsn: str, settings: Settings) -> Counter[str]:
    """The number of agents by model, for those whose graph is the server's own agent.

    Other graphs choose models by themselves.
    """
    ours = {graph for graph, path in settings.graph_paths.items() if path == _OUR_AGENT}
    try:
        async with connect_to_catalogue(dsn) as connection:
            found = await count_models(connection, configured_scope(settings.agent_sync_scope), configured_source())
    except CatalogueAbsent as error:
        raise CatalogueUnavailable(str(error)) from None
    models: Counter[str] = Counter()
    for (model, graph), count in found.items():
        if (graph or _DEFAULT_GRAPH) in ours:
            models[model or settings.default_model] += count
    return models


def _reason(model: str, known_keys: Collection[str]) -> str:
    """The reason why a run with the model would fail at once; empty if it would not."""
    from tools_agent.configuration import AgentConfig
    from tools_agent.errors import ModelUnavailable
    from tools_agent.models.chat import load_model

    missing = {key: "known to the server" for key in known_keys if not os.environ.get(key)}
    os.environ.update(missing)
    try:
        load_model(AgentConfig(model_name=model))
    except ModelUnavailable as error:
        return error.detail
    finally:
        for key in missing:
            del os.environ[key]
    return ""


def _agents(count: int) -> str:
    return f"{count} agent{'' if count == 1 else 's'}"
