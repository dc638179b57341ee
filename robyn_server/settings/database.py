"""Settings of the databases."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from robyn_server.core.errors import Misconfigured
from robyn_server.core.urls.dsn import normalise_dsn

from .field import env
from .part import SettingsPart


class DatabaseSettings(SettingsPart):
    database_url: SecretStr | None = env(
        "DATABASE_URL", None, "The server's database, PostgreSQL 15 or newer. Unset: an embedded one."
    )
    database_direct_url: SecretStr | None = env(
        "DATABASE_DIRECT_URL", None, "The same database without a pooler between, for LISTEN and migrations."
    )
    catalogue_database_url: SecretStr | None = env(
        "CATALOGUE_DATABASE_URL", None, "The database of the catalogue. Unset: DATABASE_URL."
    )
    catalogue_direct_url: SecretStr | None = env(
        "CATALOGUE_DIRECT_URL",
        None,
        "The catalogue's database without a transaction pooler between, for its change feed.",
    )
    data_dir: Path = env("AGENTHALL_DATA_DIR", Path(".agenthall"), "Directory of the embedded database.")
    pool_size: int = env("AGENTHALL_POOL_SIZE", 8, "Connections of each pool in each process.", ge=1, le=200)

    @property
    def dsn(self) -> str:
        """The database's normalised URL. Raises Misconfigured when there is none."""
        if self.database_url is None:
            raise Misconfigured("DATABASE_URL is not set", field="DATABASE_URL")
        return normalise_dsn(self.database_url.get_secret_value())

    @property
    def direct_dsn(self) -> str:
        return (
            self.dsn if self.database_direct_url is None else normalise_dsn(self.database_direct_url.get_secret_value())
        )

    @property
    def catalogue_dsn(self) -> str:
        url = self.catalogue_database_url
        return self.dsn if url is None else normalise_dsn(url.get_secret_value())

    @property
    def catalogue_direct_dsn(self) -> str:
        if self.catalogue_direct_url is not None:
            return normalise_dsn(self.catalogue_direct_url.get_secret_value())
        return self.direct_dsn if self.catalogue_database_url is None else self.catalogue_dsn
