"""What `serve` asks before it starts anything: can its processes work with these settings?"""

from __future__ import annotations

from pydantic import SecretStr

from robyn_server.core.dsn import normalise_dsn
from robyn_server.core.errors import Misconfigured
from robyn_server.settings import AuthMode, Settings

from .agent_sync import check_settings


def run_check(settings: Settings) -> None:
    """Whatever the processes would find wrong before they touch anything. Raises Misconfigured naming the variable."""
    _check_url("DATABASE_URL", settings.database_url)
    _check_url("DATABASE_DIRECT_URL", settings.database_direct_url)
    _check_url("CATALOGUE_DATABASE_URL", settings.catalogue_database_url)
    _check_url("CATALOGUE_DIRECT_URL", settings.catalogue_direct_url)
    check_settings(settings)
    if settings.auth_mode is AuthMode.JWT:
        _check_tokens(settings)


def _check_tokens(settings: Settings) -> None:
    from robyn_server.services.identity import Identity  # here: a quarter of a second that everybody would wait for

    Identity(settings)


def _check_url(name: str, url: SecretStr | None) -> None:
    if url is None:
        return
    try:
        normalise_dsn(url.get_secret_value())
    except Misconfigured as error:
        raise Misconfigured(error.detail.replace("DATABASE_URL", name), field=name) from None
