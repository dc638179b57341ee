"""The other files of deploy/: as far as they can be checked where nothing can run them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from typer.main import get_command

from robyn_server.cli.commands import commands
from robyn_server.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
FILES = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file()]
OURS = re.compile(r"\b(?:AGENTHALL|AGENT_SYNC|AUTH|DATABASE|CATALOGUE)_[A-Z_]+\b")
INSTALLED = "/opt/agenthall/bin/agenthall"


@pytest.mark.parametrize("path", [*FILES, ROOT / "docs" / "deployment.md"], ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert set(OURS.findall(path.read_text(encoding="utf-8"))) <= known


def test_every_command_that_is_run_exists() -> None:
    run = {found for path in UNITS for found in re.findall(rf"{INSTALLED} (\w+)", path.read_text())}
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    run |= {service["command"][0] for service in services.values() if "command" in service}
    assert run == {"serve", "web", "worker", "sockets"}
    assert run <= set(get_command(commands).commands)  # type: ignore[attr-defined]


def test_the_example_of_settings_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in (DEPLOY / "agenthall.env.example").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.auth_mode == "jwt"
    assert settings.sockets_address == "wss://agents.example.com/ws"


def test_the_proxies_let_through_what_the_server_takes() -> None:
    limit = Settings.model_fields["max_body_bytes"].default
    assert re.search(r"client_max_body_size (\d+)m;", (DEPLOY / "nginx.conf").read_text())[1] == str(limit // 1024**2)  # type: ignore[index]
    assert f"max_size {limit // 1024**2}MiB" in (DEPLOY / "Caddyfile").read_text()


def test_the_image_is_made_of_files_that_exist() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    taken = {line[1:] for line in ignored if line.startswith("!")}
    assert taken >= set(re.findall(r"[\w.]+(?:\.lock|\.toml)", (DEPLOY / "Dockerfile").read_text()))
    assert [name for name in taken if not (ROOT / name).exists()] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(INSTALLED, sys.executable))
    verified = subprocess.run(
        ["systemd-analyze", "verify", *(f"./{unit.name}" for unit in UNITS)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # Of units of the system itself it may say whatever it likes.
    ours = [line for line in verified.stderr.splitlines() if "agenthall" in line]
    assert (verified.returncode, ours) == (0, [])
