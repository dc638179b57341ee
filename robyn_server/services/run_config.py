"""Validate the configuration of an assistant or a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robyn_server.core.access.permissions import Operation, permits
from robyn_server.core.access.principal import Principal
from robyn_server.core.access.secret_names import find_secret
from robyn_server.core.access.server_keys import settable_configurable, without_server_keys
from robyn_server.core.catalogue.fields import CATALOGUE_KEYS
from robyn_server.core.errors import BadRequest, Conflict, Forbidden, Invalid
from tools_agent.configuration import check_mcp_config
from tools_agent.errors import ConfigurationInvalid

ADMIN_KEYS = frozenset({"mcp_config"})
"""Keys that make the server connect to an address. Only administrators may set them until there is an egress policy."""

_BOTH_GIVEN = (
    "Cannot specify both configurable and context. Prefer setting context alone. "
    "Context was introduced in LangGraph 0.6.0 and is the long term planned replacement for configurable."
)
_NO_SECRETS = (
    "a secret would be stored here in clear. For an MCP server, an operator gives it a credential (`agenthall credentials "
    "put`). Other secrets are set where the server runs, such as in its environment, or the `auth` handler of the project "
    "returns them as fields of the user."
)


def validate(
    principal: Principal, config: Mapping[str, Any] | None, context: Mapping[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return config and context, each mirrored in the other; both None when neither is given.

    A context is the graph's own and keeps all names. `configurable` has none of the server's.

    Raises BadRequest when both are given, Forbidden when the principal may not set a key, Invalid for a secret.
    """
    given = None if config is None else _own_members(config)
    configurable = (given or {}).get("configurable")
    if configurable and context:
        raise BadRequest(_BOTH_GIVEN, field="context")
    chosen = context or configurable
    if chosen is None and context is None:
        return given, None if given is None else {}
    _check_admin_keys(principal, chosen or {})
    _refuse_secrets(chosen or {}, "context" if context else "configurable")
    kept = settable_configurable(chosen or {})
    return {**(given or {}), "configurable": kept}, dict(context or kept)


def check_agent_configuration(configurable: Mapping[str, Any] | None) -> None:
    """Raises Invalid, which names the member, for an `mcp_config` that the tools agent does not take."""
    try:
        check_mcp_config((configurable or {}).get("mcp_config"))
    except ConfigurationInvalid as invalid:
        raise Invalid(f"configurable: {invalid.detail}", field=f"configurable.{invalid.field}") from None


def refuse_catalogue_keys(owned: Mapping[str, Any], wanted: Mapping[str, Any] | None, what: str) -> None:
    """Raises Conflict naming the key when `wanted` would change what the catalogue owns.

    `owned`: the synced configurable.
    """
    for key, value in (wanted or {}).items():
        if key in CATALOGUE_KEYS and owned.get(key) != value:
            raise Conflict(
                f"{what}: '{key}' belongs to the catalogue; change it there.", code="catalogue_owned", field=key
            )


def _refuse_secrets(chosen: Mapping[str, Any], where: str) -> None:
    """Both are stored as they are, with the run and in its checkpoints."""
    path = find_secret(chosen, where)
    if path is not None:
        raise Invalid(f"{path}: {_NO_SECRETS}", code="secret_in_configuration", field=path)


def _own_members(config: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(config)
    if given.get("metadata"):
        given["metadata"] = without_server_keys(given["metadata"])
    return given


def _check_admin_keys(principal: Principal, configurable: Mapping[str, Any]) -> None:
    for key in ADMIN_KEYS & configurable.keys():
        if not permits(principal, Operation.ASSISTANTS_SET_SERVERS):
            raise Forbidden(f"Only administrators may set configurable.{key}.", field=f"configurable.{key}")
