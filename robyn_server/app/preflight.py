"""The check of all settings, before `serve` starts anything."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from pydantic import SecretStr

from robyn_server.core.errors import Misconfigured
from robyn_server.core.urls.dsn import normalise_dsn
from robyn_server.redis_streams.options import redis_options
from robyn_server.settings import AuthMode, Settings, find_unknown
from robyn_server.tracing.options import check_tracing

from .parts.agent_sync import check_settings


def run_preflight(settings: Settings) -> None:
    """Validate everything that the processes validate at their start. Raises Misconfigured naming the variable.

    Warn of variables that have our prefix and are no settings.
    """
    for name in find_unknown(os.environ):
        sys.stderr.write(f"agenthall: warning: {name} is no setting of this version, and is ignored\n")
    _check_url("DATABASE_URL", settings.database_url)
    _check_url("DATABASE_DIRECT_URL", settings.database_direct_url)
    _check_url("CATALOGUE_DATABASE_URL", settings.catalogue_database_url)
    _check_url("CATALOGUE_DIRECT_URL", settings.catalogue_direct_url)
    check_settings(settings)
    redis_options(settings)
    check_tracing()
    if settings.project is not None:
        _check_project(settings.project)
    if settings.auth_mode is AuthMode.JWT:
        _check_tokens(settings)


def _check_project(file: Path) -> None:
    """Raises Misconfigured where packages of the project are missing. Keys that have no effect here are warned of."""
    from robyn_server.projects import load_project
    from robyn_server.projects.requirements import missing_requirements, other_python

    project = load_project(file)
    if missing := missing_requirements(project):
        packages = " ".join(shlex.quote(str(each)) for each, _ in missing)
        listed = "; ".join(f"{each} of {where}" for each, where in missing)
        raise Misconfigured(
            f"{file.name}: dependencies: not installed: {listed}. Install them: {shlex.quote(sys.executable)} -m pip install {packages}"
        )
    if project.ignored:
        sys.stderr.write(f"agenthall: {file.name}: no effect on a running server: {', '.join(project.ignored)}\n")
    if (wanted := other_python(project)) is not None:
        sys.stderr.write(f"agenthall: warning: {file.name} is for Python {wanted}; this is {sys.version.split()[0]}\n")


def _check_tokens(settings: Settings) -> None:
    from robyn_server.identity.authenticator import Authenticator

    Authenticator(settings)


def _check_url(name: str, url: SecretStr | None) -> None:
    if url is None:
        return
    try:
        normalise_dsn(url.get_secret_value())
    except Misconfigured as error:
        raise Misconfigured(error.detail.replace("DATABASE_URL", name), field=name) from None
