"""The other files of deploy/: as far as they can be checked where nothing can run them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from deadlines import DEADLINE
from remote.valkey_server import requires_valkey, valkey_server
from servers.live_server import Process, accepts, free_port, until
from typer.main import get_command

from robyn_server.app.listening import check_listening
from robyn_server.cli.commands import commands
from robyn_server.core.urls.redis_url import check_redis_url, redis_address
from robyn_server.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
FILES = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file()]
OURS = re.compile(r"\b(?:AGENTHALL|AGENT_SYNC|AUTH|DATABASE|CATALOGUE)_[A-Z_]+\b")
OF_CLIENTS = {"AGENTHALL_URL", "AGENTHALL_API_KEY"}
"""Variables that the registry's clients read."""
INSTALLED = "/opt/agenthall/bin/agenthall"


@pytest.mark.parametrize("path", [*FILES, ROOT / "docs" / "how-to" / "deploy.md"], ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    known = {str(field.validation_alias) for field in Settings.model_fields.values()} | OF_CLIENTS
    assert set(OURS.findall(path.read_text(encoding="utf-8"))) <= known


def test_every_command_that_is_run_exists() -> None:
    run = {found for path in UNITS for found in re.findall(rf"{INSTALLED} (\w+)", path.read_text())}
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    run |= {service["command"][0] for name, service in services.items() if "command" in service and name != "valkey"}
    assert run == {"serve", "web", "worker", "sockets"}
    assert run <= set(get_command(commands).commands)  # type: ignore[attr-defined]


def test_the_example_of_settings_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in (DEPLOY / "agenthall.env.example").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.auth_mode == "jwt"
    assert settings.behind_proxy
    check_listening(settings)
    assert settings.sockets_address == "wss://agents.example.com/ws"


def test_the_proxies_let_through_what_the_server_takes() -> None:
    limit = Settings.model_fields["max_body_bytes"].default
    assert re.search(r"client_max_body_size (\d+)m;", (DEPLOY / "nginx.conf").read_text())[1] == str(limit // 1024**2)  # type: ignore[index]
    assert f"max_size {limit // 1024**2}MiB" in (DEPLOY / "Caddyfile").read_text()


def _compose() -> dict[str, Any]:
    """The compose file.

    Merged mappings have different keys, so their order, which parsers disagree about, is no matter.
    """
    text = (DEPLOY / "compose.yaml").read_text()
    anchors = {name: part for name, part in yaml.safe_load(text).items() if name.startswith("x-")}
    for kind in ("web", "worker", "sockets"):
        for profile in ("http", "tls"):
            parts = [anchors[f"x-{name}"] for name in (kind, profile, "process")]
            assert sum(map(len, parts)) == len({key for part in parts for key in part})
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


COMPOSE = _compose()
PROCESSES = {name: service for name, service in COMPOSE.items() if name not in {"database", "proxy", "valkey"}}


def test_both_profiles_of_compose_have_all_processes() -> None:
    by_profile = {
        profile: {service["command"][0] for service in PROCESSES.values() if service["profiles"] == [profile]}
        for profile in ("http", "tls")
    }
    assert by_profile == {profile: {"web", "worker", "sockets"} for profile in ("http", "tls")}


@requires_valkey
def test_valkey_takes_its_options_and_the_url_of_the_comment() -> None:
    name, *options = COMPOSE["valkey"]["command"]
    assert name == "valkey-server"
    with valkey_server(*options) as server:
        assert accepts(server.port)
    [url] = re.findall(r"REDIS_URL=(\S+)", (DEPLOY / "compose.yaml").read_text())
    assert redis_address(check_redis_url(url)) == "redis://valkey:6379/0"


@pytest.mark.parametrize("name", COMPOSE)
def test_every_container_has_limits_and_restarts(name: str) -> None:
    service = COMPOSE[name]
    assert service["mem_limit"] and service["pids_limit"] and service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", PROCESSES)
def test_every_process_is_watched_and_has_no_rights(name: str) -> None:
    service = PROCESSES[name]
    assert service["healthcheck"]["test"][:3] == ["CMD", "python", "-c"]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", PROCESSES)
def test_the_environment_of_every_process_is_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_MODE", IMAGE_ENVIRONMENT["AUTH_MODE"])
    for variable, text in PROCESSES[name]["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(\w+)\}", r"\1", str(text)))
    settings = Settings()
    assert (settings.auth_mode, settings.metrics_port) == ("keys", 9101)
    assert settings.behind_proxy
    check_listening(settings)
    assert settings.dsn == "postgresql://agenthall:agenthall@database:5432/agenthall"


def test_the_profile_http_needs_no_file_and_is_reached_from_this_machine_only() -> None:
    started = {name: each for name, each in COMPOSE.items() if each.get("profiles", ["http"]) == ["http"]}
    assert set(started) == {"database", "web-http", "worker-http", "sockets-http"}
    for service in started.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert all(not each["required"] for each in service.get("env_file", ()))
        assert all(not volume.startswith(".") for volume in service.get("volumes", ()))
    text = (DEPLOY / "compose.yaml").read_text()
    assert ":?" not in text, "a variable without a default ends `up` in every profile"


@pytest.mark.server
@pytest.mark.parametrize("name", ["web-http", "worker-http", "sockets-http"])
async def test_a_healthcheck_sees_whether_its_process_lives(name: str, database: str, tmp_path: Path) -> None:
    service, port = PROCESSES[name], free_port()
    [where] = re.findall(r"127\.0\.0\.1:(\d+)", service["healthcheck"]["test"][3])
    given = {variable: str(text).replace(where, str(port)) for variable, text in service["environment"].items()}
    ours = {"DATABASE_URL": database, "AUTH_MODE": "keys", "AGENTHALL_PORT": str(port)}
    inherited = {variable: text for variable, text in os.environ.items() if not OURS.fullmatch(variable)}
    local = {"AGENTHALL_HOST": "127.0.0.1", "AGENTHALL_METRICS_HOST": "127.0.0.1"}
    process = Process(service["command"][0], {**inherited, **given, **ours, **local}, tmp_path / "log")
    check = service["healthcheck"]["test"][3].replace(where, str(port))

    def is_healthy() -> bool:
        assert process.popen.poll() is None, process.read_log()[-3000:]
        return subprocess.run([sys.executable, "-c", check], capture_output=True, check=False).returncode == 0

    await until(is_healthy)
    process.kill()
    await process.ended()
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, check=False).returncode != 0


DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
IMAGE_ENVIRONMENT = dict(re.findall(r"\b([A-Z_]+)=(\S+)", re.search(r"^ENV PATH.*$", DOCKERFILE, re.MULTILINE)[0]))  # type: ignore[index]


def test_everything_that_the_image_downloads_has_a_hash() -> None:
    commands = re.split(r"&&|\n(?=[A-Z])", DOCKERFILE.replace("\\\n", " "))
    downloads = [each for each in commands if re.search(r"pip install|uv build", each)]
    assert len(downloads) == 5
    for command in downloads:
        assert "--require-hashes" in command or ("--no-deps" in command and "/wheels/" in command), command


def test_the_image_trusts_no_request_without_a_key() -> None:
    assert IMAGE_ENVIRONMENT["AUTH_MODE"] == "keys"


def test_the_base_of_both_stages_can_be_pinned_by_a_digest() -> None:
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${BASE}", "${BASE}"]


def _pins(path: Path) -> dict[str, set[str]]:
    """The hashes of each pin of a lock."""
    text = re.sub(r"^ *#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        pin, *hashes = line.split(" --hash=")
        found[re.sub(r" +", " ", pin).strip()] = {each.strip() for each in hashes}
    return found


def test_the_lock_of_the_image_is_a_part_of_the_lock_that_is_tested() -> None:
    tested = {pin.partition(" ")[0]: hashes for pin, hashes in _pins(ROOT / "requirements.lock").items()}
    image = {pin.partition(" ")[0]: hashes for pin, hashes in _pins(ROOT / "runtime.lock").items()}
    assert image and all(image.values())
    assert {pin: hashes for pin, hashes in image.items() if hashes != tested.get(pin)} == {}
    assert {"pytest", "ruff", "promql-parser"} & {pin.partition("==")[0] for pin in image} == set()


def test_the_lock_of_the_image_has_all_dependencies_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    names = {re.split(r"[\[<>=~ ]", each)[0].lower().replace("_", "-") for each in wanted}
    assert names <= {pin.partition("==")[0] for pin in _pins(ROOT / "runtime.lock")}


def test_the_constraints_in_the_image_are_pins_without_hashes(tmp_path: Path) -> None:
    [script] = re.findall(r"sed -n '([^']+)' runtime\.lock", DOCKERFILE)
    done = subprocess.run(["sed", "-n", script, ROOT / "runtime.lock"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(_pins(ROOT / "runtime.lock"))
    assert all(re.fullmatch(r"[a-z0-9.-]+==\S+( ; .+)?", line) for line in lines)


def test_the_example_of_an_own_graph_stands_on_the_image() -> None:
    text = (DEPLOY / "own-graph.Dockerfile").read_text()
    graphs = json.loads(re.search(r"AGENTHALL_GRAPHS='([^']+)'", text)[1])  # type: ignore[index]
    assert Settings(graphs=graphs).graph_paths == graphs
    assert "FROM agenthall\n" in text and text.rstrip().endswith("USER agenthall")
    assert "/opt/agenthall/constraints.txt" in text and "/opt/agenthall/constraints.txt" in DOCKERFILE


def test_the_image_is_made_of_files_that_exist() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    taken = {line[1:] for line in ignored if line.startswith("!")}
    assert taken >= set(re.findall(r"[\w.]+(?:\.lock|\.toml)", (DEPLOY / "Dockerfile").read_text()))
    assert [name for name in taken if not (ROOT / name).exists()] == []


HARDENING = {
    "CapabilityBoundingSet": "",
    "SystemCallFilter": "@system-service",
    "RestrictNamespaces": "yes",
    "ProtectProc": "invisible",
    "ProtectKernelLogs": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
}


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_every_unit_is_hardened_and_limited(unit: Path) -> None:
    lines = dict(line.split("=", 1) for line in unit.read_text().splitlines() if re.match(r"[A-Z]\w+=", line))
    assert HARDENING.items() <= lines.items()
    assert re.fullmatch(r"\d+G", lines["MemoryMax"]) and lines["TasksMax"].isdecimal()
    runs_tools = re.search(rf"{INSTALLED} (worker|serve)", unit.read_text()) is not None
    assert (lines.get("IPAddressDeny") == "link-local") is runs_tools


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_systemd_finds_little_exposure(unit: Path, tmp_path: Path) -> None:
    (tmp_path / unit.name).write_text(unit.read_text().replace(INSTALLED, sys.executable))
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", f"./{unit.name}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout[-500:] + rated.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(INSTALLED, sys.executable))
    verified = subprocess.run(
        ["systemd-analyze", "verify", *(f"./{unit.name}" for unit in UNITS)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    # Of units of the system itself it may say whatever it likes.
    ours = [line for line in verified.stderr.splitlines() if "agenthall" in line]
    assert (verified.returncode, ours) == (0, [])


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_no_unit_stays_down_after_some_aborts(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert "Restart=always" in lines and "StartLimitIntervalSec=0" in lines
    assert not [line for line in lines if line.startswith("StartLimitBurst")]
