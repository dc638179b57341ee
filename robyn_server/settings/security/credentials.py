"""Settings of credentials for MCP servers."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator

from robyn_server.core.urls.hosts import LOOPBACK
from robyn_server.settings.field import env
from robyn_server.settings.part import SettingsPart


class CredentialSettings(SettingsPart):
    secret_key: SecretStr | None = env(
        "AGENTHALL_SECRET_KEY",
        None,
        "Keys that encrypt credentials, each 32 bytes in base64, separated by commas. The first encrypts, all decrypt. With"
        " `aws-kms:` in front, one is a ciphertext of AWS KMS. Unset: the file `secret-key` in AGENTHALL_DATA_DIR, which is made"
        " when it is needed.",
    )
    public_url: str | None = env(
        "AGENTHALL_PUBLIC_URL",
        None,
        "URL under which browsers reach this server, without a path. Authorization servers send users back to it. Unset: that of"
        " AGENTHALL_HOST and AGENTHALL_PORT.",
    )
    connect_page: str | None = env(
        "AGENTHALL_CONNECT_PAGE",
        None,
        "URL of a page of your product that users are sent back to in its place. It posts the parameters to /connections/callback"
        " with the credentials of its user.",
    )

    @field_validator("public_url", "connect_page")
    @classmethod
    def _secure(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK):
            raise ValueError("must be an https URL, or http on loopback")
        if parts.query or parts.fragment:
            raise ValueError("must have no query and no fragment")
        return value.rstrip("/")
