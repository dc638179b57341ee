"""Read the settings from the environment, and refuse what cannot be meant."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from robyn_server.core.errors import Misconfigured

from .settings import Settings

_ALIKE = 0.85
"""Similarity (difflib) from which on a name is taken for a misspelled one."""


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, `overrides` (by field name) first.

    Raises Misconfigured naming each bad variable.
    """
    refuse_misspelled(os.environ)
    given = {name: value for name, value in overrides.items() if value is not None}
    if "database_url" in given:  # DATABASE_DIRECT_URL belongs to DATABASE_URL, and would lead to another database
        given.setdefault("database_direct_url", given["database_url"])
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors())
        raise Misconfigured(problems) from None
    except SettingsError as error:  # a variable that should hold JSON; its text names the field
        raise Misconfigured(_unreadable(error)) from None


_OURS = ("AGENTHALL_", "AGENT_SYNC_", "AUTH_JWT_", "AUTH_MEMBERSHIP_")
_OTHER = (
    "AGENTHALL_API_KEY",
    "AGENTHALL_PROCESS",
    "AGENTHALL_READY_FD",
    "AGENTHALL_STATE_DIR",
    "AGENTHALL_TENANT",
    "AGENTHALL_URL",
)
"""Variables of commands and clients."""

_NOT_OURS = re.compile(r"AGENTHALL_(TEST_\w+|\w*SERVICE_(HOST|PORT)\w*|PORT_\d+_\w+)")
"""Variables of tests, and those that Kubernetes sets for a service named agenthall."""


def refuse_misspelled(environment: Mapping[str, str]) -> None:
    """Raises Misconfigured for each variable that is nearly the name of a setting."""
    known = {str(each.validation_alias) for each in Settings.model_fields.values()}
    unknown = [name for name in find_unknown(environment) if get_close_matches(name, known, n=1, cutoff=_ALIKE)]
    if unknown:
        meant = {name: get_close_matches(name, known, n=1, cutoff=_ALIKE)[0] for name in unknown}
        raise Misconfigured(
            "; ".join(f"{name}: there is no such setting. Did you mean {one}?" for name, one in meant.items()),
            field=unknown[0],
        )


def find_unknown(environment: Mapping[str, str]) -> list[str]:
    """Variables with a prefix of ours that are no settings."""
    known = {str(each.validation_alias) for each in Settings.model_fields.values()} | set(_OTHER)
    return sorted(
        name for name in environment if name.startswith(_OURS) and name not in known and not _NOT_OURS.fullmatch(name)
    )


def _unreadable(error: SettingsError) -> str:
    named = [each.validation_alias for name, each in Settings.model_fields.items() if f'"{name}"' in str(error)]
    return f"{', '.join(map(str, named)) or 'A setting'}: not the JSON object that it should be"


def _problem(detail: Any) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
