"""Whether `serve` starts a proxy, and with what."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from commands.command_line import agenthall

from robyn_server.core.errors import Misconfigured
from robyn_server.supervisor.child import Stage
from robyn_server.supervisor.proxy import front as front_module
from robyn_server.supervisor.proxy.front import Front, find_front
from robyn_server.supervisor.proxy.ports import Ports

ANY = "0.0.0.0"
PORTS = Ports(public=2024, redirect=0, web=3001, sockets=3002, length=3003)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_loopback_there_is_no_proxy(host: str) -> None:
    assert find_front(host, {}) is None


def test_every_other_address_has_a_proxy_in_front() -> None:
    front = find_front(ANY, {})
    assert front is not None and front.caddy.is_file()


@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_behind_a_proxy_of_the_operators_there_is_no_second_one(value: str) -> None:
    assert find_front(ANY, {"AGENTHALL_BEHIND_PROXY": value}) is None


def test_without_the_extra_an_address_of_a_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_module, "find_spec", lambda _name: None)
    with pytest.raises(Misconfigured, match=r"agenthall\[proxy\].*AGENTHALL_BEHIND_PROXY=1") as refused:
        find_front(ANY, {"AGENTHALL_BEHIND_PROXY": "0"})
    assert refused.value.field == "AGENTHALL_HOST"


@pytest.mark.parametrize(("host", "behind"), [("127.0.0.1", ""), (ANY, "1")])
def test_a_domain_that_no_proxy_would_serve_is_refused(host: str, behind: str) -> None:
    with pytest.raises(Misconfigured, match="AGENTHALL_DOMAIN"):
        find_front(host, {"AGENTHALL_DOMAIN": "agents.example.com", "AGENTHALL_BEHIND_PROXY": behind})


@pytest.mark.parametrize(
    ("domain", "port", "url"),
    [
        ("", 2024, "http://127.0.0.1:2024"),
        ("agents.example.com", 443, "https://agents.example.com"),
        ("agents.example.com", 8443, "https://agents.example.com:8443"),
    ],
)
def test_the_processes_know_that_they_are_proxied_and_the_address_of_the_websockets(
    domain: str, port: int, url: str
) -> None:
    front = Front(ANY, Path("caddy"), domain)
    environment = front.environment({"AGENTHALL_BEHIND_PROXY": "0", "KEPT": "x"}, port)
    assert front.url(port) == url
    assert environment == {
        **({"AGENTHALL_PUBLIC_URL": url} if url.startswith("https://") else {}),
        "AGENTHALL_BEHIND_PROXY": "true",
        "AGENTHALL_SOCKETS_URL": url.replace("http", "ws", 1) + "/ws",
        "KEPT": "x",
    }


def test_an_address_of_the_websockets_that_was_given_is_kept() -> None:
    given = {"AGENTHALL_SOCKETS_URL": "wss://other.example/ws"}
    assert Front(ANY, Path("caddy"), "").environment(given, 2024)["AGENTHALL_SOCKETS_URL"] == "wss://other.example/ws"


def test_the_proxy_is_told_no_secret_and_its_files_are_private(tmp_path: Path) -> None:
    environment = {
        "DATABASE_URL": "postgresql://u:secret@h/d",
        "OPENAI_API_KEY": "secret",
        "AGENTHALL_MAX_BODY_BYTES": "9",
    }
    folder = tmp_path / "data" / "proxy"
    program = Front(ANY, Path("/caddy"), "").program(environment, PORTS, folder, drain_seconds=3.0, as_json=True)
    path = Path(program.argv[-1])
    assert program.argv[:-1] == ("/caddy", "run", "--config")
    assert program.stage is Stage.PROXY
    assert set(program.environment) == {"HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}
    assert set(program.environment.values()) == {str(folder)}
    assert "secret" not in path.read_text()
    assert '"max_size": 9' in path.read_text()
    assert json.loads(path.read_text())["apps"]["http"]["grace_period"] == "3.0s"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.server
def test_a_server_without_credentials_is_not_put_behind_a_proxy(tmp_path: Path) -> None:
    done = agenthall("serve", "--host", "127.0.0.2", "--port", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert "AUTH_MODE=none serves this machine only, not a proxy" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "proxy").write_text("no folder")
    with pytest.raises(Misconfigured, match="--data-dir"):
        Front(ANY, Path("/caddy"), "").program({}, PORTS, tmp_path / "proxy", drain_seconds=3.0, as_json=True)
