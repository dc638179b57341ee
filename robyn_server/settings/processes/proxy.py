"""Settings of the proxy in front of the processes."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import field_validator

from robyn_server.settings.field import env
from robyn_server.settings.part import SettingsPart

_DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
"""RFC 1123, section 2.1, in lower case."""


class ProxySettings(SettingsPart):
    behind_proxy: bool = env(
        "AGENTHALL_BEHIND_PROXY",
        False,
        "A proxy of yours is in front: it reads each body whole before it passes it on, with its length. Without it, `serve` starts a proxy on any address but loopback, and `web` and `sockets` refuse such an address.",
    )
    domain: str | None = env(
        "AGENTHALL_DOMAIN",
        None,
        "The name for which the proxy of `serve` obtains a certificate, and serves https on AGENTHALL_PORT. Unset: plain HTTP.",
    )
    certificates: str = env(
        "AGENTHALL_CERTIFICATES",
        "public",
        "Where the certificate is from: `public` (Let's Encrypt), `internal` (a certificate authority in AGENTHALL_DATA_DIR, for a network of your own), or the URL of an ACME directory.",
    )
    redirect_port: int = env(
        "AGENTHALL_REDIRECT_PORT",
        80,
        "With AGENTHALL_DOMAIN, the port that redirects plain HTTP to https, and on which a public certificate is obtained. 0: none.",
        ge=0,
        le=65535,
    )

    @field_validator("domain")
    @classmethod
    def _is_domain(cls, value: str | None) -> str | None:
        if value is not None and not _DOMAIN.fullmatch(value):
            raise ValueError("must be one host name in lower case, without scheme and port, such as agents.example.com")
        return value

    @field_validator("certificates")
    @classmethod
    def _is_issuer(cls, value: str) -> str:
        if value not in {"public", "internal"} and not (urlsplit(value).scheme == "https" and urlsplit(value).hostname):
            raise ValueError("must be `public`, `internal`, or the https URL of an ACME directory")
        return value
